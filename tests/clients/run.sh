#!/usr/bin/env bash
# `make web-test`: the programs that people use, driven against zimg-web and `zimg mcp`: see README.md.
# Versions are pinned; what they are installed into stays in the cache folder. Exits with 69 if
# nothing could be installed, with 75 if npm or one of the packages is missing.
# usage: run.sh [quick|open-webui]; quick runs openai-python and webuiapi alone, from target/;
# open-webui runs Open WebUI alone, whose packages have 1.1 GB
set -euo pipefail
cd "$(dirname "$0")/../.."
suite=web-test
contrib/dev/need.sh cargo c++ python
work=${XDG_CACHE_HOME:-$HOME/.cache}/zimg/web-test
target=${CARGO_TARGET_DIR:-target}
here=tests/clients
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy
contrib/dev/programs.sh --quiet

# run PYTHON FILE…: tests of these files
run() { "$1" -B -m unittest discover --start-directory $here --pattern "$2"; }

if [ "${1:-}" = quick ]; then
  python=$(contrib/dev/venv.sh "$suite" "$target/clients" $here/requirements-quick.txt "openai-python and webuiapi")
  run "$python" test_openai.py
  run "$python" test_webuiapi.py
  echo "$suite: openai-python and webuiapi"
  exit
fi

missing=()
done=()
mkdir -p "$work"
# python NAME REQUIREMENTS WHAT FILE…: installs, and runs the tests of the files
python() {
  local name=$1 wanted=$2 what=$3 python file
  shift 3
  python=$(contrib/dev/venv.sh "$suite" "$work/$name" "$here/$wanted" "$what") || {
    missing+=("$what")
    return 0
  }
  for file; do run "$python" "$file"; done
  done+=("$what")
}
# npm NAME: installs the packages of a folder
npm_install() {
  command -v npm >/dev/null || return 1
  mkdir -p "$work/$1"
  cmp -s "$here/$1/package.json" "$work/$1/package.json" && [ -d "$work/$1/node_modules" ] && return
  cp "$here/$1/package.json" "$work/$1/"
  npm install --prefix "$work/$1" --ignore-scripts --no-audit --no-fund --silent >&2
}

open_webui() {
  # The wheel's own requirements have PyTorch and more, which its server starts without: what is
  # listed is installed, and nothing that is not.
  PIP_NO_DEPS=1 python openwebui requirements-open-webui.txt "Open WebUI" test_open_webui.py
}
if [ "${1:-}" = open-webui ]; then
  open_webui
  [ ${#done[@]} -gt 0 ] || exit 69
  echo "$suite: Open WebUI"
  exit
fi

python main requirements.txt "openai-python, webuiapi, Gradio and the MCP client" \
  test_openai.py test_webuiapi.py test_gradio.py test_mcp.py
[ ${#done[@]} -gt 0 ] || exit 69
python litellm requirements-litellm.txt LiteLLM test_litellm.py
python schemathesis requirements-schemathesis.txt schemathesis test_schemathesis.py
open_webui
for name in node sillytavern; do
  if npm_install $name; then
    export "ZIMG_CLIENTS_${name^^}=$work/$name"
    run "$work/main/venv/bin/python" test_$name.py
    done+=("$name")
  else
    missing+=("$name")
  fi
done
said=$(printf '%s, ' "${done[@]}")
if [ ${#missing[@]} -gt 0 ]; then
  echo "$suite: ${said%, } passed; not installed: ${missing[*]}"
  exit 75
fi
echo "$suite: ${said%, }"
