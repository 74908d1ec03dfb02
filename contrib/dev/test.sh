#!/usr/bin/env bash
# `make test`: formatting, lints, every test that needs no GPU, and one closing line that counts them.
set -euo pipefail
cd "$(dirname "$0")/../.."
cargo=${CARGO:-cargo}
python=${PYTHON:-python3}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
step() { echo "test: $*"; }

contrib/dev/need.sh cargo c++ python rustfmt clippy
SECONDS=0

step "formatting"
"$cargo" fmt --all --check
step "lints"
"$cargo" clippy --quiet --locked --workspace --all-targets -- -D warnings
step "Qwen3's tokenizer"
ZIMG_QWEN3_TOKENIZER=$("$python" contrib/lab/reference/fetch_tokenizer.py)
export ZIMG_QWEN3_TOKENIZER
step "Rust"
"$cargo" test --locked --workspace --no-fail-fast 2>&1 | tee "$log"
# A run with a filter is one that a test started itself.
rust=$(awk '/^test result: ok/ && $12 == 0 { passed += $4; ignored += $8 } END { print passed + 0, ignored + 0 }' "$log")
step "Python"
# The benchmark's own test of all of it wants the programs, which the Rust tests have built, and one example.
"$cargo" build --quiet --locked -p zimg -p zimaged -p zimage-worker
"$cargo" build --quiet --locked -p zimg-client --example latency
: >"$log"
for tests in contrib/dev/libtorch contrib/lab/bench contrib/clients/python; do
  "$python" -B -m unittest discover --start-directory "$tests" 2>&1 | tee -a "$log"
done
recorder=$(PYTHON=$python contrib/dev/venv.sh test target/recording contrib/lab/recording/requirements.txt "a terminal in memory")
"$recorder" -B -m unittest discover --start-directory contrib/lab/recording 2>&1 | tee -a "$log"
step "units"
units="the units are sound"
contrib/packaging/units.sh || {
  [ $? = 69 ] || exit 1
  units="the units were NOT checked, there is no systemd-analyze"
}
step "disks"
disks="nothing is lost on full disks"
contrib/dev/disk-test.sh || {
  [ $? = 69 ] || exit 1
  disks="full disks were NOT tried, mounting is not permitted"
}
step "users"
users="no user has another's jobs"
contrib/dev/users-test.sh || {
  [ $? = 69 ] || exit 1
  users="other users were NOT tried, one cannot become them"
}
step "dependencies"
dependencies="licences, sources and advisories are sound"
contrib/dev/deny.sh || case $? in
  69) dependencies="licences and sources are sound, advisories were NOT looked at, there is no cargo-deny" ;;
  75) dependencies="licences and sources are sound, advisories were NOT looked at, they are out of reach" ;;
  *) exit 1 ;;
esac
ran=$(awk '/^Ran / { ran += $2 } END { print ran }' "$log")

if [ "${rust#* }" != 0 ]; then
  echo "test: ${rust#* } Rust tests are ignored, and none should be" >&2
  exit 1
fi
echo "test: all well: ${rust% *} Rust and $ran Python tests passed, formatting and lints are clean, $units, $disks, $users, $dependencies, in $((SECONDS / 60)) min $((SECONDS % 60)) s"
