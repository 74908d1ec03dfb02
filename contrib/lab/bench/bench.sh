#!/usr/bin/env bash
# `make bench`, `make gpu-bench` and `make memory-bench`: builds the programs, installs diffusers in a venv, and
# compares.
# usage: bench.sh cpu|gpu|memory [options of cpu.py, gpu.py or memory.py]
# ZIMG_BENCH_PYTHON: a Python that has the packages of requirements.txt already.
set -euo pipefail
cd "$(dirname "$0")/../../.."
what=${1:?usage: bench.sh cpu|gpu|memory [options]}
shift
work=$(mkdir -p "${CARGO_TARGET_DIR:-target}/bench" && cd "${CARGO_TARGET_DIR:-target}/bench" && pwd)
wanted=contrib/lab/bench/requirements.txt
say() { echo "bench: $*"; }

if [ "$what" != cpu ] && [ ! -e /dev/nvidiactl ]; then
  say "$what-bench needs an NVIDIA GPU with its driver, and this machine has none; \`make bench\` needs none" >&2
  exit 69
fi
contrib/dev/need.sh cargo c++ python
python=${ZIMG_BENCH_PYTHON:-}
[ -n "$python" ] || python=$(contrib/dev/venv.sh bench "$work" "$wanted" "diffusers and torch (some GB)")

say "building"
"${CARGO:-cargo}" build --locked --release -p zimg -p zimaged -p zimage-worker
"${CARGO:-cargo}" build --locked --release -p zimg-client --example latency
if [ "$what" = gpu ]; then
  "${CARGO:-cargo}" build --locked --release -p zimage --example latents --example replay
fi
exec "$python" "contrib/lab/bench/$what.py" --bin "${CARGO_TARGET_DIR:-target}/release" --out "$work" "$@"
