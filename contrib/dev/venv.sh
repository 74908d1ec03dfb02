#!/usr/bin/env bash
# Makes a virtual environment with what a requirements file lists, unless it is there, and prints its Python's path.
# usage: venv.sh NAME FOLDER REQUIREMENTS WHAT, where NAME is who speaks, and WHAT says what is installed
set -euo pipefail
name=$1 work=$2 wanted=$3 what=$4
if ! cmp -s "$wanted" "$work/installed.txt"; then
  echo "$name: installing $what into $work/venv" >&2
  "${PYTHON:-python3}" -m venv --clear "$work/venv" || {
    echo "$name: Python cannot make a venv: install the package python3-venv" >&2
    exit 69
  }
  "$work/venv/bin/python" -m pip install --quiet --requirement "$wanted" >&2
  cp "$wanted" "$work/installed.txt"
fi
echo "$work/venv/bin/python"
