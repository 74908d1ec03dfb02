#!/usr/bin/env bash
# `make web-load`: zimg-web with 200 readers of events and 50 drawing clients for WEB_LOAD_SECONDS (60), what it
# adds to an image beside the socket, and how old a preview is at a browser; held to docs/specification.md.
# Programs and tests are those of the release build, whose promises these are; WEB_LOAD_PROFILE=dev builds
# less and allows 40 ms where the release build has 10: without optimisation base64 and JSON take longer.
set -euo pipefail
cd "$(dirname "$0")/../.."
log=$(mktemp)
trap 'rm -f "$log"' EXIT

contrib/dev/need.sh cargo c++
export ZIMG_WEB_LOAD_SECONDS=${WEB_LOAD_SECONDS:-60} ZIMG_WEB_LOAD_READERS=200 ZIMG_WEB_LOAD_DRAWING=50
export ZIMG_WEB_LOAD_STATUS_MS=50 ZIMG_WEB_LOAD_ROUNDS=15 ZIMG_WEB_LOAD_PREVIEW_MS=50
profile=${WEB_LOAD_PROFILE:-release}
case $profile in
  release) export ZIMG_WEB_LOAD_ADDED_MS=10 ;;
  *) export ZIMG_WEB_LOAD_ADDED_MS=40 ;;
esac
"${CARGO:-cargo}" test --locked --workspace --profile "$profile" --test web -- load figures --nocapture --test-threads 1 2>&1 | tee "$log"
passed=$(awk '/^test result: ok/ { n += $4 } END { print n + 0 }' "$log")
[ "$passed" -ge 4 ] || {
  echo "web-load: $passed tests passed, and there are four" >&2
  exit 1
}
echo "web-load: $(sed -n 's/.*load: //p' "$log" | paste -sd ';' | sed 's/;/; /g')"
