"""Measures nano: free and hinted accuracy, tool use, and a rehearsal of one Hint-RFT round with its control."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass, replace

import numpy as np
import torch
from transformers import LlamaForCausalLM

from . import chat, families, hints, mix
from .families import Item
from .generate import Engine, Rollout
from .train import Data, batches, loss_of, pad


@dataclass(frozen=True)
class Outcome:
    """What a set of rollouts came to."""

    accuracy: float
    tool_rate: float
    count: int
    by_family: dict[str, float]
    by_tier: dict[str, float]

    def line(self, name: str) -> str:
        """Three printable lines: all, by tier, by family."""
        families_ = "  ".join(f"{f} {a:.2f}" for f, a in self.by_family.items())
        tiers = "  ".join(f"{t} {a:.2f}" for t, a in self.by_tier.items())
        return f"{name}: accuracy {self.accuracy:.3f}  tool {self.tool_rate:.3f}  n {self.count}\n    {tiers}\n    {families_}"


def right(rollout: Rollout, text: str) -> bool:
    """Whether the last boxed answer of a finished rollout is right."""
    return rollout.stopped == "end" and families.score(rollout.item, chat.boxed(text)) == 1.0


def judge(engine: Engine, rollouts: list[Rollout]) -> Outcome:
    """Accuracy over all, by family and by tier."""
    family: dict[str, list[bool]] = defaultdict(list)
    tier: dict[str, list[bool]] = defaultdict(list)
    for rollout in rollouts:
        ok = right(rollout, engine.text(rollout))
        family[rollout.item.family].append(ok)
        tier[rollout.item.tier].append(ok)
    everything = [ok for values in family.values() for ok in values]
    return Outcome(
        float(np.mean(everything)),
        float(np.mean([r.calls > 0 for r in rollouts])),
        len(everything),
        {k: float(np.mean(v)) for k, v in family.items()},
        {k: float(np.mean(v)) for k, v in tier.items()},
    )


def free(engine: Engine, items: list[Item], temperature: float = 0.0, seed: int = 0) -> list[Rollout]:
    """No hint."""
    rollouts = [engine.start(item) for item in items]
    engine.run(rollouts, temperature, seed)
    return rollouts


def _library_hint(position: str, rng: random.Random) -> str:
    return str(rng.choice([h for h in hints.library() if position in h["positions"]])["text"])  # type: ignore[operator]


def hinted(engine: Engine, items: list[Item], position: str, temperature: float = 0.0, seed: int = 0) -> list[Rollout]:
    """A library hint at one position; the attempt before it is the model's own, and a rollout that used the tool gets none."""
    rng = random.Random(f"{seed}/{position}")
    if position == "start":
        rollouts = [engine.start(i, f"{chat.THINK}\n{_library_hint(position, rng)}\n") for i in items]
        engine.run(rollouts, temperature, seed)
        return rollouts
    rollouts = [engine.start(i, f"{chat.THINK}\n") for i in items]
    engine.run(rollouts, temperature, seed, stop=engine.thought if position == "end_of_thinking" else engine.end)
    again = []
    for rollout in rollouts:
        if rollout.calls or rollout.stopped != "stop":
            continue
        text = engine.text(rollout)
        joint = "" if text.endswith("\n") else "\n"
        if position == "marker":
            cuts = [text.find(w) for w in ("Wait", "Alternatively") if w in text]
            thought = text.split(chat.THOUGHT)[0]
            cut = text[: min(cuts)] if cuts else thought[: rng.randint(len(chat.THINK) + 1, max(len(thought), len(chat.THINK) + 1))]
            rollout.ids, rollout.own = [], []
            rollout.add(engine.encode(cut), True)
            joint = "" if cut.endswith("\n") else "\n"
        rollout.add(engine.encode(f"{joint}{_library_hint(position, rng)}\n"), True)
        again.append(rollout)
    engine.run(again, temperature, seed + 1)
    return rollouts


def verdicts(engine: Engine, items: list[Item], seed: int = 0) -> tuple[float, float]:
    """Share of right verdicts in the role `Check:`, on right and on wrong proposed answers."""
    rng = random.Random(f"{seed}/verdicts")
    shares = []
    for sound in (True, False):
        proposals = [item.answer if sound else mix.wrong_answer(item, item.answer, rng) for item in items]
        asked = [
            replace(item, question=f"Check: {item.question}\nProposed answer: {proposal}")
            for item, proposal in zip(items, proposals, strict=True)
        ]
        said = f"Verdict: {'correct' if sound else 'wrong'}"
        shares.append(float(np.mean([said in engine.text(rollout) for rollout in free(engine, asked)])))
    return shares[0], shares[1]


def kept(engine: Engine, rollouts: list[Rollout], tool: bool) -> list[Rollout]:
    """Right answers, one per problem in random order of arrival; with `tool`, only error-free ones that ran code."""
    best: dict[str, Rollout] = {}
    for rollout in rollouts:
        if right(rollout, engine.text(rollout)) and not rollout.failed and (rollout.calls or not tool):
            best.setdefault(rollout.item.question, rollout)
    return list(best.values())


def tune(
    model: LlamaForCausalLM, rollouts: list[Rollout], lr: float = 5e-4, epochs: int = 2, steps: int | None = None, seed: int = 0
) -> int:
    """Supervised fine-tuning on rollouts, loss on everything but observations; returns the number of steps taken."""
    rows = [r.prompt + r.ids for r in rollouts]
    marks = [[False] * len(r.prompt) + r.own for r in rollouts]
    starts = np.cumsum([0] + [len(r) for r in rows])
    data = Data(np.concatenate([np.array(r) for r in rows]), np.concatenate([np.array(m) for m in marks]), starts)
    plan = [b for e in range(200 if steps else epochs) for b in batches(data.lengths, 2048, seed + e)][:steps]
    stepper = torch.optim.AdamW(model.parameters(), lr=lr, betas=(0.9, 0.98), weight_decay=0.01)
    model.train()
    for number, chosen in enumerate(plan):
        for group in stepper.param_groups:
            group["lr"] = lr * min(1.0, (number + 1) / 5) * (1 - number / len(plan))
        loss = loss_of(model, *pad(data, chosen))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        stepper.step()
        stepper.zero_grad()
    model.eval()
    return len(plan)
