#!/usr/bin/env bash
# `make units`: checks the units with systemd-analyze. They must have no fault, and the exposure of the
# system service must be at most 1.0 of 10, with and without the drop-in for the CPU; so must that of the
# web service apart from the network, which it is for.
set -euo pipefail
cd "$(dirname "$0")/../.."

if ! command -v systemd-analyze >/dev/null; then
  echo "units: not checked: systemd-analyze is missing (package systemd; no systemd has to run)" >&2
  exit 69
fi
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
export XDG_RUNTIME_DIR=$tree SYSTEMD_COLORS=0 SYSTEMD_EMOJI=0

# The units name the program, so it must exist.
mkdir -p "$tree"/{system,user,bin}
ln -s /bin/true "$tree/bin/zimaged"
ln -s /bin/true "$tree/bin/zimg-web"
for unit in {system,user}/zimaged.{service,socket}; do
  sed "s|@PREFIX@|$tree|" "systemd/$unit" >"$tree/$unit"
done
for unit in system/zimg-web.{service,socket}; do
  sed "s|@PREFIX@|$tree|" "systemd/$unit" >"$tree/$unit"
done
mkdir -p "$tree/share/zimg/desktop"
ln -s /bin/true "$tree/share/zimg/desktop/zimg-wallpaper"
for unit in zimg-wallpaper.{service,timer}; do
  sed "s|@PREFIX@|$tree|" "contrib/packaging/desktop/$unit" >"$tree/user/$unit"
done
systemd-analyze verify --man=no --recursive-errors=no "$tree"/system/*
systemd-analyze verify --man=no --recursive-errors=no --user "$tree"/user/*

# exposure WHAT [UNIT]: checks a service in the tree; the threshold counts in tenths
exposure() {
  if ! systemd-analyze security --offline=yes --threshold=10 "$tree/system/${2:-zimaged.service}" >"$tree/said"; then
    grep -v '^✓' "$tree/said" >&2
    echo "units: $1 is too exposed" >&2
    exit 1
  fi
  echo "units: $1: $(sed -n 's/^→ Overall exposure level for [^:]*: //p' "$tree/said")"
}
exposure "the service"
sed -n '/^\[Service\]/,$p' systemd/system/cpu.conf >>"$tree/system/zimaged.service"
systemd-analyze verify --man=no --recursive-errors=no "$tree"/system/*
exposure "the service with cpu.conf"
# What the network costs: with PrivateNetwork=, and without the families of addresses, the rest is seen.
sed -i -e 's/^RestrictAddressFamilies=.*/RestrictAddressFamilies=AF_UNIX/' -e '/^IPAddressAllow=/d' \
  -e 's/^PrivateTmp=yes/&\nPrivateNetwork=yes/' "$tree/system/zimg-web.service"
exposure "the web service apart from the network" zimg-web.service
echo "units: $(systemd-analyze --version | head -n 1) finds no fault"
