#!/usr/bin/env bash
# `make systemd-test`: boots a Debian with a real systemd in a container, with the installed tree
# in it, and runs inside.sh there. As root; the machine itself is left as it is.
#
# The Debian (0.3 GB) is made once and kept in ~/.cache/zimg/systemd-test.
set -euo pipefail
cd "$(dirname "$0")/../../.."
say() { echo "systemd-test: $*"; }
cannot() {
  say "not run: $*" >&2
  exit 69
}

[ "$(id -u)" = 0 ] || cannot "root is needed to boot a container: sudo make systemd-test"
for tool in debootstrap:debootstrap systemd-nspawn:systemd-container; do
  command -v "${tool%:*}" >/dev/null || cannot "${tool%:*} is missing (package ${tool#*:})"
done

cache=${XDG_CACHE_HOME:-$HOME/.cache}/zimg/systemd-test
wanted=systemd,systemd-sysv,dbus,dbus-user-session,libpam-systemd,libgomp1,libstdc++6
debian=$cache/bookworm
work=$cache/run
mkdir -p "$cache"
exec 9>"$cache/lock"
flock --nonblock 9 || cannot "another systemd-test is running"

if [ "$(cat "$debian.packages" 2>/dev/null)" != "$wanted" ]; then
  say "making a Debian in $debian, once"
  rm -rf "$debian" "$debian.packages"
  debootstrap --variant=minbase --include="$wanted" bookworm "$debian" \
    ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"} >"$cache/debootstrap.log" 2>&1 || {
    tail -n 3 "$cache/debootstrap.log" >&2
    cannot "debootstrap cannot make a Debian; DEBIAN_MIRROR names another source of packages"
  }
  echo "$wanted" >"$debian.packages"
fi

# Under sudo nothing is built: the programs in target/ were built by the user.
if [ -z "${SUDO_USER:-}" ]; then
  contrib/dev/programs.sh --quiet
fi
rm -rf "$work"
mkdir "$work"
cp -a "$debian" "$work/root"
DESTDIR=$work/root PREFIX=/usr PROFILE=dev COPY=link contrib/packaging/install.sh >/dev/null

shared=$work/shared
mkdir "$shared" "$work/root/zimg-test"
install -m 755 contrib/dev/systemd-test/inside.sh "$work/root/usr/libexec/zimg-test"
install -m 644 contrib/dev/systemd-test/zimg-test.service "$work/root/etc/systemd/system"
ln -s ../zimg-test.service "$work/root/etc/systemd/system/multi-user.target.wants/"

# The container may not set limits where the kernel has version 1 of control groups, so memory
# runs out from here: `oom` names the process in the container, `oom.kills` answers.
group=/sys/fs/cgroup/memory/zimg-systemd-test
watch_for_oom() {
  until [ -e "$shared/oom" ]; do sleep 0.1; done
  for status in /proc/[0-9]*/status; do
    [ "$(awk '/^Name:/ { name = $2 } /^NSpid:/ && NF > 2 { print name, $NF }' "$status" 2>/dev/null)" = \
      "zimage-worker $(cat "$shared/oom")" ] && pid=${status//[^0-9]/}
  done
  if [ -z "${pid:-}" ] || ! mkdir -p "$group" 2>/dev/null; then
    echo none >"$shared/oom.ready"
    return
  fi
  echo $((4 << 20)) >"$group/memory.limit_in_bytes"
  echo "$pid" >"$group/cgroup.procs"
  touch "$shared/oom.ready"
  while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
  awk '/^oom_kill / { print $2 }' "$group/memory.oom_control" >"$shared/oom.kills"
}
watch_for_oom 2>"$work/oom.log" &
watcher=$!
touch "$shared/results"
tail -f "$shared/results" &
shown=$!
finish() {
  kill "$watcher" "$shown" 2>/dev/null || true
  rmdir "$group" 2>/dev/null || true
}
trap finish EXIT

say "booting"
timeout --kill-after=10 900 systemd-nspawn --boot --register=no --keep-unit --quiet --machine="zimg-test-$$" \
  --directory="$work/root" --bind="$shared:/zimg-test" >"$work/console" 2>&1 </dev/null || true
sync "$shared/results"
if [ ! -s "$shared/results" ]; then
  tail -n 5 "$work/console" >&2
  cannot "the container did not boot; $work/console has what it said"
fi
kill "$shown" 2>/dev/null && wait "$shown" 2>/dev/null || true
# Each check of inside.sh, and no fewer.
all="all $(grep -c '^check "' contrib/dev/systemd-test/inside.sh) checks passed"
grep -qx "$all" "$shared/results" || {
  say "failed; the journal is in $shared/journal" >&2
  exit 1
}
say "$all; $(sed -n 's/^systemd is //p' "$shared/results")"
