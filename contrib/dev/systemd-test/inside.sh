#!/usr/bin/env bash
# Runs as root in the container that run.sh has booted: each check is one line.
set -eEuo pipefail
shared=/zimg-test
cd /root
passed=0
what="boot"

# check WORDS…: what the lines up to `ok` check
check() {
  what=$*
  began=$EPOCHREALTIME
}
# ok FIGURES…
ok() {
  passed=$((passed + 1))
  awk -v what="$what" -v figures="$*" -v from="$began" -v to="$EPOCHREALTIME" \
    'BEGIN { printf "ok      %s (%s%.1f s)\n", what, figures == "" ? "" : figures ", ", to - from }'
}
trap 'echo "FAILED  $what: line $LINENO: $BASH_COMMAND"; dump' ERR
dump() {
  trap - ERR
  set +e
  journalctl --no-pager -u zimaged -u zimaged.socket >$shared/journal
  tail -n 25 $shared/journal
  exit 1
}

# until_so COMMAND…: waits for a condition, for at most a minute
until_so() {
  local end=$((SECONDS + 60))
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || { echo "never: $*"; return 1; }
    sleep 0.05
  done
}
as() { runuser -u "$1" -- "${@:2}"; }
of() { systemctl show --value -p "$1" zimaged.service; }
main() { of MainPID; }
# The fields of `zimg status --json` that the checks need, before its list of all workers.
status_line() { zimg status --json | sed 's/,"workers":\[.*//'; }
worker() { status_line | sed -n 's/.*"worker":{[^}]*"pid":\([0-9]*\).*/\1/p'; }
# weights: where the worker's weights came from ("checkpoint" or "retained"), and their bytes
weights() { status_line | sed -n 's/.*"weights":{"from":"\([a-z]*\)","bytes":\([0-9]*\)}.*/\1 \2/p'; }
# metric NAME: its value for the only worker or the daemon
metric() { zimg metrics | sed -n "s/^zimg_$1\({worker=\"0\"}\)\? //p"; }
# both: daemon and worker, which are two processes
both() {
  processes=("$(main)" "$(worker)")
  [ "${processes[0]:-0}" -gt 1 ] && [ "${processes[1]:-0}" -gt 1 ]
}
status_has() { status_line | grep -q "$1"; }
is_ready() { status_has '"worker":{"state":"ready"'; }
is_busy() { status_has '"worker":{"state":"busy"'; }
has_stored() { [ "$(of NFileDescriptorStore)" -ge 1 ]; }
is_stopping() { [ "$(of SubState)" = stop-sigterm ]; }
# draw FILE OPTION…: an image in the member's folder; it takes five seconds or so with --steps 60
draw() { as member zimg "a prompt that must not be logged" -q --force --no-metadata --seed 7 -o "/home/member/$@"; }
is_image() { [ "$(head -c 8 "/home/member/$1" | od -An -tx1 | tr -d ' \n')" = 89504e470d0a1a0a ]; }
# logged TEXT: how many lines of the daemon's journal contain a field or a name; never a phrase of the log
logged() { journalctl --no-pager -o cat -u zimaged | grep -c "$1" || true; }
# systemd_logged FIELD=VALUE: how many entries of systemd's own about the service have this journal field
systemd_logged() { journalctl --no-pager -o cat UNIT=zimaged.service "$1" | wc -l; }
# drop_in LINE…: what an administrator would write into the unit
drop_in() {
  mkdir -p /run/systemd/system/zimaged.service.d
  printf '%s\n' "[Service]" "$@" >/run/systemd/system/zimaged.service.d/test.conf
  systemctl daemon-reload
}

echo "systemd is $(systemctl --version | head -n 1)"

check "the steps of the package create the user, the group and the directory of the socket"
systemd-sysusers
systemd-tmpfiles --create /usr/lib/tmpfiles.d/zimaged.conf
[ "$(stat -c '%a %U:%G' /run/zimaged)" = "750 zimaged:zimaged" ]
useradd --create-home --groups zimaged member
useradd --create-home visitor
ok

check "enabled and started, the service reports that it is ready"
[ -e /usr/lib/systemd/system/zimaged.service.d/cpu.conf ] ||
  install -D -t /etc/systemd/system/zimaged.service.d /usr/share/doc/zimaged/systemd/cpu.conf
