#!/usr/bin/env bash
# Install what some tests need beyond `make test`: Graphviz, a browser, the MCP reference server (needs npm), Inspect.
#
#   scripts/test_parts.sh      once .venv is there
#
# Idempotent. Without a part its tests skip, so one that cannot be had is named here and the rest goes on. Inspect is no part of
# the extra `dev` because pip searches for minutes when it has to choose all versions at once.
set -uo pipefail
cd "$(dirname "$0")/.."

server=@modelcontextprotocol/server-everything@2026.8.31
as_root=()
[[ $(id -u) == 0 ]] || as_root=(sudo -n)
quietly() { timeout 600 "$@" >/dev/null 2>&1; }
missing() { echo "$1 could not be installed; its tests skip" >&2; }

debian() {
    quietly "${as_root[@]}" apt-get update -qq
    quietly "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1" || missing "$1"
}
inspect() {
    local wanted
    wanted=$(.venv/bin/python -c 'import tomllib
print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["inspect"])')
    quietly .venv/bin/python -m pip install "$wanted" || missing "$wanted"
}

command -v dot >/dev/null || debian graphviz
command -v chromium >/dev/null || command -v google-chrome >/dev/null || debian chromium
[[ -n $(.venv/bin/python -c 'import importlib.util as u; print(u.find_spec("inspect_ai") or "")') ]] || inspect
grep -qs "\"version\": \"${server##*@}\"" ".venv/node_modules/${server%@*}/package.json" ||
    quietly npm install --prefix .venv --no-audit --no-fund --ignore-scripts "$server" || missing "$server"
