#!/usr/bin/env bash
# `make recording`: builds, records docs/recording.svg, and generates the images of docs/tour.md.
set -euo pipefail
cd "$(dirname "$0")/../../.."

contrib/dev/need.sh cargo c++ python
"${CARGO:-cargo}" build --locked -p zimg -p zimaged -p zimage-worker
python=$(contrib/dev/venv.sh recording target/recording contrib/lab/recording/requirements.txt "a terminal in memory")
programs=${CARGO_TARGET_DIR:-target}/debug
"$python" -B contrib/lab/recording/record.py "$programs" docs/recording.svg
"$python" -B contrib/lab/recording/tour.py "$programs" docs/tour