systemctl daemon-reload
systemctl enable --now --quiet zimaged.service
systemctl is-active --quiet zimaged.service zimaged.socket
[ "$(of StatusText)" = ready ]
ok

check "socket and directory belong to the group alone"
[ "$(stat -c '%a %U:%G' /run/zimaged/zimaged.sock)" = "660 zimaged:zimaged" ]
[ "$(stat -c '%a %U:%G' /run/zimaged)" = "750 zimaged:zimaged" ]
ok

check "a member of the group draws with the built-in model"
draw first.png
is_image first.png
ok

check "a user outside the group is refused with a hint, status 77"
status=0
as visitor zimg "a fox" -o /home/visitor/x.png >$shared/said 2>&1 || status=$?
[ $status = 77 ]
grep -q 'usermod -aG zimaged' $shared/said
ok "$(head -n 1 $shared/said)"

check "daemon and worker have no privileges, no network, no homes and nothing to write to"
[ -n "$(ls /home)" ]
both
for pid in "${processes[@]}"; do
  grep -qP '^NoNewPrivs:\t1$' /proc/$pid/status
  grep -qP '^Seccomp:\t2$' /proc/$pid/status
  grep -qP '^CapBnd:\t0000000000000000$' /proc/$pid/status
  [ "$(stat -c %U /proc/$pid)" = zimaged ]
  [ "$(readlink /proc/$pid/ns/net)" != "$(readlink /proc/self/ns/net)" ]
  [ -z "$(ls /proc/$pid/root/home)" ]
  awk '$5 == "/" { options = $6 } END { exit options !~ /^ro(,|$)/ }' /proc/$pid/mountinfo
  grep -q '^Max core file size *0 *0 ' /proc/$pid/limits
done
ok

check "a worker killed during an image: the same image follows, from the same daemon"
draw undisturbed.png --steps 40
before=$(main) restarts=$(of NRestarts)
deaths=$(metric worker_restarts_total) resumed=$(metric jobs_resumed_total)
draw killed.png --steps 40 &
until_so is_busy
kill -9 "$(worker)"
wait $!
cmp /home/member/{undisturbed,killed}.png
[ "$(metric worker_restarts_total) $(metric jobs_resumed_total)" = "$((deaths + 1)) $((resumed + 1))" ]
[ "$(main) $(of NRestarts)" = "$before $restarts" ]
ok

check "out of memory, the kernel kills the worker, and the image follows"
[ "$(cat /proc/"$(worker)"/oom_score_adj)" -gt "$(cat /proc/"$(main)"/oom_score_adj)" ]
draw oom.png --steps 40 &
until_so is_busy
worker >$shared/oom
until_so test -e $shared/oom.ready
how="killed by the kernel"
if [ "$(cat $shared/oom.ready)" = none ]; then
  how="no control group to run out in, so by kill -9"
  kill -9 "$(worker)"
fi
wait $!
cmp /home/member/{undisturbed,oom}.png
[ "$(metric worker_restarts_total) $(metric jobs_resumed_total)" = "$((deaths + 2)) $((resumed + 2))" ]
[ "$how" != "killed by the kernel" ] || { until_so test -s $shared/oom.kills && [ "$(cat $shared/oom.kills)" -ge 1 ]; }
[ "$(main) $(of NRestarts)" = "$before $restarts" ]
ok "$how"

check "restarted with one job running, others queued and others arriving: no job is refused"
draw running.png --steps 40 &
until_so is_busy
clients=($!)
for n in 1 2 3; do draw waiting-$n.png & clients+=($!); done
until_so status_has '"queued":3'
systemctl restart --no-block zimaged.service
until_so is_stopping
for n in 1 2 3; do draw coming-$n.png & clients+=($!); done
for client in "${clients[@]}"; do wait "$client"; done
cmp /home/member/{undisturbed,running}.png
for n in 1 2 3; do cmp /home/member/first.png /home/member/waiting-$n.png; cmp /home/member/first.png /home/member/coming-$n.png; done
[ "$(main)" != "$before" ]
ok "${#clients[@]} clients"

