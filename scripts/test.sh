#!/usr/bin/env bash
# Runs all tests: those in the documentation first, then the others, so that their summary closes the output.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo test --doc --workspace --locked --quiet
if cargo nextest --version >/dev/null 2>&1; then
  exec cargo nextest run --workspace --locked ${CI:+--profile ci} "$@"
fi
echo 'cargo-nextest is not installed: running the tests with cargo test, two at a time, as they start processes.'
RUST_TEST_THREADS=2 exec cargo test --workspace --locked --lib --bins --tests "$@"
