#!/usr/bin/env bash
# Runs all tests: those in the documentation first, then the others, so that their summary closes the output.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo test --doc --workspace --locked --quiet
if cargo nextest --version >/dev/null 2>&1; then
  exec cargo nextest run --workspace --locked ${CI:+--profile ci} "$@"
fi
echo 'cargo-nextest is not installed: running the tests with cargo test, one after the other where they need processes.'
exec cargo test --workspace --locked --lib --bins --tests "$@"
