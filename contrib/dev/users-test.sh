#!/usr/bin/env bash
# `make users-test`: real users with one daemon. Users outside its group are refused; no user but
# root sees, fetches or cancels the jobs of another. Exits with 69 where users cannot be switched.
set -euo pipefail
cd "$(dirname "$0")/../.."
suite=users-test

# Two users in the daemon's group, one outside, and the group.
ann=60001 bob=60002 eve=60003 group=60000
namespace=(unshare --map-root-user --map-auto)
if [ -z "${ZIMG_USERS_TEST:-}" ]; then
  [ "$(id -u)" != 0 ] || namespace=(env)
  if ! "${namespace[@]}" setpriv --reuid $eve --regid $eve --clear-groups true 2>/dev/null; then
    echo "$suite: not run: users cannot be switched here (be root, or have a range in /etc/subuid)" >&2
    exit 69
  fi
  contrib/dev/programs.sh --quiet
  export ZIMG_USERS_TEST=1
  exec "${namespace[@]}" "$PWD/contrib/dev/users-test.sh"
fi
. contrib/dev/harness.sh
cp "$bin"/{zimg,zimaged,mock-worker} "$private"
# The mock worker, slow enough that a job still runs when it is cancelled.
mock "$private" slow:500
chmod 711 "$private"

# start USER GROUP: a daemon of that user
start() {
  mkdir "$private/$1"
  chown "$1:$2" "$private/$1"
  (cd "$private/$1" && HOME=$PWD exec setpriv --reuid "$1" --regid "$2" --clear-groups \
    "$private/zimaged" --config "$private/zimaged.toml" --socket "$private/$1/run/socket" \
    --worker "$private/worker" --state-dir "$private/$1/state") 2>"$private/log" &
  daemon=$!
  export ZIMG_SOCKET=$private/$1/run/socket
  until_so "the socket" listening
}
# as USER OPTION…: zimg as that user
as() {
  local user=$1 groups=--clear-groups
  shift
  [ "$user" = 0 ] || [ "$user" = $eve ] || groups=--groups=$group
  cd /
  run setpriv --reuid "$user" --regid "$user" "$groups" "$private/zimg" "$@"
}
# refused CODE KIND WHAT: the JSON of the last `as` has this kind
refused() { expect "$1" "\"kind\":\"$2\"" "$3"; }

# A service's daemon: its group may use it.
start 0 $group
chmod 711 "$private/0"
as $eve status --json
refused 77 permission "a user outside the group"
as $ann "a red circle" --detach -q -s 64x64
expect 0 "" "a member's job"
job=$said
for user in $ann 0; do
  as $user jobs --json
  expect 0 "\"uid\":$ann" "the list of user $user"
done
as $bob jobs --json
expect 0 "" "the list of another member"
[ -z "$said" ] || fail "another member sees $said"
as $bob cancel "$job" --json
refused 77 permission "cancelling the job of another"
as $bob wait "$job" -o /dev/null -f --json
refused 65 refused "fetching the job of another"
as $ann cancel "$job"
expect 0 "" "cancelling one's own job"
as $bob "a red circle" --detach -q -s 64x64
expect 0 "" "another member's job"
as 0 cancel "$said"
expect 0 "" "cancelling it as root"
stop_daemon

# A user's own daemon: for that user alone.
start $ann $ann
chmod 711 "$private/$ann"
as $ann status --json
expect 0 '"event":"status"' "the user"
as $bob status --json
refused 77 permission "another user"
stop_daemon
say "no user sees or cancels the jobs of another, and refused users are told why"
