#!/usr/bin/env bash
# `make papers`: manual pages, completions and docs/reference.md anew, from the definition of the command line.
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

# What a command's long help is, under its name.
help_of() { printf '\n## %s\n\n```text\n%s\n```\n' "$*" "$("$zimg" "${@:2}" --help)"; }
{
  printf '# Reference\n\nWhat `zimg --help` and `zimg COMMAND --help` print, made by `make papers`. [cli.md](cli.md) explains it.\n'
  help_of zimg
  for page in contrib/man/zimg-*.1; do
    command=${page##*/zimg-}
    help_of zimg "${command%.1}"
  done
} >docs/reference.md
