#!/usr/bin/env bash
# `make web-proxy-test`: zimg-web behind nginx and Caddy with the very blocks of docs/web.md, with their paths and
# ports replaced: the page over TLS, a session whose cookie goes over TLS alone, and events that are not held
# back. Exits with 69 if neither is there, with 75 if one is missing.
set -euo pipefail
cd "$(dirname "$0")/../.."
say() { echo "web-proxy-test: $*"; }
for program in openssl curl; do
  command -v "$program" >/dev/null || { say "not run: $program is missing" >&2; exit 69; }
done
proxies=()
missing=()
for proxy in nginx caddy; do
  if command -v $proxy >/dev/null; then proxies+=("$proxy"); else missing+=("$proxy"); fi
done
[ ${#proxies[@]} -gt 0 ] || { say "not run: nginx and caddy are missing" >&2; exit 69; }
contrib/dev/programs.sh --quiet
web=$PWD/${CARGO_TARGET_DIR:-target}/debug/zimg-web

at=$(mktemp -d)
started=()
finish() {
  [ -e "$at/nginx.pid" ] && kill "$(cat "$at/nginx.pid")" 2>/dev/null || true
  [ ${#started[@]} = 0 ] || kill "${started[@]}" 2>/dev/null || true
  rm -rf "$at"
}
trap finish EXIT

key=$("$web" --keys "$at/keys" --new-key ann)
"$web" --listen 127.0.0.1:0 --socket "$at/none" --state-dir "$at/state" --keys "$at/keys" \
  --host zimg.example --public-url https://zimg.example 2>"$at/log" &
started+=($!)
until grep -qs 'http://' "$at/log"; do sleep 0.05; done
behind=$(grep -o '127.0.0.1:[0-9]*' "$at/log" | head -n 1)

# block FIRST: the block of docs/web.md that begins with this line, before zimg-web of this test
block() {
  awk -v first="$1" '$0 == first { on = 1 } on { print } /^\}/ { on = 0 }' docs/web.md |
    sed "s|127.0.0.1:7860|$behind|"
}

start_nginx() {
  openssl req -x509 -newkey rsa:2048 -nodes -keyout "$at/key" -out "$at/cert" -days 2 -subj /CN=zimg.example 2>/dev/null
  {
    printf 'pid %s/nginx.pid;\nerror_log %s/error;\nevents {}\nhttp {\naccess_log off;\n' "$at" "$at"
    block 'server {' | sed -e "s|listen 443|listen 127.0.0.1:$1|" -e "s|/etc/ssl/zimg.example.pem|$at/cert|" \
      -e "s|/etc/ssl/private/zimg.example.key|$at/key|"
    echo '}'
  } >"$at/nginx.conf"
  nginx -c "$at/nginx.conf" 2>"$at/nginx.log" || { cat "$at/nginx.log" >&2; exit 70; }
}

# Its certificates come from an authority of its own instead of the public one.
start_caddy() {
  {
    printf '{\n\tadmin off\n\tlocal_certs\n\tskip_install_trust\n\tauto_https disable_redirects\n'
    printf '\tdefault_bind 127.0.0.1\n\thttps_port %s\n\tstorage file_system %s/caddy\n}\n' "$1" "$at"
    block 'zimg.example {'
  } >"$at/Caddyfile"
  HOME=$at caddy run --adapter caddyfile --config "$at/Caddyfile" 2>"$at/caddy.log" &
  started+=($!)
}

# holds WHAT PATTERN: standard input has a line of this pattern
holds() { tee "$at/said" | grep "$2" >/dev/null || { cat "$at/said" >&2; say "$proxy, $1: no $2" >&2; exit 1; }; }
ask() { curl -s -m 5 -k --resolve "zimg.example:$port:127.0.0.1" "$@"; }
said=()
for proxy in "${proxies[@]}"; do
  port=$((20000 + RANDOM % 20000))
  "start_$proxy" $port
  site=https://zimg.example:$port
  for _ in $(seq 100); do ask "$site/" >/dev/null && break; sleep 0.1; done
  ask "$site/" | holds "the page" '<title>zimg'
  ask "$site/zimg/v1/jobs" | holds "without a key" no_key
  ask -i -H 'Content-Type: application/json' -H "Origin: $site" -d "{\"key\":\"$key\"}" \
    "$site/zimg/v1/session" | holds "the session" '^set-cookie: .*HttpOnly; SameSite=Strict; Secure'
  # The stream has no end: what came within two seconds was not held back.
  { ask -N -m 2 -H "Authorization: Bearer $key" "$site/zimg/v1/events" || true; } | holds "the events" '^event: reset'
  case $proxy in
    nginx) said+=("$(nginx -v 2>&1 | sed 's/.*: //')") ;;
    caddy) said+=("Caddy $(caddy version | cut -d ' ' -f 1)") ;;
  esac
done
passed=$(printf '%s, ' "${said[@]}")
passed=${passed%, }
if [ ${#missing[@]} -gt 0 ]; then
  say "$passed: page, session and events pass; missing: ${missing[*]}"
  exit 75
fi
say "$passed: page, session and events pass"
