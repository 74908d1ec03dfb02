# Shared by disk-test.sh and users-test.sh, which source it and set `suite` first: a private
# folder, one daemon, and what ends both. Sourced in the repository's root.
# shellcheck shell=bash disable=SC2034
say() { echo "$suite: $*"; }

bin=$PWD/${CARGO_TARGET_DIR:-target}/debug
private=$(mktemp -d)
daemon=
cleanup() { :; }
finish() {
  [ -z "$daemon" ] || kill "$daemon" 2>/dev/null || true
  wait
  cleanup
  rm -rf "$private"
}
trap finish EXIT
# fail WORDS…: ends the suite; the daemon's log follows
fail() {
  say "$*; the daemon's log:" >&2
  cat "$private/log" >&2
  exit 1
}
# Variables of the user's own do not reach the programs.
for name in $(compgen -e ZIMAGED_ || true) $(compgen -e ZIMG_ || true); do unset "$name"; done
export ZIMG_CONFIG=
: >"$private/zimaged.toml"

# mock FOLDER SCRIPT: a worker for the daemon, which passes no variables on: mock-worker with this script
mock() {
  printf '#!/bin/sh\nZIMG_MOCK=%s exec "%s/mock-worker" "$@"\n' "$2" "$1" >"$private/worker"
  chmod 755 "$private/worker"
}
# until_so WHAT COMMAND…: waits for a condition, at most a minute
until_so() {
  local what=$1 end=$((SECONDS + 60))
  until "${@:2}"; do
    [ $SECONDS -lt $end ] || fail "$what: not within a minute; last output: $said"
    sleep 0.05
  done
}
listening() {
  kill -0 "$daemon" 2>/dev/null || fail "zimaged did not start"
  [ -S "$ZIMG_SOCKET" ]
}
stop_daemon() {
  kill "$daemon"
  wait "$daemon" || fail "zimaged exited with status $?"
  daemon=
}
# run COMMAND…: its exit status in $code, its output in $said
run() { said=$("$@" 2>&1) && code=0 || code=$?; }
# expect CODE TEXT WHAT: of the last `run`
expect() { [ "$code" = "$1" ] && [[ $said == *"$2"* ]] || fail "$3: status $code: $said"; }
