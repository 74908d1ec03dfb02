#!/usr/bin/env bash
# `make fuzz`: tries the oracles of zimg-tests with cargo-fuzz, each for FUZZ_SECONDS (600).
# TARGET=name takes one alone. With KEEP=1 the corpus in git becomes the smallest set of inputs
# that covers all that was found.
set -euo pipefail
cd "$(dirname "$0")/../.."
cargo=${CARGO:-cargo}
seconds=${FUZZ_SECONDS:-600}
say() { echo "fuzz: $*"; }

"$cargo" +nightly --version >/dev/null 2>&1 || {
  say "not run: it wants a nightly compiler, which instruments: rustup toolchain install nightly" >&2
  exit 69
}
"$cargo" fuzz --version >/dev/null 2>&1 || {
  say "not run: cargo-fuzz is missing: cargo install --locked cargo-fuzz" >&2
  exit 69
}
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}/fuzz
found=$CARGO_TARGET_DIR/corpus
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# The longest inputs: a file of jobs has pages, an image its pixels, and long is slow.
longest() {
  case $1 in
    hello) echo 16 ;;
    jobs) echo 8192 ;;
    worker) echo 28672 ;;
    *) echo 65536 ;;
  esac
}
# Whether leaks are looked for: not where each input has a store, whose thread may be ending just
# then, with what it had for itself. `make soak` holds the daemon's memory flat.
leaks() { case $1 in worker) echo 0 ;; *) echo 1 ;; esac }
# fuzzer NAME FOLDER… -- OPTION…: runs one that is built
fuzzer() { "$cargo" +nightly fuzz run --fuzz-dir tests/fuzz "$@"; }

say "building"
"$cargo" +nightly fuzz build --fuzz-dir tests/fuzz
for corpus in tests/fuzz/corpus/${TARGET:-*}; do
  name=${corpus##*/}
  mkdir -p "$found/$name"
  fuzzer "$name" "$found/$name" "$corpus" -- -max_total_time="$seconds" -max_len="$(longest "$name")" -timeout=20 \
    -detect_leaks="$(leaks "$name")" -print_final_stats=1 >"$log" 2>&1 || {
    grep -A 1 'panicked at\|ERROR: ' "$log" | cut -c 1-200 >&2
    say "$name: an oracle is contradicted by what lies in tests/fuzz/artifacts/$name" >&2
    exit 1
  }
  edges=$(grep -o ' cov: [0-9]*' "$log" | tail -n 1)
  runs=$(sed -n 's/^stat::number_of_executed_units: //p' "$log")
  say "$name: $runs inputs in $seconds s, $((${edges#*: })) edges covered, no oracle contradicted"
  if [ -n "${KEEP:-}" ]; then
    rm -rf "$found/$name.least"
    mkdir "$found/$name.least"
    fuzzer "$name" "$found/$name.least" "$found/$name" "$corpus" -- -set_cover_merge=1 -use_counters=0 \
      -max_len="$(longest "$name")" >"$log" 2>&1
    rm -rf "$corpus"
    mv "$found/$name.least" "$corpus"
    say "$name: $(find "$corpus" -type f | wc -l) inputs kept, $(du -sh --apparent-size "$corpus" | cut -f 1)"
  fi
done
