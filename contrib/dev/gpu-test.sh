#!/usr/bin/env bash
# `make gpu-test`: on an NVIDIA GPU, compares every kernel with libtorch, checks that memory outlives its
# process, and generates images with the same worker binary, also under memory budgets. Exits with 69 where there is no GPU.
set -euo pipefail
cd "$(dirname "$0")/../.."
if [ ! -e /dev/nvidiactl ]; then
  echo "gpu-test: needs an NVIDIA GPU with its driver, and this machine has none" >&2
  exit 69
fi
"${PYTHON:-python3}" contrib/dev/libtorch/get.py
rm -f "${CARGO_TARGET_DIR:-target}/gpu-test.png"
for example in kernels expand map_kernels outlive; do
  "${CARGO:-cargo}" run --locked -p zimage-cuda --example "$example"
done
"${CARGO:-cargo}" run --locked -p zimg-tests --example gpu
DEVICE=cuda:0 OUT=${CARGO_TARGET_DIR:-target}/gpu-test.png contrib/dev/demo.sh
[ -s "${CARGO_TARGET_DIR:-target}/gpu-test.png" ]
echo "gpu-test: kernels, retained memory, images, memory budgets and the demo are right"
