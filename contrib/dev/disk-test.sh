#!/usr/bin/env bash
# `make disk-test`: detached jobs on a full disk and on a read-only disk. The disks are small tmpfs
# mounts in a mount namespace of their own. Exits with 69 where mounting is not permitted.
set -euo pipefail
cd "$(dirname "$0")/../.."
suite=disk-test

namespace=(unshare --mount)
[ "$(id -u)" = 0 ] || namespace=(unshare --map-root-user --mount)
if [ -z "${ZIMG_DISK_TEST:-}" ]; then
  if ! "${namespace[@]}" mount -t tmpfs none /mnt 2>/dev/null; then
    echo "$suite: not run: mounting is not permitted here (be root, or allow user namespaces)" >&2
    exit 69
  fi
  "${CARGO:-cargo}" build --quiet --locked --bins -p zimg -p zimaged -p zimg-tests
  export ZIMG_DISK_TEST=1
  exec "${namespace[@]}" "$PWD/contrib/dev/disk-test.sh"
fi
. contrib/dev/harness.sh
cleanup() { umount "$private/state" 2>/dev/null || true; }
export ZIMG_SOCKET=$private/socket
mkdir "$private/state"
# The mock worker's images have one colour.
mock "$bin" slow:1
cd "$private"

# start OPTIONS: a daemon on a new file system with these mount options
start() {
  mount -t tmpfs -o "$1" none state
  ZIMAGED_TIMEOUTS=disk_check=200ms "$bin/zimaged" --config zimaged.toml --socket socket \
    --worker "$private/worker" --state-dir state 2>log &
  daemon=$!
  until_so "the socket" listening
}
stop() {
  stop_daemon
  umount state
}
zimg() { run "$bin/zimg" "$@"; }
# Jobs are looked at in the JSON of `zimg jobs`, not in its table.
a_job_is_blocked() { zimg jobs --json && [ "$code" = 0 ] && [[ $said == *'"state":"blocked"'* ]]; }
no_job_is_left() { zimg jobs --json && [ "$code" = 0 ] && [ -z "$said" ]; }

# There is room for the list, the reserve of 256 KiB and some images of 12 KiB, but not for all.
start size=410k
jobs=()
for seed in 1 2 3 4; do
  zimg "a red circle" --detach -q -s 64x64 -n 4 --seed $seed
  expect 0 "" "detached job $seed"
  jobs+=("$said")
done
until_so "a job that is blocked on the full disk" a_job_is_blocked
zimg "a red circle" -q -s 64x64 --seed 9 -o attached.png
expect 0 "" "an attached job while the disk is full"
# Each job that is fetched makes room for the next.
for seed in 1 2 3 4; do
  zimg wait "${jobs[seed - 1]}" -q -o "$seed.png"
  expect 0 "" "fetching job $seed"
  zimg "a red circle" -q -s 64x64 -n 4 --seed $seed -o "again-$seed.png"
  for n in 1 2 3 4; do cmp -s "$seed-$n.png" "again-$seed-$n.png" || fail "$seed-$n.png differs from again-$seed-$n.png"; done
done
no_job_is_left || fail "jobs are left: $said"
stop

start size=900k,ro
zimg "a red circle" --detach -q --json
expect 74 '"kind":"io"' "a detached job on a read-only disk"
zimg "a red circle" -q -s 64x64 -f -o attached.png
expect 0 "" "an attached job on a read-only disk"
stop

# Even the list has no room for more.
start size=330k
long=$(head -c 9000 /dev/zero | tr '\0' x)
accepted=()
while zimg "$long" --detach -q -s 64x64 && [ "$code" = 0 ]; do accepted+=("$said"); done
[ "$code" = 74 ] || fail "a detached job on a full disk: status $code: $said"
zimg "$long" --detach -q -s 64x64 --json
expect 74 '"kind":"io"' "another detached job on a full disk"
[ ${#accepted[@]} -gt 0 ] || fail "no job was accepted before the disk was full"
for job in "${accepted[@]}"; do
  zimg cancel "$job"
  expect 0 "" "cancelling job $job on a full disk"
done
until_so "the cancelled jobs are deleted" no_job_is_left
zimg "a red circle" --detach -q -s 64x64
expect 0 "" "a detached job after room was made"
zimg wait "$said" -q -o last.png
expect 0 "" "fetching that job"
stop
say "no job was lost on full and read-only disks"
