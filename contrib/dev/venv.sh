#!/usr/bin/env bash
# Creates a virtual environment from a requirements file, unless it exists, and prints the path of its Python.
# usage: venv.sh NAME FOLDER REQUIREMENTS WHAT; NAME begins each message, WHAT describes what is installed
set -euo pipefail
name=$1 work=$2 wanted=$3 what=$4
if ! cmp -s "$wanted" "$work/installed.txt"; then
  echo "$name: installing $what into $work/venv" >&2
  "${PYTHON:-python3}" -m venv --clear "$work/venv" || {
    echo "$name: Python cannot make a venv: install the package python3-venv" >&2
    exit 69
  }
  "$work/venv/bin/python" -m pip install --quiet --requirement "$wanted" >&2 || {
    echo "$name: not run: pip cannot install $wanted: see above" >&2
    exit 69
  }
  cp "$wanted" "$work/installed.txt"
fi
echo "$work/venv/bin/python"
