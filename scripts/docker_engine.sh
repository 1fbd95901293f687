#!/usr/bin/env bash
# Have a Docker engine answer: install Debian's docker.io where it is missing, start dockerd where none runs. Root.
set -euo pipefail
docker info >/dev/null 2>&1 && exit 0
if ! command -v dockerd >/dev/null || ! command -v debootstrap >/dev/null; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends docker.io debootstrap >/dev/null
fi
LOG=$(mktemp)
# A pid file left by an engine that was killed would keep the next one from starting.
pgrep -x dockerd >/dev/null || rm -f /var/run/docker.pid
# Sandboxes have no network, so the engine needs none of its own.
setsid nohup dockerd --iptables=false --ip6tables=false --bridge=none >"$LOG" 2>&1 </dev/null &
for _ in $(seq 60); do
  docker info >/dev/null 2>&1 && exit 0
  sleep 1
done
tail -n 5 "$LOG" >&2
echo "dockerd did not start" >&2
exit 1
