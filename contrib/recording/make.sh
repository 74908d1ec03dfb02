#!/usr/bin/env bash
# `make recording`: builds, records docs/recording.svg, and makes the images of docs/tour.md.
set -euo pipefail
cd "$(dirname "$0")/../.."

contrib/need.sh cargo c++ python
"${CARGO:-cargo}" build --locked -p zimg -p zimaged -p zimage-worker
python=$(contrib/venv.sh recording target/recording contrib/recording/requirements.txt "a terminal in memory")
programs=${CARGO_TARGET_DIR:-target}/debug
"$python" -B contrib/recording/record.py "$programs" docs/recording.svg
"$python" -B contrib/recording/tour.py "$programs" docs/tour
