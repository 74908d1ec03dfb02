#!/usr/bin/env bash
# `make soak`: clients of all kinds, kills and restarts for SOAK_SECONDS (3600) in each test of the soak.
set -euo pipefail
cd "$(dirname "$0")/../.."
log=$(mktemp)
trap 'rm -f "$log"' EXIT

contrib/dev/need.sh cargo c++
ZIMG_SOAK_SECONDS=${SOAK_SECONDS:=3600} "${CARGO:-cargo}" test --locked --workspace --test soak -- --nocapture 2>&1 | tee "$log"
passed=$(awk '/^test result: ok/ { n += $4 } END { print n + 0 }' "$log")
[ "$passed" -ge 2 ] || {
  echo "soak: $passed tests passed, and there are two" >&2
  exit 1
}
echo "soak: all $passed tests passed, $SOAK_SECONDS s each"
