#!/usr/bin/env bash
# `make disk-test`: detached jobs on a disk that is full, and on one that is read-only: small file
# systems in memory, in a mount namespace of their own. Ends with 69 where there is no such thing.
set -euo pipefail
cd "$(dirname "$0")/../.."

namespace=(unshare --mount)
[ "$(id -u)" = 0 ] || namespace=(unshare --map-root-user --mount)
if [ -z "${ZIMG_DISK_TEST:-}" ]; then
  if ! "${namespace[@]}" mount -t tmpfs none /mnt 2>/dev/null; then
    echo "disk-test: not done: mounting is not permitted here (be root, or allow user namespaces)" >&2
    exit 69
  fi
  "${CARGO:-cargo}" build --quiet --locked --bins -p zimg -p zimaged -p zimg-tests
  export ZIMG_DISK_TEST=1
  exec "${namespace[@]}" "$PWD/contrib/dev/disk-test.sh"
fi

bin=$PWD/${CARGO_TARGET_DIR:-target}/debug
private=$(mktemp -d)
daemon=
finish() {
  [ -z "$daemon" ] || kill "$daemon" 2>/dev/null || true
  wait
  umount "$private/state" 2>/dev/null || true
  rm -rf "$private"
}
trap finish EXIT
fail() {
  echo "disk-test: $*; the daemon's log:" >&2
  cat "$private/log" >&2
  exit 1
}
for name in $(compgen -e ZIMAGED_ || true) $(compgen -e ZIMG_ || true); do unset "$name"; done
export ZIMG_SOCKET=$private/socket ZIMG_CONFIG=
mkdir "$private/state"
: >"$private/zimaged.toml"
# The tests' worker, whose images have one colour. The daemon passes no variables of its own on.
printf '#!/bin/sh\nZIMG_MOCK=slow:1 exec "%s/mock-worker" "$@"\n' "$bin" >"$private/worker"
chmod 755 "$private/worker"
cd "$private"

# A daemon on a new file system with these options.
start() {
  mount -t tmpfs -o "$1" none state
  ZIMAGED_TIMEOUTS=disk_check=200ms "$bin/zimaged" --config zimaged.toml --socket socket \
    --worker "$private/worker" --state-dir state 2>log &
  daemon=$!
  until [ -S socket ]; do kill -0 "$daemon" || fail "it did not start"; sleep 0.05; done
}
stop() {
  kill "$daemon"
  wait "$daemon" || fail "it ended with $?"
  daemon=
  umount state
}
# A command's exit code, and what it said in $said.
zimg() { said=$("$bin/zimg" "$@" 2>&1) && code=0 || code=$?; }

# There is room for the list, the reserve of 256 KiB and some images of 12 KiB, but not for all.
start size=410k
jobs=()
for seed in 1 2 3 4; do
  zimg "a red circle" --detach -q -s 64x64 -n 4 --seed $seed
  [ "$code" = 0 ] || fail "job $seed was not accepted: $said"
  jobs+=("$said")
done
until zimg jobs && [[ $said == *" disk "* ]]; do sleep 0.1; done
zimg "a red circle" -q -s 64x64 --seed 9 -o attached.png
[ "$code" = 0 ] || fail "nobody else is drawn for: $said"
# Each that is fetched makes room for the next.
for seed in 1 2 3 4; do
  zimg wait "${jobs[seed - 1]}" -q -o "$seed.png"
  [ "$code" = 0 ] || fail "job $seed was lost: $said"
  zimg "a red circle" -q -s 64x64 -n 4 --seed $seed -o "again-$seed.png"
  for n in 1 2 3 4; do cmp -s "$seed-$n.png" "again-$seed-$n.png" || fail "$seed-$n.png is another"; done
done
zimg jobs
[ "$said" = "no jobs" ] || fail "some are left: $said"
grep -q "waits for the disk" log || fail "the disk was never full"
stop

start size=900k,ro
zimg "a red circle" --detach -q
[ "$code" = 74 ] && [[ $said == *"cannot store jobs in state: Read-only file system"* ]] ||
  fail "a read-only disk is $code: $said"
zimg "a red circle" -q -s 64x64 -f -o attached.png
[ "$code" = 0 ] || fail "nobody is drawn for: $said"
stop

# Not even the list has room for more.
start size=330k
long=$(head -c 9000 /dev/zero | tr '\0' x)
accepted=()
until zimg "$long" --detach -q -s 64x64 && [ "$code" != 0 ]; do accepted+=("$said"); done
[ "$code" = 74 ] && [[ $said == *"database or disk is full"* ]] || fail "a full disk is $code: $said"
[ ${#accepted[@]} -gt 0 ] || fail "nothing was accepted"
for job in "${accepted[@]}"; do
  zimg cancel "$job"
  [ "$code" = 0 ] || fail "job $job cannot be cancelled on a full disk: $said"
done
until zimg jobs && [ "$said" = "no jobs" ]; do sleep 0.1; done
zimg "a red circle" --detach -q -s 64x64
[ "$code" = 0 ] || fail "there is room again, but not for a job: $said"
zimg wait "$said" -q -o last.png
[ "$code" = 0 ] || fail "it was lost: $said"
stop
echo "disk-test: nothing was lost on full and read-only disks"
