"""Makes the embedded model `nano` from nothing: tokenizer, data, training, export, measurement.

    python examples/train_nano.py examples/train_nano.yaml

Takes at most 90 minutes on two quiet cores; interrupted, it goes on where its last checkpoint stands.
"""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parent))

from nano import evaluate, families, train
from nano.generate import Engine
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM


def main(path: str) -> None:
    """Runs the whole recipe that the YAML file describes."""
    config = yaml.safe_load(Path(path).read_text())
    folder, work = Path(config.pop("folder")), Path(config.pop("work"))
    phases = tuple(train.Phase(**phase) for phase in config.pop("phases"))
    settings = train.Settings(**config, phases=phases)
    train.make_tokenizer(settings, folder)
    bpe = Tokenizer.from_file(str(folder / "tokenizer.json"))
    items = families.heldout(1)

    def probe(model: LlamaForCausalLM, seen: int) -> None:
        engine = Engine(model, bpe)
        print(evaluate.judge(engine, evaluate.free(engine, items)).line(f"[{seen / 1e6:.1f}M] free"), flush=True)
        print(evaluate.judge(engine, evaluate.hinted(engine, items, "start")).line(f"[{seen / 1e6:.1f}M] hint at start"), flush=True)

    model = train.train(settings, work, folder, probe)
    probe(model, sum(phase.tokens for phase in phases))


if __name__ == "__main__":
    main(sys.argv[1])
