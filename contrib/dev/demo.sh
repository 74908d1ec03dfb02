#!/usr/bin/env bash
# `make demo`: builds, starts zimaged with the built-in model on a private socket, generates demo.png, stops it.
# DEVICE and OUT may name another device and file.
set -euo pipefail
cd "$(dirname "$0")/../.."

prompt="a red circle on a white background"
out=${OUT:-demo.png}
seconds() { awk -v from="$1" -v to="$EPOCHREALTIME" 'BEGIN { printf "%.1f s", to - from }'; }
say() { echo "demo: $*"; }

contrib/dev/need.sh cargo c++
began=$EPOCHREALTIME
say "building (the first time takes some minutes)"
# The dev profile: its dependencies are optimised, and `make test` uses the same ones.
contrib/dev/programs.sh
bin=${CARGO_TARGET_DIR:-target}/debug
say "built in $(seconds "$began")"

private=$(mktemp -d)
daemon=
finish() {
  if [ -n "$daemon" ]; then
    kill "$daemon" 2>/dev/null || true
    wait "$daemon" 2>/dev/null || true
  fi
  rm -rf "$private"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# The user's own configuration does not take part.
for name in $(compgen -e ZIMAGED_ || true) $(compgen -e ZIMG_ || true); do unset "$name"; done
export ZIMG_CONFIG=
socket=$private/zimaged.sock
: >"$private/zimaged.toml"
began=$EPOCHREALTIME
"$bin/zimaged" --config "$private/zimaged.toml" --socket "$socket" --state-dir off --model tiny --device "${DEVICE:-auto}" \
  2>"$private/log" &
daemon=$!
until [ -S "$socket" ]; do
  if ! kill -0 "$daemon" 2>/dev/null; then
    say "zimaged did not start:" "$(tail -n 1 "$private/log")" >&2
    exit 70
  fi
  sleep 0.02
done

# The daemon is still loading: the client waits.
if ! "$bin/zimg" --socket "$socket" "$prompt" --seed 1 --force -o "$out"; then
  say "no image; the daemon's log:" >&2
  cat "$private/log" >&2
  exit 70
fi
say "started zimaged and drew the first image in $(seconds "$began")"
began=$EPOCHREALTIME
"$bin/zimg" --socket "$socket" -q "$prompt" --seed 1 --force -o "$out"
say "drew it again, warm, in $(seconds "$began")"
kill "$daemon"
wait "$daemon" || say "zimaged ended with status $?" >&2
daemon=
say "in the browser: $bin/zimaged --model tiny & $bin/zimg web"
say "stopped zimaged; $out shows \"$prompt\""
