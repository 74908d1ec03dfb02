#!/usr/bin/env bash
# `make fuzz`: fuzzes the oracles of zimg-tests with cargo-fuzz, each for FUZZ_SECONDS (600).
# TARGET=name runs one target. What is found is kept under target/fuzz/corpus, so a later run goes on
# there; tests/fuzz/corpus holds a small seed set, 4 to 16 inputs a target. An input that contradicts
# an oracle lies in tests/fuzz/artifacts: copy it to tests/fuzz/corpus/TARGET, and `cargo test -p
# zimg-tests --test corpus` tries it from then on.
set -euo pipefail
cd "$(dirname "$0")/../.."
cargo=${CARGO:-cargo}
seconds=${FUZZ_SECONDS:-600}
say() { echo "fuzz: $*"; }

"$cargo" +nightly --version >/dev/null 2>&1 || {
  say "not run: a nightly compiler is missing, which instruments: rustup toolchain install nightly" >&2
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

# The longest input of a target: a file of jobs has pages, an image has pixels, long inputs are slow.
longest() {
  case $1 in
    hello) echo 16 ;;
    jobs) echo 8192 ;;
    worker) echo 28672 ;;
    *) echo 65536 ;;
  esac
}
# Whether leaks are detected. Not where each input has a job store: its thread may still be ending,
# with memory of its own. `make soak` checks that the daemon's memory stays flat.
leaks() { case $1 in worker) echo 0 ;; *) echo 1 ;; esac }
# fuzzer NAME FOLDER… -- OPTION…: runs a target that is built
fuzzer() { "$cargo" +nightly fuzz run --fuzz-dir tests/fuzz "$@"; }

targets=0
inputs=0
say "building"
# shellcheck disable=SC2086 # none of one target
"$cargo" +nightly fuzz build --fuzz-dir tests/fuzz ${TARGET:-}
for corpus in tests/fuzz/corpus/${TARGET:-*}; do
  name=${corpus##*/}
  mkdir -p "$found/$name"
  fuzzer "$name" "$found/$name" "$corpus" -- -max_total_time="$seconds" -max_len="$(longest "$name")" -timeout=20 \
    -detect_leaks="$(leaks "$name")" -print_final_stats=1 >"$log" 2>&1 || {
    grep -A 1 'panicked at\|ERROR: ' "$log" | cut -c 1-200 >&2
    say "$name: an input in tests/fuzz/artifacts/$name contradicts its oracle" >&2
    exit 1
  }
  edges=$(grep -o ' cov: [0-9]*' "$log" | tail -n 1)
  runs=$(sed -n 's/^stat::number_of_executed_units: //p' "$log")
  say "$name: $runs inputs in $seconds s, $((${edges#*: })) edges covered, no oracle contradicted"
  targets=$((targets + 1))
  inputs=$((inputs + runs))
done
[ $inputs -gt 0 ] || {
  say "no input was tried" >&2
  exit 1
}
say "no oracle contradicted by $inputs inputs to $targets targets, $seconds s each"
