#!/usr/bin/env bash
# `make web-proxy-test`: zimg-web behind nginx with the very block of docs/web.md, with its paths and ports
# replaced: the page over TLS, a session whose cookie goes over TLS alone, and events that are not held back.
set -euo pipefail
cd "$(dirname "$0")/../.."
say() { echo "web-proxy-test: $*"; }
for program in nginx openssl curl; do
  command -v "$program" >/dev/null || { say "not run: $program is missing" >&2; exit 69; }
done
contrib/dev/programs.sh --quiet
web=$PWD/${CARGO_TARGET_DIR:-target}/debug/zimg-web

at=$(mktemp -d)
front=
finish() {
  [ -e "$at/pid" ] && kill "$(cat "$at/pid")" 2>/dev/null || true
  [ -z "$front" ] || kill "$front" 2>/dev/null || true
  rm -rf "$at"
}
trap finish EXIT

key=$("$web" --keys "$at/keys" --new-key ann)
"$web" --listen 127.0.0.1:0 --socket "$at/none" --state-dir "$at/state" --keys "$at/keys" \
  --host zimg.example --public-url https://zimg.example 2>"$at/log" &
front=$!
until grep -q 'http://' "$at/log"; do sleep 0.05; done
behind=$(grep -o '127.0.0.1:[0-9]*' "$at/log" | head -n 1)
port=$((20000 + RANDOM % 20000))

openssl req -x509 -newkey rsa:2048 -nodes -keyout "$at/key" -out "$at/cert" -days 2 -subj /CN=zimg.example 2>/dev/null
{
  printf 'pid %s/pid;\nerror_log %s/error;\nevents {}\nhttp {\naccess_log off;\n' "$at" "$at"
  awk '/^server \{/ { on = 1 } on { print } /^\}/ { on = 0 }' docs/web.md |
    sed -e "s|listen 443|listen 127.0.0.1:$port|" -e "s|http://127.0.0.1:7860|http://$behind|" \
      -e "s|/etc/ssl/zimg.example.pem|$at/cert|" -e "s|/etc/ssl/private/zimg.example.key|$at/key|"
  echo '}'
} >"$at/nginx.conf"
nginx -c "$at/nginx.conf" 2>"$at/nginx.log" || { cat "$at/nginx.log" >&2; exit 70; }

ask() { curl -s -m 5 -k --resolve "zimg.example:$port:127.0.0.1" "$@"; }
site=https://zimg.example:$port
# holds WHAT PATTERN: standard input has a line of this pattern
holds() { grep -q "$2" || { say "$1: no $2" >&2; exit 1; }; }
ask "$site/" | holds "the page" '<title>zimg'
ask "$site/zimg/v1/jobs" | holds "without a key" no_key
ask -i -H 'Content-Type: application/json' -H 'Origin: https://zimg.example' -d "{\"key\":\"$key\"}" \
  "$site/zimg/v1/session" | holds "the session" '^set-cookie: .*HttpOnly; SameSite=Strict; Secure'
# The stream has no end: what came within two seconds was not held back.
{ ask -N -m 2 -H "Authorization: Bearer $key" "$site/zimg/v1/events" || true; } | holds "the events" '^event: reset'
say "$(nginx -v 2>&1): page, session and events pass"
