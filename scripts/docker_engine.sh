#!/usr/bin/env bash
# Have a Docker engine answer: install Debian's docker.io if there is none, start dockerd if none runs.
#
#   scripts/docker_engine.sh
#
# Idempotent: an engine that answers is left alone. Without systemd, dockerd starts in the background, without bridge and
# firewall rules, which the sandbox never uses; its log is then /var/log/tirage-dockerd.log.
set -euo pipefail

log=/var/log/tirage-dockerd.log
as_root() { if [[ $(id -u) == 0 ]]; then "$@"; else sudo "$@"; fi; }
answers() { docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

if ! answers && ! command -v dockerd >/dev/null; then
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends docker.io docker-cli >/dev/null 2>&1 ||
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends docker.io >/dev/null
fi
if ! answers; then
    if [[ -d /run/systemd/system ]]; then
        as_root systemctl start docker
    else
        # A pid file left by an engine that was killed would keep the next one from starting.
        pgrep -x dockerd >/dev/null || as_root rm -f /var/run/docker.pid
        as_root sh -c "setsid dockerd --iptables=false --bridge=none >$log 2>&1 </dev/null &"
    fi
fi
for _ in $(seq 120); do
    if answers; then
        echo "docker engine $(docker version --format '{{.Server.Version}}') answers"
        exit 0
    fi
    sleep 0.5
done
echo "no docker engine answers after 60 s; the end of $log:" >&2
tail -n 5 "$log" >&2 || true
exit 1
