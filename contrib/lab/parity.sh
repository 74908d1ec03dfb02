#!/usr/bin/env bash
# `make parity`: regenerates the reference values with diffusers in a venv, and compares the model with them.
# ZIMG_PARITY_PYTHON: a Python that has the packages of requirements.txt already.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mkdir -p "${CARGO_TARGET_DIR:-target}/parity" && cd "${CARGO_TARGET_DIR:-target}/parity" && pwd)
wanted=contrib/lab/reference/requirements.txt
say() { echo "parity: $*"; }

contrib/dev/need.sh cargo c++ python
python=${ZIMG_PARITY_PYTHON:-}
[ -n "$python" ] || python=$(contrib/dev/venv.sh parity "$work" "$wanted" "diffusers and torch (some GB)")

say "generating with the reference"
rm -rf "$work/fixture" "$work/table.md" "$work/images.md" "$work/controls.md"
"$python" contrib/lab/reference/make_fixture.py "$work/fixture"
say "comparing"
ZIMG_FIXTURE=$work/fixture ZIMG_PARITY_TABLE=$work/table.md \
  ZIMG_IMAGE_PARITY_TABLE=$work/images.md ZIMG_CONTROL_PARITY_TABLE=$work/controls.md \
  "${CARGO:-cargo}" test --locked --workspace --test parity --test image_parity --test control_parity \
  --test tokenizer
cat "$work/table.md" "$work/images.md" "$work/controls.md"
cases=$(grep -c '^| [^-]' "$work/table.md") || cases=0
[ "$cases" -gt 1 ] || {
  say "no case was compared" >&2
  exit 1
}
say "all $((cases - 1)) cases are within the promised distance of the reference"
