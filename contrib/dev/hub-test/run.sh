#!/usr/bin/env bash
# `make hub-test`: zimg and huggingface_hub with one cache, fed by a small server on this machine.
# huggingface_hub finds what zimg fetched, and each continues or leaves alone what the other left
# half; the full disk is a small tmpfs where mounting is permitted. Exits with 69 without Python, and
# with 75 without that disk.
set -euo pipefail
cd "$(dirname "$0")/../../.."
suite=hub-test
contrib/dev/need.sh cargo python
work=${XDG_CACHE_HOME:-$HOME/.cache}/zimg/hub-test
mkdir -p "$work"
python=$(contrib/dev/venv.sh "$suite" "$work" contrib/dev/hub-test/requirements.txt huggingface_hub)
contrib/dev/programs.sh --quiet
zimg=${CARGO_TARGET_DIR:-target}/debug/zimg
zimg=$(realpath "$zimg")
here=$PWD/contrib/dev/hub-test
private=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; umount "$private/small" 2>/dev/null || true; rm -rf "$private"' EXIT
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy HF_TOKEN HF_HOME
export HOME=$private HF_HUB_DISABLE_TELEMETRY=1 HF_HUB_DISABLE_XET=1 HF_HUB_DISABLE_PROGRESS_BARS=1

fail() { echo "$suite: $1" >&2; exit 1; }

# server NAME [CUT]: a new cache and a server for it
server() {
  export HF_HUB_CACHE=$private/$1
  rm -f "$private/port"
  "$python" "$here/server.py" "$private/port" ${2:+"$2"} 2>>"$private/server.log" &
  until [ -e "$private/port" ]; do read -rt 0.05 <> <(:) || true; done
  export HF_ENDPOINT=http://127.0.0.1:$(cat "$private/port")
}
# The files of a cache with their contents and links, except for locks and what only huggingface_hub has.
tree() {
  (cd "$1" && find . \( -path ./.locks -o -name trees -o -name CACHEDIR.TAG \) -prune -o \
    \( -type l -printf '%p -> %l\n' -o -type f -exec sha256sum {} \; \)) | sort
}

server zimg
[ "$("$zimg" pull -q)" = "$HF_HUB_CACHE/models--Tongyi-MAI--Z-Image-Turbo/snapshots/2f862278568d3f0a83167a16e5f11094da6dee72" ] || fail "another folder"
"$python" "$here/witness.py" see
server python
"$python" "$here/witness.py" fetch >/dev/null
diff <(tree "$private/zimg") <(tree "$private/python") || fail "the caches differ"
"$zimg" pull -n | tail -1 | grep -q ', 0 B to fetch' || fail "zimg would fetch again what huggingface_hub fetched"
echo "$suite: the same cache from both"

# huggingface_hub is killed in the middle, and zimg continues.
server killed 5000000
"$python" "$here/witness.py" die "$private/port.pid" 2>/dev/null && fail "huggingface_hub was not killed"
left=$(find "$HF_HUB_CACHE" -name '*.incomplete' -printf '%s\n' | sort -n | tail -1)
[ "${left:-0}" -gt 1000000 ] || fail "huggingface_hub left nothing"
"$zimg" pull -n | grep 'transformer/diffusion.*there' || fail "zimg does not see the beginning"
"$zimg" pull -q >/dev/null
"$python" "$here/witness.py" see
echo "$suite: zimg continued after $left bytes of huggingface_hub"

# zimg is killed, and huggingface_hub completes the cache; then zimg has nothing left to do.
server killed-too 5000000
("$zimg" pull -q & echo $! >"$private/port.pid"; wait $!) 2>/dev/null && fail "zimg was not killed"
"$python" "$here/witness.py" fetch >/dev/null
"$zimg" pull -q >/dev/null
"$python" "$here/witness.py" see
echo "$suite: huggingface_hub completed what zimg left"

# A disk that becomes full: 20 MB for 49 MB, and what the user adds meanwhile.
mkdir "$private/small"
if mount -t tmpfs -o size=20m none "$private/small" 2>/dev/null; then
  server small
  code=0
  said=$("$zimg" pull -q 2>&1) || code=$?
  [ "$code" = 74 ] && [[ $said == *" free, but "*" are needed"* ]] || fail "before a full disk: $code $said"
  # There is room when it begins, and then another program takes it.
  mount -o remount,size=80m "$private/small"
  HUB_FILL=50000000 server small
  code=0
  said=$("$zimg" pull -q --yes 2>&1) || code=$?
  [ "$code" = 74 ] && [[ $said == *"is full"* ]] || fail "on a full disk: $code $said"
  rm "$private/small/filler"
  server small
  "$zimg" pull -q --yes >/dev/null
  "$python" "$here/witness.py" see
  mount -o remount,ro "$private/small"
  "$zimg" pull -q >/dev/null || fail "a whole read-only cache"
  echo "$suite: one cache for zimg and huggingface_hub, whichever is killed, on full and read-only disks"
else
  echo "$suite: one cache for both; not on full and read-only disks, as mounting is not permitted here"
  exit 75
fi
