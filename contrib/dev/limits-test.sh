#!/usr/bin/env bash
# `make limits-test`: zimaged in control groups that limit memory, CPUs and processes. Exits with 69
# where groups cannot be created: it needs root, and a hierarchy with the controllers that is writable.
set -euo pipefail
cd "$(dirname "$0")/../.."
suite=limits-test

# group CONTROLLER: a new group of this controller in $group; ends the suite where that is refused
made=()
group() {
  local top=/sys/fs/cgroup/$1
  [ -d "$top" ] || top=/sys/fs/cgroup
  group=$top/zimg-limits-$$-$1
  if ! mkdir "$group" 2>/dev/null || ! grep -qs . "$group/cgroup.procs" && [ ! -w "$group/cgroup.procs" ]; then
    echo "$suite: not run: a control group of $1 cannot be created here (be root, with a writable /sys/fs/cgroup)" >&2
    exit 69
  fi
  made+=("$group")
  if [ ! -d "/sys/fs/cgroup/$1" ] && ! grep -qw "$1" "$group/cgroup.controllers"; then
    rmdir "$group"
    echo "$suite: not run: the controller $1 is not available to groups of /sys/fs/cgroup" >&2
    exit 69
  fi
}
# limit FILE-OF-V1 FILE-OF-V2 VALUE [VALUE-OF-V2]
limit() {
  if [ -e "$group/$1" ]; then echo "$3" >"$group/$1"; else echo "${4:-$3}" >"$group/$2"; fi
}

group memory # before anything is built: where it is refused, the suite ends here
contrib/dev/programs.sh --quiet
"${CARGO:-cargo}" build --quiet --locked -p zimage-checkpoint --example random_checkpoint
. contrib/dev/harness.sh
cleanup() { for folder in "${made[@]}"; do rmdir "$folder" 2>/dev/null || true; done; }
export ZIMG_SOCKET=$private/socket

# start OPTIONS…: a daemon in $group
start() {
  rm -f "$private/socket"
  # shellcheck disable=SC2016
  bash -c 'echo $$ >"$0/cgroup.procs"; exec "$@"' "$group" "$bin/zimaged" \
    --config "$private/zimaged.toml" --socket "$private/socket" --state-dir off "$@" 2>"$private/log" &
  daemon=$!
  until_so "the socket" listening
}
# error_is TEXT: the worker's last error, in the status
error_is() { run "$bin/zimg" status --json && [[ $said == *'"last_error":"'*"$1"* ]]; }
is_ready() { run "$bin/zimg" status --json && [[ $said == *'"state":"ready"'* ]]; }

limit memory.limit_in_bytes memory.max $((120 << 20))
start
until_so "the limit of memory" error_is "the kernel ended the worker for lack of memory: 120 MiB are allowed here"
stop_daemon
say "a worker that the kernel kills for lack of memory says so, with the limit"

# A checkpoint of 0.7 GB, 1.3 GB as float32, where 600 MiB are allowed for the page cache and all else.
model=$private/model
cp -rL tests/fixtures/reference/plain "$model"
sed -i 's/"dim": 64/"dim": 1024/; s/"n_heads": 2/"n_heads": 32/; s/"n_kv_heads": 2/"n_kv_heads": 32/;
  s/"n_layers": 3/"n_layers": 24/' "$model/transformer/config.json"
"${CARGO_TARGET_DIR:-target}/debug/examples/random_checkpoint" "$model"
limit memory.limit_in_bytes memory.max $((600 << 20))
small=(--model "$model" --device cpu --dtype float32 --warmup 64x64)
start "${small[@]}"
until_so "a model that is larger than the memory" error_is "600 MiB are allowed here"
stop_daemon
start "${small[@]}" --memory 300MiB
run "$bin/zimg" draw "a red circle" --size 64x64 --steps 2 --seed 1 -o "$private/small.png"
[ "$code" = 0 ] || fail "a memory plan in little memory: status $code: $said"
run "$bin/zimg" status
[[ $said == *" of 26 blocks resident"* ]] || fail "zimg status shows no plan: $said"
run "$bin/zimg" status --json
[[ $said == *'"restarts":0'* ]] || fail "the worker was restarted: $said"
stop_daemon
say "a model that is larger than the memory works with a memory plan: its weights are read for each step"
limit memory.limit_in_bytes memory.max $((120 << 20))

group pids
for most in 3 4 6 8; do
  limit pids.max pids.max "$most"
  start
  until_so "$most processes" error_is "no more threads and processes can be started: $most in this control group (pids.max)"
  stop_daemon
done
limit pids.max pids.max max
say "wherever no thread or process can be started, the limit is told"

group cpu
limit cpu.cfs_quota_us cpu.max 50000 "50000 100000"
# threads_of OPTIONS…: starts a daemon; the threads of its worker, which has warmed up, in $threads
threads_of() {
  start "$@"
  until_so "a worker with half a CPU" is_ready
  threads=$(find "/proc/$(pgrep -P "$daemon")/task" -mindepth 1 -maxdepth 1 | wc -l)
}
threads_of --threads 1
configured=$threads
stop_daemon
threads_of
[ "$threads" = "$configured" ] ||
  fail "half a CPU: $threads threads by default, and $configured with --threads 1"
run "$bin/zimg" doctor --json
[[ $said == *'0.50 of'* ]] || fail "zimg doctor does not tell the quota: $said"
stop_daemon
say "threads follow the CPU quota"
say "memory, processes and CPUs that control groups limit are told and heeded"
