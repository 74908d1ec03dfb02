#!/usr/bin/env bash
# `make deny`: checks with cargo-deny that the crates that zimg is built from are what
# contrib/dev/deny.toml accepts. The advisories are fetched; without a network those of the last fetch serve.
# Exits with 69 where there is no cargo-deny, and with 75 where only the advisories were not checked.
set -euo pipefail
cd "$(dirname "$0")/../.."
cargo=${CARGO:-cargo}

"$cargo" deny --version >/dev/null 2>&1 || {
  echo "deny: not run: cargo-deny is missing: cargo install --locked cargo-deny" >&2
  exit 69
}
deny() { "$cargo" deny --config contrib/dev/deny.toml --locked --log-level error "$@"; }

deny check licenses bans sources
if deny fetch db; then
  deny check advisories
  echo "deny: licences, bans, sources and advisories are sound"
elif compgen -G "${CARGO_HOME:-$HOME/.cargo}/advisory-dbs/*/crates" >/dev/null; then
  echo "deny: the advisories are those of the last fetch, their source is out of reach" >&2
  deny --offline check advisories
  echo "deny: licences, bans and sources are sound, and the advisories of the last fetch"
else
  echo "deny: advisories not checked, their source is out of reach" >&2
  exit 75
fi
