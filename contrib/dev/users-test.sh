#!/usr/bin/env bash
# `make users-test`: real users with one daemon: who is not in its group is refused, and nobody
# sees, fetches or ends another's jobs but root. Ends with 69 where one cannot become them.
set -euo pipefail
cd "$(dirname "$0")/../.."

# Two of the daemon's group, one outside, and the group.
ann=60001 bob=60002 eve=60003 group=60000
namespace=(unshare --map-root-user --map-auto)
if [ -z "${ZIMG_USERS_TEST:-}" ]; then
  [ "$(id -u)" != 0 ] || namespace=(env)
  if ! "${namespace[@]}" setpriv --reuid $eve --regid $eve --clear-groups true 2>/dev/null; then
    echo "users-test: not done: one cannot become other users here (be root, or have a range in /etc/subuid)" >&2
    exit 69
  fi
  "${CARGO:-cargo}" build --quiet --locked --bins -p zimg -p zimaged -p zimg-tests
  export ZIMG_USERS_TEST=1
  exec "${namespace[@]}" "$PWD/contrib/dev/users-test.sh"
fi

bin=$PWD/${CARGO_TARGET_DIR:-target}/debug
private=$(mktemp -d)
daemon=
finish() {
  [ -z "$daemon" ] || kill "$daemon" 2>/dev/null || true
  wait
  rm -rf "$private"
}
trap finish EXIT
fail() {
  echo "users-test: $*; the daemon's log:" >&2
  cat "$private/log" >&2
  exit 1
}
for name in $(compgen -e ZIMAGED_ || true) $(compgen -e ZIMG_ || true); do unset "$name"; done
cp "$bin"/{zimg,zimaged,mock-worker} "$private"
# The tests' worker, so slow that a job is there to be ended.
printf '#!/bin/sh\nZIMG_MOCK=slow:500 exec "%s/mock-worker" "$@"\n' "$private" >"$private/worker"
: >"$private/zimaged.toml"
chmod 711 "$private"
chmod 755 "$private/worker"

# start USER GROUP: a daemon of theirs.
start() {
  mkdir "$private/$1"
  chown "$1:$2" "$private/$1"
  (cd "$private/$1" && HOME=$PWD exec setpriv --reuid "$1" --regid "$2" --clear-groups \
    "$private/zimaged" --config "$private/zimaged.toml" --socket "$private/$1/run/socket" \
    --worker "$private/worker" --state-dir "$private/$1/state") 2>"$private/log" &
  daemon=$!
  export ZIMG_SOCKET=$private/$1/run/socket ZIMG_CONFIG=
  until [ -S "$ZIMG_SOCKET" ]; do kill -0 "$daemon" || fail "it did not start"; sleep 0.05; done
}
stop() {
  kill "$daemon"
  wait "$daemon" || fail "it ended with $?"
  daemon=
}
# as USER COMMAND…: its exit code in $code, what it said in $said.
as() {
  local user=$1 groups=--clear-groups
  shift
  [ "$user" = 0 ] || [ "$user" = $eve ] || groups=--groups=$group
  said=$(cd / && setpriv --reuid "$user" --regid "$user" "$groups" "$private/zimg" "$@" 2>&1) && code=0 || code=$?
}
# expect CODE TEXT WHAT
expect() { [ "$code" = "$1" ] && [[ $said == *"$2"* ]] || fail "$3: status $code: $said"; }

# A service's daemon, which its group may use.
start 0 $group
chmod 711 "$private/0"
as $eve status
expect 77 "may not" "a user outside the group"
as $ann "a red circle" --detach -q -s 64x64
expect 0 "" "a member's job"
job=$said
for request in "jobs" "cancel $job" "wait $job -o /dev/null -f"; do
  # shellcheck disable=SC2086
  as $bob $request
  case $request in
    jobs) expect 0 "no jobs" "another's list" ;;
    cancel*) expect 77 "you have no unfinished job $job" "another's cancelling" ;;
    wait*) expect 65 "you have no detached job $job" "another's fetching" ;;
  esac
done
for user in $ann 0; do
  as $user jobs --json
  expect 0 "\"uid\":$ann" "the list of user $user"
done
as $ann cancel "$job"
expect 0 "" "the owner's cancelling"
as $bob "a red circle" --detach -q -s 64x64
expect 0 "" "another member's job"
as 0 cancel "$said"
expect 0 "" "root's cancelling"
stop

# A user's own daemon, which is for nobody else.
start $ann $ann
chmod 711 "$private/$ann"
as $ann status
expect 0 "" "the user"
as $bob status
expect 77 "" "another user"
stop
echo "users-test: nobody sees or ends another's jobs, and who may not connect is told so"
