#!/usr/bin/env bash
# `make page-test`: the page in headless Chromium against zimg-web and zimaged with the built-in model.
# FILES names single tests: FILES=access.test.mjs make page-test
set -euo pipefail
cd "$(dirname "$0")/../.."

contrib/dev/need.sh cargo c++ node chromium
contrib/dev/programs.sh --quiet
modules=${CARGO_TARGET_DIR:-target}/page-test
mkdir -p "$modules"
modules=$(cd "$modules" && pwd)
if ! cmp -s tests/page/package-lock.json "$modules/installed"; then
  cp tests/page/package.json tests/page/package-lock.json "$modules/"
  (cd "$modules" && npm ci --silent --ignore-scripts --no-audit --no-fund) || {
    echo "page-test: not run: npm cannot install the packages of tests/page/package.json" >&2
    exit 69
  }
  cp tests/page/package-lock.json "$modules/installed"
fi
export PAGE_MODULES=$modules/node_modules/
echo "page-test: types"
"$modules/node_modules/.bin/tsc" -p tests/page
echo "page-test: Chromium"
cd tests/page
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# shellcheck disable=SC2086 # several names
node --test --test-reporter=spec --test-concurrency=1 ${FILES:-*.test.mjs} | tee "$log"
passed=$(sed -n 's/^ℹ pass //p' "$log")
[ "${passed:-0}" -gt 0 ] || {
  echo "page-test: no test passed" >&2
  exit 1
}
echo "page-test: $passed tests pass in $("${CHROMIUM:-chromium}" --version | cut -d ' ' -f 1,2)"
