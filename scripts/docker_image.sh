#!/usr/bin/env bash
# Build an image for the docker sandbox without a registry: this system's own Debian or Ubuntu release, minimal, with Python.
#
#   scripts/docker_image.sh NAME [DEBIAN-PACKAGE...]      e.g. tirage-python python3-numpy python3-sympy
#
# Idempotent: an image that the engine already has is left alone. The release and the mirror are those that apt uses here.
# Needs root (or sudo), debootstrap, which is installed if missing, and a Docker engine (scripts/docker_engine.sh).
set -euo pipefail

name=${1:?usage: scripts/docker_image.sh NAME [DEBIAN-PACKAGE...]}
shift
as_root() { if [[ $(id -u) == 0 ]]; then "$@"; else sudo "$@"; fi; }

if docker image inspect "$name" >/dev/null 2>&1; then
    echo "image $name is ready"
    exit 0
fi
docker version >/dev/null 2>&1 || { echo "no docker engine answers; run scripts/docker_engine.sh" >&2; exit 1; }
if ! command -v debootstrap >/dev/null; then
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends debootstrap >/dev/null
fi
suite=$(. /etc/os-release && echo "${VERSION_CODENAME:?this release has no codename}")
mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Identifier: Packages' | awk -v suite="$suite" '$2 == suite { print $1; exit }')
[[ -n $mirror ]] || { echo "apt has no source for $suite; run apt-get update" >&2; exit 1; }
packages=python3
for package in "$@"; do packages+=,$package; done

root=$(as_root mktemp -d)
# A bootstrap that fails may leave file systems of the host mounted below.
trap 'as_root rm -rf --one-file-system "$root"' EXIT
as_root debootstrap --variant=minbase --include="$packages" "$suite" "$root/root" "$mirror" >"/tmp/tirage-debootstrap.$$" ||
    { tail -n 5 "/tmp/tirage-debootstrap.$$" >&2; exit 1; }
rm -f "/tmp/tirage-debootstrap.$$"
as_root chroot "$root/root" python3 -c 'import sys, ctypes; sys.exit(sys.version_info < (3, 11))' ||
    { echo "the python3 of $suite is older than 3.11 or has no ctypes; use a newer release" >&2; exit 1; }
# A container that is handed in from outside needs neither package lists nor manuals.
skipped=(./var/cache/apt ./var/lib/apt/lists ./usr/share/doc ./usr/share/man ./usr/share/locale)
as_root tar -C "$root/root" "${skipped[@]/#/--exclude=}" -c . | docker import --change 'CMD ["python3"]' - "$name" >/dev/null
echo "image $name is ready ($suite)"
