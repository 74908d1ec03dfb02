#!/usr/bin/env bash
# `make verify`: every heavy suite that this machine can run, then a table of their verdicts.
# SUITES="units disks" runs these alone. VERIFY_SECONDS (60) bounds each fuzz target and the soak.
# Exits with 1 if a suite failed. A suite that cannot run here exits with 69 and says what is missing.
set -uo pipefail
cd "$(dirname "$0")/../.."
seconds=${VERIFY_SECONDS:-60}
logs=${CARGO_TARGET_DIR:-target}/verify
mkdir -p "$logs"
table=$logs/table
: >"$table"
failed=0

# suite NAME COMMAND…: runs a suite; its output goes to a log, one row to the table
suite() {
  local name=$1 status=0 verdict=passed note
  shift
  [[ " ${SUITES:-$name} " == *" $name "* ]] || return 0
  echo "verify: $name"
  SECONDS=0
  "$@" >"$logs/$name.log" 2>&1 </dev/null || status=$?
  note=$(tail -n 1 "$logs/$name.log")
  case $status in
    0) ;;
    69) verdict="not run" ;;
    75) verdict=partly ;;
    *)
      verdict=FAILED
      note="status $status, see $logs/$name.log"
      failed=1
      ;;
  esac
  printf '%-8s %-8s %5d s  %s\n' "$name" "$verdict" $SECONDS "${note:0:140}" | tee -a "$table"
}
soak() {
  ZIMG_SOAK_SECONDS=$seconds "${CARGO:-cargo}" test --locked -p zimg-tests --test soak -- --nocapture
}

suite units contrib/packaging/units.sh
suite disks contrib/dev/disk-test.sh
suite users contrib/dev/users-test.sh
suite systemd contrib/dev/systemd-test/run.sh
suite soak soak
suite fuzz env FUZZ_SECONDS="$seconds" contrib/dev/fuzz.sh
suite deny contrib/dev/deny.sh
suite parity contrib/lab/parity.sh
suite bench contrib/lab/bench/bench.sh cpu --rounds 3 --cold 1
suite gpu contrib/dev/gpu-test.sh

echo
printf '%-8s %-8s %7s  %s\n' suite verdict time "last line of its output, or what is missing to run it"
cat "$table"
exit $failed