check "the weights outlive a restart in systemd's fd store"
systemctl stop zimaged.service 2>/dev/null
[ "$(of NFileDescriptorStore)" = 0 ]
systemctl start zimaged.service
until_so is_ready
read -r from bytes <<<"$(weights)"
[ "$from" = checkpoint ]
[ "$bytes" -gt 1000000 ]
until_so has_stored
before=$(main)
systemctl restart zimaged.service
until_so is_ready
[ "$(main)" != "$before" ]
read -r now bytes_now <<<"$(weights)"
[ "$now" = retained ]
# In float32 they take more memory than in the file.
[ "$bytes_now" -ge "$bytes" ]
[ "$(of NFileDescriptorStore)" -ge 1 ]
ok "$bytes_now bytes $now"

check "a killed daemon is restarted, and a client that connects meanwhile gets its image"
before=$(main)
kill -9 "$before"
draw after-kill.png
cmp /home/member/{first,after-kill}.png
[ "$(main)" != "$before" ]
ok

check "stopped, the daemon finishes the image, exits with 0 and releases everything"
draw last.png --steps 40 &
until_so is_busy
both
systemctl stop zimaged.socket zimaged.service
wait $!
cmp /home/member/{undisturbed,last}.png
[ "$(of ActiveState) $(of Result) $(of ExecMainStatus) $(of NFileDescriptorStore)" = "inactive success 0 0" ]
for pid in "${processes[@]}"; do [ ! -e "/proc/$pid" ]; done
[ ! -e /run/zimaged/zimaged.sock ]
status=0
as member zimg status >$shared/said 2>&1 || status=$?
[ $status = 69 ]
ok

check "from cold, the socket alone: the first client starts the service"
systemctl start zimaged.socket
[ "$(of ActiveState)" = inactive ]
draw cold.png
cmp /home/member/{first,cold}.png
[ "$(of ActiveState)" = active ]
ok

check "the watchdog replaces a daemon that hangs, and the waiting client gets its image"
drop_in WatchdogSec=3 TimeoutAbortSec=5
systemctl restart zimaged.service
before=$(main) restarts=$(of NRestarts)
kill -STOP "$before"
draw watched.png
cmp /home/member/{first,watched}.png
[ "$(main)" != "$before" ]
[ "$(of NRestarts)" = $((restarts + 1)) ]
[ "$(systemd_logged UNIT_RESULT=watchdog)" = 1 ]
drop_in
ok

check "a wrong configuration is reported once and not retried; corrected, the daemon starts"
mkdir -p /etc/zimaged
echo 'modle = "tiny"' >/etc/zimaged/zimaged.toml
status=0
systemctl restart zimaged.service 2>/dev/null || status=$?
[ $status != 0 ]
[ "$(of ActiveState) $(of ExecMainStatus) $(of NRestarts)" = "failed 78 0" ]
[ "$(logged 'event="start_failed"')" = 1 ]
[ "$(logged modle)" -ge 1 ]
rm /etc/zimaged/zimaged.toml
systemctl restart zimaged.service
draw right.png
cmp /home/member/{first,right}.png
ok

check "on a CPU without its drop-in the service explains what is missing"
drop_in MemoryDenyWriteExecute=yes
systemctl restart zimaged.service
status=0
draw mdwe.png >$shared/said 2>&1 || status=$?
[ $status = 78 ]
grep -q 'cpu.conf' $shared/said
drop_in
systemctl restart zimaged.service
draw mdwe.png
cmp /home/member/{first,mdwe}.png
ok "$(head -n 1 $shared/said)"

check "the journal has a line for each job and no prompt"
[ "$(logged 'must not be logged')" = 0 ]
[ "$(logged 'uid=1000')" -ge 10 ]
ok "$(logged 'uid=1000') lines"

check "a user's own service: activated by its socket, for that user alone"
loginctl enable-linger member
export XDG_RUNTIME_DIR=/run/user/$(id -u member)
until_so as member systemctl --user is-active --quiet default.target
as member systemctl --user enable --now --quiet zimaged.socket
[ "$(stat -c '%a %U' "$XDG_RUNTIME_DIR"/zimaged "$XDG_RUNTIME_DIR"/zimaged/zimaged.sock | tr '\n' ' ')" = "700 member 600 member " ]
draw own.png
cmp /home/member/{first,own}.png
as member systemctl --user is-active --quiet zimaged.service
as member systemctl --user stop zimaged.socket zimaged.service
unset XDG_RUNTIME_DIR
ok

journalctl --no-pager -u zimaged -u zimaged.socket >$shared/journal
echo "all $passed checks passed"
