#!/usr/bin/env bash
# Makes tests/fixtures/metadata again; needs the tools that its README lists.
set -euo pipefail
cd "$(dirname "$0")/../../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet -r contrib/lab/metadata/requirements.txt
cargo run --quiet --package zimg-image --example own_files "$work"
fixtures=tests/fixtures/metadata
rm -rf "$fixtures/tools" "$fixtures/programs"
"$work/venv/bin/python" contrib/lab/metadata/resave.py "$work" "$fixtures/tools"
"$work/venv/bin/python" contrib/lab/metadata/programs.py "$fixtures/programs"
"$work/venv/bin/python" contrib/lab/metadata/witness.py "$work" > "$fixtures/witness.json"
