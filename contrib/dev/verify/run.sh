#!/usr/bin/env bash
# `make verify`: every heavy suite that this machine can run, then a table of their verdicts.
# SUITES="units disks" runs these alone. VERIFY_SECONDS (60) bounds each fuzz target and each test of
# the soak, VERIFY_LIMIT (5400) each suite in all: one that hangs has failed. Exits with 1 if a suite failed.
#
# A suite ends with 0 and a closing line that begins with its label, with 69 and what is missing to
# run it, or with 75 and what it could not check. 0 without the closing line is a failure: a suite
# that runs nothing says nothing. The rows are in target/verify/table.tsv; table.py writes
# docs/verified.md from them, if the tree was clean: the table names the commit that was verified,
# and is committed after it.
set -uo pipefail
cd "$(dirname "$0")/../../.."
seconds=${VERIFY_SECONDS:-60}
limit=${VERIFY_LIMIT:-5400}
python=${PYTHON:-python3}
logs=${CARGO_TARGET_DIR:-target}/verify
mkdir -p "$logs"
table=$logs/table.tsv
exec 9>"$logs/lock"
flock --nonblock 9 || {
  echo "verify: not run: another run writes to $logs" >&2
  exit 69
}
: >"$table"
failed=0
ran=0

# What is verified: the last commit, "-dirty" if files were changed since. The table itself does not count, nor
# does the fuzzers' lock file, which their build brings up to date with the workspace's crates.
describe() {
  local commit
  commit=$(git rev-parse --short=9 HEAD 2>/dev/null) || commit=unknown
  if [ -n "$(git status --porcelain -- . ':!docs/verified.md' ':!docs/specification.md' ':!tests/fuzz/Cargo.lock' 2>/dev/null)" ]; then
    commit+=-dirty
  fi
  echo "$commit"
}
commit=$(describe)

# suite NAME LABEL COMMAND…: runs a suite; its output goes to a log, one row to the table
suite() {
  local name=$1 label=$2 status=0 verdict=passed note
  shift 2
  [[ " ${SUITES:-$name} " == *" $name "* ]] || return 0
  echo "verify: $name"
  ran=$((ran + 1))
  SECONDS=0
  timeout --kill-after=30 "$limit" "$@" >"$logs/$name.log" 2>&1 </dev/null 9>&- || status=$?
  note=$(tail -n 1 "$logs/$name.log")
  case $status in
    0)
      if [[ $note != "$label: "* ]]; then
        verdict=FAILED
        note="status 0 without the closing line of $label, see $logs/$name.log"
      fi
      ;;
    69) verdict="not run" ;;
    124 | 137)
      verdict=FAILED
      note="not over after $limit s, see $logs/$name.log"
      ;;
    75) verdict=partly ;;
    *)
      verdict=FAILED
      note="status $status, see $logs/$name.log"
      ;;
  esac
  [ "$verdict" != FAILED ] || failed=1
  note=${note#"$label: "}
  note=${note#not run: }
  printf '%s\t%s\t%d\t%s\t%s\t%s\n' "$name" "$verdict" $SECONDS "$commit" "$(date -u +%Y-%m-%d)" "${note//$'\t'/ }" >>"$table"
  printf '%-8s %-8s %5d s  %s\n' "$name" "$verdict" $SECONDS "${note:0:140}"
}

suite units units contrib/packaging/units.sh
suite disks disk-test contrib/dev/disk-test.sh
suite hub hub-test contrib/dev/hub-test/run.sh
suite users users-test contrib/dev/users-test.sh
suite limits limits-test contrib/dev/limits-test.sh
suite systemd systemd-test contrib/dev/systemd-test/run.sh
suite web web-test tests/clients/run.sh
suite page page-test contrib/dev/page-test.sh
suite proxy web-proxy-test contrib/dev/web-proxy-test.sh
suite load web-load env WEB_LOAD_SECONDS="$seconds" contrib/dev/web-load.sh
suite soak soak env SOAK_SECONDS="$seconds" contrib/dev/soak.sh
suite fuzz fuzz env FUZZ_SECONDS="$seconds" contrib/dev/fuzz.sh
suite deny deny contrib/dev/deny.sh
suite nvrtc nvrtc-test contrib/dev/nvrtc-test.sh
suite parity parity contrib/lab/parity.sh
suite bench bench contrib/lab/bench/bench.sh cpu --rounds 3 --cold 1
suite gpu gpu-test contrib/dev/gpu-test.sh

if [ $ran = 0 ]; then
  echo "verify: no suite is named in SUITES=$SUITES" >&2
  exit 64
fi
echo
"$python" contrib/dev/verify/table.py show "$table"
if [ "$(describe)" != "$commit" ]; then
  echo "verify: the tree is no longer $commit: docs/verified.md stays as it is" >&2
elif [[ $commit == *-dirty ]]; then
  echo "verify: files are not committed: docs/verified.md stays as it is" >&2
else
  "$python" contrib/dev/verify/table.py write "$table"
  echo "verify: docs/verified.md says it; commit it after $commit"
fi
exit $failed
