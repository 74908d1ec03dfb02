#!/usr/bin/env bash
# `make nvrtc-test`: compiles every kernel for every compute capability that zimg supports, with NVRTC from
# PyPI (90 MB), in the version of the CUDA tree of libtorch. Needs no GPU. Exits with 69 without Python.
set -euo pipefail
cd "$(dirname "$0")/../.."
contrib/dev/need.sh cargo python
work=${XDG_CACHE_HOME:-$HOME/.cache}/zimg/nvrtc
mkdir -p "$work"
grep '^nvidia-cuda-nvrtc==' contrib/dev/libtorch/cu130.txt >"$work/requirements.txt"
python=$(contrib/dev/venv.sh nvrtc-test "$work" "$work/requirements.txt" "NVRTC")
library=$("$python" -c 'import pathlib, sysconfig; print(*pathlib.Path(sysconfig.get_path("purelib")).rglob("libnvrtc.so.13"))')
export LD_LIBRARY_PATH=${library%/*}${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} ZIMG_NVRTC_TEST=1
"${CARGO:-cargo}" test --quiet --locked --workspace --lib -- kernels::compile
echo "nvrtc-test: every kernel compiles for every compute capability"
