#!/usr/bin/env bash
# `make docs`: regenerates man pages, completions and docs/reference.md from the definition of the
# command line. A test compares them, so this runs whenever an option changes.
set -euo pipefail
cd "$(dirname "$0")/../.."
contrib/dev/programs.sh --quiet
zimg=${CARGO_TARGET_DIR:-target}/debug/zimg
mkdir -p contrib/packaging/man contrib/packaging/completions
rm -f contrib/packaging/man/zimg*.1
"$zimg" man contrib/packaging/man
"$zimg" completions bash >contrib/packaging/completions/zimg.bash
"$zimg" completions zsh >contrib/packaging/completions/_zimg
"$zimg" completions fish >contrib/packaging/completions/zimg.fish

# help_of COMMAND…: a section with the command's long help
help_of() { printf '\n## %s\n\n```text\n%s\n```\n' "$*" "$("$zimg" "${@:2}" --help)"; }
{
  printf '# Reference\n\nWhat `zimg --help` and `zimg COMMAND --help` print, made by `make docs`. [cli.md](cli.md) explains it.\n'
  help_of zimg
  for page in contrib/packaging/man/zimg-*.1; do
    command=${page##*/zimg-}
    help_of zimg "${command%.1}"
  done
} >docs/reference.md
