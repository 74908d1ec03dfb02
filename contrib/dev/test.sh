#!/usr/bin/env bash
# `make test`: formatting, lints, every test that needs no GPU, and one closing line that counts them.
set -euo pipefail
cd "$(dirname "$0")/../.."
cargo=${CARGO:-cargo}
python=${PYTHON:-python3}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
step() { echo "test: $*"; }

# suite STEP PASSED MISSING COMMAND…: runs a suite; $verdict is what the closing line says of it. A suite ends
# with 69 where it cannot run, and with 75 where it has passed without a part that cannot run.
suite() {
  local name=$1 passed=$2 missing=$3 status=0
  shift 3
  step "$name"
  "$@" 2>&1 | tee -a "$log" || status=$?
  case $status in
    0) verdict=$passed ;;
    69) verdict=$missing ;;
    75) verdict="$passed, NOT in every way ($(tail -n 1 "$log"))" ;;
    *) exit 1 ;;
  esac
}

contrib/dev/need.sh cargo c++ python rustfmt clippy
SECONDS=0

step "formatting"
"$cargo" fmt --all --check
step "lints"
"$cargo" clippy --quiet --locked --workspace --all-targets -- -D warnings
step "Rust"
"$cargo" test --locked --workspace --no-fail-fast 2>&1 | tee "$log"
# A run with filtered tests was started by a test itself.
rust=$(awk '/^test result: ok/ && $12 == 0 { passed += $4; ignored += $8 } END { print passed + 0, ignored + 0 }' "$log")
step "Python"
# The test of the whole benchmark needs the programs and one example.
contrib/dev/programs.sh --quiet
"$cargo" build --quiet --locked --workspace --examples
: >"$log"
for tests in contrib/dev/libtorch contrib/dev/verify contrib/lab/bench contrib/clients/python; do
  "$python" -B -m unittest discover --start-directory "$tests" 2>&1 | tee -a "$log"
done
recorder=$(PYTHON=$python contrib/dev/venv.sh test target/recording contrib/lab/recording/requirements.txt "a terminal in memory")
"$recorder" -B -m unittest discover --start-directory contrib/lab/recording 2>&1 | tee -a "$log"
step "kernels"
kernels="every kernel compiles for every GPU"
# The test passes without NVRTC, which is where libtorch's loader would find it.
python3 -c 'import ctypes; ctypes.CDLL("libnvrtc.so.13")' 2>/dev/null ||
  kernels="kernels were NOT compiled, there is no NVRTC (make nvrtc-test)"
suite clients "openai-python and webuiapi have their images" \
  "openai-python and webuiapi were NOT tested, they cannot be installed" tests/clients/run.sh quick
clients=$verdict
suite units "the units have no fault" \
  "the units were NOT checked, there is no systemd-analyze" contrib/packaging/units.sh
units=$verdict
suite disks "no job is lost on full disks" \
  "full disks were NOT tested, mounting is not permitted" contrib/dev/disk-test.sh
disks=$verdict
suite users "no user has access to the jobs of another" \
  "other users were NOT tested, users cannot be switched" contrib/dev/users-test.sh
users=$verdict
step "dependencies"
dependencies="licences, sources and advisories are sound"
contrib/dev/deny.sh || case $? in
  69) dependencies="licences and sources are sound, advisories were NOT checked, there is no cargo-deny" ;;
  75) dependencies="licences and sources are sound, advisories were NOT checked, they are out of reach" ;;
  *) exit 1 ;;
esac
ran=$(awk '/^Ran / { ran += $2 } END { print ran }' "$log")

if [ "${rust% *}" = 0 ] || [ "${ran:-0}" = 0 ]; then
  echo "test: ${rust% *} Rust and ${ran:-0} Python tests were counted: a run of none is no success" >&2
  exit 1
fi
if [ "${rust#* }" != 0 ]; then
  echo "test: ${rust#* } Rust tests are ignored, and none should be" >&2
  exit 1
fi
echo "test: all passed: ${rust% *} Rust and $ran Python tests passed, formatting and lints are clean, $clients, $kernels, $units, $disks, $users, $dependencies, in $((SECONDS / 60)) min $((SECONDS % 60)) s"
