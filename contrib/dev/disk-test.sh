#!/usr/bin/env bash
# `make disk-test`: detached jobs on a full disk and on a read-only disk, and images and jobs on file
# systems that lack operations: vfat, exFAT, NTFS, overlay, bindfs and rclone mount. vfat and exFAT are
# the kernel's, or FUSE's where the kernel has none. All are mounted in a mount namespace of their own.
# Exits with 69 where mounting is not permitted, and with 75 if some of them are missing here.
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
  contrib/dev/programs.sh --quiet
  export ZIMG_DISK_TEST=1
  exec "${namespace[@]}" "$PWD/contrib/dev/disk-test.sh"
fi
. contrib/dev/harness.sh
loop=
cleanup() {
  umount "$private/state" "$private/odd" "$private/full" 2>/dev/null || true
  [ -z "$loop" ] || losetup --detach "$loop" 2>/dev/null || true
}
export XDG_STATE_HOME=$private/rescued
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
zimg "a red circle" --detach -q --init 1-1.png --json
expect 74 '"kind":"io"' "a detached job with an initial image on a full disk"
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

# An image that its disk has no room for is saved elsewhere: 12 KiB, and there are three blocks.
start size=900k
mkdir full
mount -t tmpfs -o size=12k none full
zimg "a red circle" -q -s 64x64 -o full/a.ppm
expect 74 "the image was saved as $private/rescued/zimg/unsaved/a.ppm" "an image on a full disk"
[ "$(head -c 2 rescued/zimg/unsaved/a.ppm)" = P6 ] || fail "the rescued image is none"
head -c 12288 /dev/zero >full/more 2>/dev/null || true
zimg "a red circle" -q -s 64x64 -o full/b.ppm
expect 73 "No space left on device" "an image on a disk without a free block"
umount full
stop
say "images of a full disk are saved elsewhere"

# formatted KIND: makes a disk of that kind, and names its loop device in $loop
formatted() {
  truncate -s 64M disk
  "mkfs.$1" ${2:+"$2"} disk >/dev/null 2>&1 && loop=$(losetup --find --show disk 2>/dev/null)
}
# mounted KIND: mounts that file system at odd; else 1, and why in $why
mounted() {
  mkdir -p odd under upper work
  loop=
  case $1 in
    vfat)
      why="needs mkfs.vfat, and a kernel with vfat and loop devices or fusefat"
      truncate -s 64M disk
      mkfs.vfat disk >/dev/null 2>&1 || return 1
      mount -o "loop,uid=$(id -u)" -t vfat disk odd 2>/dev/null || fusefat -o rw+ disk odd >/dev/null 2>&1
      ;;
    exfat)
      why="needs mkfs.exfat, loop devices, and a kernel with exfat or mount.exfat-fuse"
      formatted exfat || return 1
      mount -o "uid=$(id -u)" -t exfat "$loop" odd 2>/dev/null || mount.exfat-fuse "$loop" odd >/dev/null 2>&1
      ;;
    ntfs)
      why="needs ntfs-3g"
      truncate -s 64M disk
      mkfs.ntfs -F -q disk >/dev/null 2>&1 && ntfs-3g disk odd 2>/dev/null
      ;;
    overlay)
      why="needs a kernel that mounts overlay here"
      mount -t overlay -o lowerdir=under,upperdir=upper,workdir=work overlay odd 2>/dev/null
      ;;
    bindfs)
      why="needs bindfs and FUSE"
      bindfs --chmod-deny --chown-deny under odd 2>/dev/null
      ;;
    rclone)
      why="needs rclone and FUSE"
      rclone mount ":local:$private/under" odd --vfs-cache-mode writes --daemon >/dev/null 2>&1
      ;;
    sshfs)
      why="needs sshfs, FUSE and OpenSSH's sftp-server"
      # What would be ssh: the server of this machine, without a connection.
      printf '#!/bin/sh\nexec /usr/lib/openssh/sftp-server\n' >sftp
      chmod +x sftp
      [ -x /usr/lib/openssh/sftp-server ] && sshfs -o "ssh_command=$private/sftp" ":$private/under" odd 2>/dev/null
      ;;
  esac
}
unmounted() {
  umount odd 2>/dev/null || true
  [ -z "$loop" ] || losetup --detach "$loop" 2>/dev/null || true
  rm -rf under upper work disk
}
tried=
missing=
for kind in vfat exfat ntfs overlay bindfs rclone sshfs; do
  if ! mounted "$kind"; then
    say "missing: $kind: $why"
    missing="$missing $kind"
    unmounted
    continue
  fi
  tried="$tried $kind"
  "$bin/zimaged" --config zimaged.toml --socket socket --worker "$private/worker" \
    --state-dir odd/state 2>log &
  daemon=$!
  until_so "the socket" listening
  zimg "a red circle" -q -s 64x64 -n 2 --grid --seed 3 -o odd/a.png
  expect 0 "" "images on $kind"
  zimg "a red circle" -q -s 64x64 --seed 3 -o odd/a-1.png
  expect 73 "exists already" "an image that exists on $kind"
  zimg "a red circle" -q -s 64x64 --seed 3 -f -o odd/a-1.png
  expect 0 "" "replacing an image on $kind"
  printf 'a fox\na hen\n' >lines
  zimg --batch lines -q -s 64x64 --seed 3 -o 'odd/b-{index}.png'
  expect 0 "" "a batch on $kind"
  zimg "a red circle" --detach -q -s 64x64 --seed 3
  expect 0 "" "a detached job on $kind"
  zimg wait "$said" -q -o odd/c.png
  expect 0 "" "fetching it from $kind"
  cmp -s odd/a-1.png odd/c.png || fail "the images on $kind differ"
  stop_daemon
  unmounted
done
say "images and jobs were saved on:${tried:- none of them}${missing:+; missing here:$missing}"
[ -z "$missing" ] || exit 75
