"""Batched generation with tool calls: stop at the output fence, run the program, append what it printed, go on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

from . import chat, execute
from .families import Item, lookup


@dataclass
class Rollout:
    """A growing answer: `ids` after the prompt, `own` marks what the model wrote (or was hinted), False for observations."""

    item: Item
    prompt: list[int]
    ids: list[int] = field(default_factory=list)
    own: list[bool] = field(default_factory=list)
    state: dict[str, Any] = field(default_factory=dict)
    calls: int = 0
    failed: bool = False
    stopped: str = ""

    def add(self, ids: list[int], own: bool) -> None:
        """Appends tokens of one author."""
        self.ids += ids
        self.own += [own] * len(ids)


class Engine:
    """Samples from a model; greedy at temperature 0."""

    def __init__(self, model: LlamaForCausalLM, bpe: Tokenizer, batch: int = 64) -> None:
        self.model, self.bpe, self.batch = model.eval(), bpe, batch
        self.end, self.output = bpe.token_to_id(chat.END), bpe.token_to_id(chat.OUTPUT)
        self.thought = bpe.token_to_id(chat.THOUGHT)

    def encode(self, text: str) -> list[int]:
        """Token ids of a text."""
        return self.bpe.encode(text, add_special_tokens=False).ids

    def text(self, rollout: Rollout) -> str:
        """The answer so far."""
        return self.bpe.decode(rollout.ids, skip_special_tokens=False)

    def start(self, item: Item, prefix: str = "", system: str | None = None) -> Rollout:
        """A rollout whose answer begins with `prefix`."""
        rollout = Rollout(item, self.encode(chat.prompt(item.question, system)))
        rollout.add(self.encode(prefix), True)
        return rollout

    @torch.no_grad()
    def run(
        self, rollouts: list[Rollout], temperature: float, seed: int = 0, stop: int | None = None, rounds: int = 4, limit: int = 260
    ) -> None:
        """Continues every rollout to its end token, to `stop` (not kept), or to a limit, running tool calls on the way."""
        generator = torch.Generator().manual_seed(seed)
        open_ = list(rollouts)
        for rollout in open_:
            rollout.stopped = ""
        for _ in range(rounds):
            open_.sort(key=lambda r: len(r.prompt) + len(r.ids))
            for first in range(0, len(open_), self.batch):
                self._continue(open_[first : first + self.batch], temperature, generator, stop, limit)
            open_ = [r for r in open_ if r.stopped == "tool"]
            for rollout in open_:
                self._call(rollout)
            if not open_:
                break

    def _call(self, rollout: Rollout) -> None:
        text = self.text(rollout)
        code = text[text.rfind(chat.CODE) + len(chat.CODE) :].split("\n" + chat.CLOSE)[0] if chat.CODE in text else ""
        facts = rollout.item.metadata.get("facts")
        search = (lambda q: lookup.search(str(q), facts)) if facts else None
        seen = execute.run(code, search=search, state=rollout.state)
        rollout.calls += 1
        rollout.stopped = ""
        rollout.failed = seen.split(":")[0].endswith("Error")
        rollout.add(self.encode(seen) + self.encode(chat.CLOSE), False)

    def _continue(self, rows: list[Rollout], temperature: float, generator: torch.Generator, stop: int | None, limit: int) -> None:
        contexts = [r.prompt + r.ids for r in rows]
        width = max(map(len, contexts))
        ids = torch.zeros(len(rows), width, dtype=torch.long)
        mask = torch.zeros(len(rows), width, dtype=torch.long)
        for i, context in enumerate(contexts):
            ids[i, width - len(context) :] = torch.tensor(context)
            mask[i, width - len(context) :] = 1
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        cache: Any = None
        alive = list(rows)
        for _ in range(limit):
            made = self.model(
                input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True, logits_to_keep=1
            )
            cache = made.past_key_values
            logits = made.logits[:, -1].float()
            if temperature:
                chosen = torch.multinomial(torch.softmax(logits / temperature, -1), 1, generator=generator)[:, 0]
            else:
                chosen = logits.argmax(-1)
            for rollout, token in zip(alive, chosen.tolist(), strict=True):
                if not rollout.stopped:
                    self._accept(rollout, token, stop)
            going = [i for i, rollout in enumerate(alive) if not rollout.stopped]
            if not going:
                return
            ids, positions = chosen[:, None], positions[:, -1:] + 1
            if len(going) <= 0.75 * len(alive):
                keep = torch.tensor(going)
                cache.batch_select_indices(keep)
                ids, mask, positions, alive = ids[keep], mask[keep], positions[keep], [alive[i] for i in going]
            mask = torch.cat([mask, torch.ones(len(alive), 1, dtype=torch.long)], 1)
        for rollout in alive:
            if not rollout.stopped:
                rollout.stopped = "limit"

    def _accept(self, rollout: Rollout, token: int, stop: int | None) -> None:
        if token == stop:
            rollout.stopped = "stop"
            return
        rollout.add([token], True)
        if token == self.end:
            rollout.stopped = "end"
        elif token == self.output:
            rollout.stopped = "tool"
        elif len(rollout.prompt) + len(rollout.ids) >= 1000:
            rollout.stopped = "limit"
