#!/usr/bin/env bash
# `make papers`: the manual pages and completions anew, from the definition of the command line.
# A test compares them, so they are made whenever an option changes.
set -euo pipefail
cd "$(dirname "$0")/.."
"${CARGO:-cargo}" build --quiet --locked -p zimg
zimg=${CARGO_TARGET_DIR:-target}/debug/zimg
mkdir -p contrib/man contrib/completions
rm -f contrib/man/zimg*.1
"$zimg" man contrib/man
"$zimg" completions bash >contrib/completions/zimg.bash
"$zimg" completions zsh >contrib/completions/_zimg
"$zimg" completions fish >contrib/completions/zimg.fish
