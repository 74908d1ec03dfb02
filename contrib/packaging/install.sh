#!/usr/bin/env bash
# `make install` and `make uninstall`: the tree under DESTDIR/PREFIX.
#
#   bin/{zimg,zimaged,zimg-web}  libexec/zimaged/zimage-worker  lib/zimaged/{torch/lib,nvidia/*/lib}
#   lib/systemd/{system,user}/zimaged.{service,socket}  lib/{sysusers,tmpfiles}.d/zimaged.conf
#   lib/systemd/system/zimg-web.{service,socket}  lib/sysusers.d/zimg-web.conf
#   lib/systemd/system/zimaged.service.d/cpu.conf, with a libtorch that has no CUDA
#   share/man/man1/zimg*.1  share/{bash-completion/completions,zsh/site-functions,fish/vendor_completions.d}
#   share/zimg/desktop, and its units in lib/systemd/user
#   share/doc/zimaged
#
# zimaged finds its worker, the worker its libtorch, and libtorch its libraries from where they
# lie themselves, so the tree may be moved; only the units name PREFIX.
# COPY=link makes hard links of the libtorch's files where that is possible (for tests).
set -euo pipefail
cd "$(dirname "$0")/../.."
root=${DESTDIR:-}${PREFIX:-/usr/local}
if [[ ${PREFIX:-/} != /* ]]; then
  echo "install: PREFIX=$PREFIX is no absolute path: write it out, \$HOME for ~" >&2
  exit 64
fi
units=(systemd/{system,user}/zimaged.{service,socket} {sysusers,tmpfiles}.d/zimaged.conf
  systemd/system/zimg-web.{service,socket} sysusers.d/zimg-web.conf)
for_cpu=lib/systemd/system/zimaged.service.d
desktop_units=(zimg-wallpaper.{service,timer})

# What the shells look for, and where; the sources are in contrib/packaging/completions.
completions=(
  zimg.bash:share/bash-completion/completions/zimg
  _zimg:share/zsh/site-functions/_zimg
  zimg.fish:share/fish/vendor_completions.d/zimg.fish
)

remove() {
  rm -rf "$root"/{libexec,lib,share/doc}/zimaged "$root/share/zimg"
  rm -f "$root"/bin/{zimg,zimaged,zimg-web} "${units[@]/#/$root/lib/}" "$root/$for_cpu/cpu.conf" \
    "${desktop_units[@]/#/$root/lib/systemd/user/}" \
    "${completions[@]/#*:/$root/}"
  rmdir "$root/$for_cpu" 2>/dev/null || true # another drop-in stays
  rm -f "$root"/share/man/man1/zimg.1 "$root"/share/man/man1/zimg-*.1
}

# library FILE FOLDER: one shared library of libtorch's
library() {
  mkdir -p "$2"
  if [ "${COPY:-}" != link ] || ! ln "$1" "$2/" 2>/dev/null; then
    install -m 755 "$1" "$2/"
  fi
}

if [ "${1:-}" = --remove ]; then
  remove
  echo "removed zimg from $root"
  exit
fi

profile=${PROFILE:-release}
built=${CARGO_TARGET_DIR:-target}/${profile/#dev/debug}
for program in zimg zimaged zimg-web zimage-worker; do
  if [ ! -x "$built/$program" ]; then
    echo "install: $built/$program is not built: run 'make build' first" >&2
    exit 69
  fi
done
libtorch=$(cd "${LIBTORCH:-.libtorch}" && pwd -P)

remove
install -D -m 755 -t "$root/bin" "$built/zimg" "$built/zimaged" "$built/zimg-web"
install -D -m 755 -t "$root/libexec/zimaged" "$built/zimage-worker"

for file in "$libtorch"/lib/*.so*; do
  case ${file##*/} in
    libtorch_python.so | libshm.so) ;; # Python's own
    *) library "$file" "$root/lib/zimaged/torch/lib" ;;
  esac
done
for file in "$libtorch"/../nvidia/*/lib/*.so*; do
  [ -e "$file" ] || continue # a libtorch that has them in its own lib
  folder=${file%/*}
  library "$file" "$root/lib/zimaged/nvidia/${folder#"$libtorch"/../nvidia/}"
done

for unit in "${units[@]}"; do
  mkdir -p "$root/lib/${unit%/*}"
  sed "s|@PREFIX@|${PREFIX:-/usr/local}|" "systemd/${unit#systemd/}" >"$root/lib/$unit"
done

# A file manager runs a menu of a service only if it may be run.
install -D -m 755 -t "$root/share/zimg/desktop" contrib/packaging/desktop/zimg-{watch,wallpaper,pick,again,again.desktop}
install -D -m 644 -t "$root/share/zimg/desktop" contrib/packaging/desktop/README.md
install -D -m 644 -t "$root/lib/systemd/user" "${desktop_units[@]/#/contrib/packaging/desktop/}"
sed -i "s|@PREFIX@|${PREFIX:-/usr/local}|" "$root/share/zimg/desktop/zimg-again.desktop" \
  "${desktop_units[@]/#/$root/lib/systemd/user/}"

install -D -m 644 -t "$root/share/man/man1" contrib/packaging/man/zimg*.1
for completion in "${completions[@]}"; do
  install -D -m 644 "contrib/packaging/completions/${completion%%:*}" "$root/${completion#*:}"
done

documents=$root/share/doc/zimaged
install -D -m 644 -t "$documents" README.md CHANGELOG.md LICENSE LICENSE-APACHE LICENSE-MIT
install -D -m 644 -t "$documents/docs" docs/*.*
install -D -m 644 -t "$documents/docs/tour" docs/tour/*
install -D -m 644 -t "$documents/docs/decisions" docs/decisions/*
mkdir -p "$documents/supervisord"
for program in zimaged zimg-web; do
  sed "s|@PREFIX@|${PREFIX:-/usr/local}|" "contrib/packaging/supervisord/$program.conf" \
    >"$documents/supervisord/$program.conf"
done
if [ -e "$libtorch/lib/libtorch_cuda.so" ]; then
  install -D -m 644 -t "$documents/systemd" systemd/system/cpu.conf
else
  install -D -m 644 -t "$root/$for_cpu" systemd/system/cpu.conf
fi
for licences in "$libtorch"/../*.dist-info/licenses; do
  [ -d "$licences" ] || continue
  package=$(basename "${licences%.dist-info/licenses}")
  case $package in
    torch-* | nvidia_*) install -D -m 644 -t "$documents/licences/$package" "$licences"/* ;;
  esac
done
echo "installed zimg under $root"
