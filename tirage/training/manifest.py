"""The manifest of a dataset: what was read, what each step dropped and why, and the hashes that name the result."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from tirage.core.rollout import Rollout

Kind = Literal["sft", "pairs"]


class StepCount(BaseModel):
    """One step of a recipe: what came in, what went on, what was dropped under which reason."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: str
    entered: int = Field(validation_alias=AliasChoices("entered", "in"), serialization_alias="in", ge=0)
    left: int = Field(validation_alias=AliasChoices("left", "out"), serialization_alias="out", ge=0)
    dropped: dict[str, int] = {}
    """Reason to count; sums to `entered - left`."""
    noted: dict[str, int] = {}
    """Counts of what was changed or observed without dropping."""
    unit: str = "trajectories"
    """What is counted. Where the unit changes, such as to `pairs`, a step takes another number than the one before it gave."""


class TraceSnapshot(BaseModel):
    """Which traces were read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    """Run folder as given; empty when the traces were not read from one."""
    sha256: str
    """Hash over the rollouts read, whatever their order."""
    n: int
    """How many rollouts were read."""


class Manifest(BaseModel):
    """Everything about a dataset but its rows. Holds no time, so equal inputs give equal bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind = "sft"
    """What the rows are: `sft`, token rows; `pairs`, a prompt with a chosen and a rejected continuation."""
    recipe: str
    version: int
    config: dict[str, Any]
    config_hash: str
    rows: int
    rows_sha256: str
    tokens: int
    """Tokens in all rows."""
    tokens_trained: int
    """Tokens that carry loss."""
    counts: list[StepCount]
    traces: TraceSnapshot
    heldout: dict[str, Any] | None = None
    """The prompts that were kept out: `n`, `sha256`, `mode`; None when the recipe was given none."""
    tokenizer_hash: str

    def to_json(self) -> str:
        """The text of `manifest.json`."""
        return json.dumps(self.model_dump(mode="json", by_alias=True), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def config_hash(config: Mapping[str, Any]) -> str:
    """16 hex digits over a configuration."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(slots=True)
class Ledger:
    """Counts steps while a recipe runs; steps appear in order of first use."""

    _steps: dict[str, tuple[Counter[str], Counter[str]]] = field(default_factory=dict)
    _passed: Counter[str] = field(default_factory=Counter)

    def passed(self, step: str, count: int = 1) -> None:
        """`count` items went through `step`."""
        self._steps.setdefault(step, (Counter(), Counter()))
        self._passed[step] += count

    def dropped(self, step: str, reason: str, count: int = 1) -> None:
        """`count` items ended at `step`."""
        if count:
            self._steps.setdefault(step, (Counter(), Counter()))[0][reason] += count

    def noted(self, step: str, what: str, count: int = 1) -> None:
        """Something worth telling happened to items that went through `step`."""
        self._steps.setdefault(step, (Counter(), Counter()))[1][what] += count

    def counts(self, order: tuple[str, ...], units: Mapping[str, str] | None = None) -> list[StepCount]:
        """The steps in `order`, zeros included; `units`: what a step counts, where it is not trajectories."""
        done = []
        for step in order:
            dropped, noted = self._steps.get(step, (Counter(), Counter()))
            done.append(
                StepCount(
                    step=step,
                    entered=self._passed[step] + sum(dropped.values()),
                    left=self._passed[step],
                    dropped=dict(sorted(dropped.items())),
                    noted=dict(sorted(noted.items())),
                    unit=(units or {}).get(step, "trajectories"),
                )
            )
        return done


class TraceDigest:
    """Hash over a multiset of rollouts: the sum of their hashes, so that order does not matter and memory stays flat."""

    def __init__(self) -> None:
        self.n = 0
        self._sum = 0

    def add(self, rollout: Rollout) -> None:
        """Count one rollout: its key, model, configuration, verdicts and every token or text."""
        digest = hashlib.sha256()
        head = [rollout.key, rollout.model, rollout.config_hash, rollout.tokenizer_hash, rollout.chosen]
        verdicts = [(node, verdict.correct, verdict.answer) for node, verdict in sorted(rollout.verdicts.items())]
        digest.update(json.dumps([head, verdicts]).encode())
        tree = rollout.tree
        for spans in (tree.prompt, *(node.step.spans for node in tree.nodes if node.step is not None)):
            for span in spans:
                digest.update(f"{span.source}:{span.text}\0{span.ids}\0".encode())
        self.n += 1
        self._sum = (self._sum + int.from_bytes(digest.digest(), "big")) % (1 << 256)

    @property
    def sha256(self) -> str:
        """64 hex digits."""
        return hashlib.sha256(f"{self.n}:{self._sum:x}".encode()).hexdigest()
