"""The full measurement of a nano checkpoint: free, hinted by position, and one rehearsed Hint-RFT round with its control.

PYTHONPATH=examples python -m nano.measure tirage/models/nano [per_cell] [rft_problems]
"""

from __future__ import annotations

import copy
import random
import sys
import time
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

from tirage.problems.splits import is_heldout

from . import evaluate, families, hints
from .families import TIERS, Item
from .generate import Engine, Rollout


def load(folder: str) -> tuple[LlamaForCausalLM, Tokenizer]:
    """The checkpoint in float32 and its tokenizer."""
    return LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32), Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))


def round_items(count: int) -> list[Item]:
    """Problems for an improvement round: from `rounds_seed` on, none of them in the held-out set."""
    spec = families.spec()
    reserved = {i.key for i in families.heldout(spec["heldout"]["per_cell"], spec["heldout"]["seed"])}
    names = families.families()
    found: list[Item] = []
    for index in range(count):
        family, tier = names[index % len(names)], TIERS[(index // len(names)) % 3]
        item = families.draw(family, tier, index, spec["rounds_seed"])
        if item.key not in reserved and not is_heldout(item.question):
            found.append(item)
    return found


def hinted_round(engine: Engine, items: list[Item], temperature: float) -> list[Rollout]:
    """Hinted samples: five in eight hints at the start, one in eight at each other position."""
    places = ("start", "end_of_thinking", "start", "before_stop", "start", "marker", "start", "start")
    made: list[Rollout] = []
    for position in hints.POSITIONS:
        shared = [item for number, item in enumerate(items) if places[number % len(places)] == position]
        made += evaluate.hinted(engine, shared, position, temperature, seed=len(made))
    return made


def rehearse(model: LlamaForCausalLM, bpe: Tokenizer, items: list[Item], test: list[Item]) -> None:
    """Hint-RFT against rejection sampling without hints, both from the same model, step-matched."""
    base = Engine(model, bpe)
    clock = time.time()
    with_hints = evaluate.kept(base, hinted_round(base, items, 0.8), tool=True)
    without = evaluate.kept(base, evaluate.free(base, items, 0.8, 5), tool=False)
    print(f"round: {len(items)} problems; kept hinted {len(with_hints)}; kept free {len(without)}, "
          f"of them with tool {sum(r.calls > 0 for r in without)}; {time.time() - clock:.0f} s", flush=True)  # fmt: skip
    tuned = copy.deepcopy(model)
    clock = time.time()
    steps = evaluate.tune(tuned, with_hints)
    engine = Engine(tuned, bpe)
    print(f"Hint-RFT: {steps} steps, {time.time() - clock:.0f} s", flush=True)
    print(evaluate.judge(engine, evaluate.free(engine, test)).line("after Hint-RFT, free greedy"), flush=True)
    print(evaluate.judge(engine, evaluate.free(engine, test, 0.8)).line("after Hint-RFT, free T=0.8"), flush=True)
    control = copy.deepcopy(model)
    evaluate.tune(control, without, steps=steps)
    engine = Engine(control, bpe)
    print(evaluate.judge(engine, evaluate.free(engine, test)).line(f"control (no hints, {steps} steps), free greedy"), flush=True)


def main(folder: str, per_cell: int = 5, problems: int = 600) -> None:
    """Prints every number of the model card."""
    random.seed(0)
    model, bpe = load(folder)
    engine = Engine(model, bpe)
    seed = families.spec()["heldout"]["seed"]
    test = families.heldout(per_cell, seed)
    print(evaluate.judge(engine, evaluate.free(engine, test)).line("base free greedy"), flush=True)
    print(evaluate.judge(engine, evaluate.free(engine, test, 0.8)).line("base free T=0.8"), flush=True)
    for position in hints.POSITIONS:
        print(evaluate.judge(engine, evaluate.hinted(engine, test, position)).line(f"hint at {position}, greedy"), flush=True)
    print("verdicts of the role Check: right on {:.3f} of right answers, on {:.3f} of wrong ones".format(*evaluate.verdicts(engine, test)))
    facts = families.heldout(per_cell * 4, seed, ("lookup",))
    print(evaluate.judge(engine, evaluate.hinted(engine, facts, "start")).line("lookup, hint at start, greedy"), flush=True)
    asked = families.heldout(per_cell * 7, seed, ("asked",))
    print(evaluate.judge(engine, evaluate.hinted(engine, asked, "start")).line("asked, hint at start, greedy"), flush=True)
    print(evaluate.judge(engine, evaluate.free(engine, asked)).line("asked, free greedy"), flush=True)
    unseen = [families.draw(name, "never", i, seed) for name in families.spec()["never_trained"] for i in range(per_cell * 2)]
    print(evaluate.judge(engine, evaluate.free(engine, unseen)).line("never-trained families, free greedy"), flush=True)
    print(evaluate.judge(engine, evaluate.hinted(engine, unseen, "start")).line("never-trained families, hint at start"), flush=True)
    if problems:
        rehearse(model, bpe, round_items(problems), test)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
