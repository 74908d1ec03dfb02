#!/usr/bin/env bash
# Names the first tool that is missing, and how to install it: need.sh cargo c++ python rustfmt clippy
set -euo pipefail

missing() {
  echo "make: $1" >&2
  exit 69
}

for tool in "$@"; do
  case $tool in
    cargo) "${CARGO:-cargo}" --version >/dev/null 2>&1 || missing "cargo is missing: install Rust 1.90 or later" ;;
    c++) "${CXX:-c++}" --version >/dev/null 2>&1 || missing "a C++ compiler is missing: install g++ or clang, or name one with CXX" ;;
    python) "${PYTHON:-python3}" -c 'import sys; sys.exit(sys.version_info < (3, 9))' 2>/dev/null || missing "Python 3.9 or later is missing: install it, or name one with PYTHON" ;;
    rustfmt) "${CARGO:-cargo}" fmt --version >/dev/null 2>&1 || missing "rustfmt is missing: run 'rustup component add rustfmt'" ;;
    clippy) "${CARGO:-cargo}" clippy --version >/dev/null 2>&1 || missing "clippy is missing: run 'rustup component add clippy'" ;;
    node) node --eval 'process.exit(Number(parseInt(process.versions.node) < 20))' 2>/dev/null && npm --version >/dev/null 2>&1 || missing "Node 20 or later with npm is missing: install it" ;;
    chromium) "${CHROMIUM:-chromium}" --version >/dev/null 2>&1 || missing "Chromium is missing: install Debian's chromium, or name one with CHROMIUM" ;;
    *) missing "need.sh: unknown tool '$tool'" ;;
  esac
done
