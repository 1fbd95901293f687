#!/usr/bin/env bash
# Build a small image for the docker sandbox without a registry: Debian's minimal system with Python, imported into the engine.
#   scripts/docker_image.sh [NAME]     (default tirage-sandbox; root, needs debootstrap and a running engine)
# Does nothing when the engine has the image. PACKAGES adds Debian packages (python3-numpy,python3-sympy); MIRROR names the archive.
set -euo pipefail
NAME=${1:-tirage-sandbox}
if docker image inspect "$NAME" >/dev/null 2>&1; then
  echo "image $NAME is there"
  exit 0
fi
command -v debootstrap >/dev/null || { echo "debootstrap is missing; install it: apt-get install debootstrap" >&2; exit 1; }
ROOT=$(mktemp -d)
trap 'rm -rf "$ROOT"' EXIT
debootstrap --variant=minbase --include="python3${PACKAGES:+,$PACKAGES}" "${SUITE:-bookworm}" "$ROOT/root" "${MIRROR:-http://deb.debian.org/debian}" >"$ROOT/log" \
  || { tail -n 5 "$ROOT/log" >&2; exit 1; }
rm -rf "$ROOT"/root/var/cache/apt/archives/*.deb "$ROOT"/root/var/lib/apt/lists/* "$ROOT"/root/usr/share/doc "$ROOT"/root/usr/share/locale
tar -C "$ROOT/root" -c . | docker import - "$NAME" >/dev/null
echo "image $NAME is ready"
