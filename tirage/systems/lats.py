"""A model's own word on paths: ratings of what has not ended, and reflections on what has failed (LATS, arXiv 2310.04406, section 4.2)."""

import re
from dataclasses import replace

from tirage.agents.continuation import ask
from tirage.agents.explorer import Explorer
from tirage.agents.valuation import Estimate, Valuer, most_tokens_of, together
from tirage.core.errors import ConfigError
from tirage.core.problem import Problem
from tirage.core.trajectory import StopReason, Trajectory
from tirage.judging.valuers import Oracle
from tirage.models.base import Model, Sampling
from tirage.search.lats import LATS
from tirage.systems.parts import AgentParts
from tirage.systems.prompts import prompt
from tirage.systems.spec import SystemSpec
from tirage.verification.extract import final_match
from tirage.workflows.shots import POLICY

_SCORE = re.compile(r"Score:\s*(10|[1-9])(?!\d)", re.IGNORECASE)
RATE = prompt("lats", "rate")
REFLECT = prompt("lats", "reflect")
FAILED = frozenset({StopReason.LENGTH, StopReason.CALLS, StopReason.MALFORMED, StopReason.GAVE_UP})
"""Ends without an answer."""


class Rating(Valuer):
    """A model rates a path from 1 to 10; the value is (rating - 1) / 9, in [0, 1].

    It reads what the last step's policy was shown of earlier failures (LATS, section 4.2: reflections are context of policy and valuer).
    """

    def __init__(self, model: Model, *, sampling: Sampling | None = None, template: str = RATE) -> None:
        """`template` has the fields `problem` and `path`, and may have `reflections`: lines with an empty one after them, or nothing."""
        self._model = model
        self._sampling = sampling or Sampling()
        self._template = template
        self.most_tokens = self._sampling.max_tokens

    async def value(self, problem: Problem, path: Trajectory, seed: int) -> Estimate:
        """None when no rating can be read."""
        reflections = path.steps[-1].ephemeral if path.steps else ""
        text = self._template.format(problem=problem.prompt, path=path.response, reflections=f"{reflections}\n" if reflections else "")
        said = await ask(self._model, text, replace(self._sampling, seed=seed), tag="rating")
        found = final_match(_SCORE, said.text)
        return Estimate(value=None if found is None else (int(found[1]) - 1) / 9, usage=said.usage)


class Reflecting(Valuer):
    """Another valuer's word; on a path that has failed, a reflection becomes the note, from which later attempts learn."""

    def __init__(self, inner: Valuer, model: Model, *, sampling: Sampling | None = None, template: str = REFLECT) -> None:
        """`template` has the fields `problem`, `path` and `critique`: the note of `inner`, if any."""
        self._inner = inner
        self._model = model
        self._sampling = sampling or Sampling()
        self._template = template
        self.sees_answer = inner.sees_answer
        self.most_tokens = together(most_tokens_of(inner), self._sampling.max_tokens)

    async def value(self, problem: Problem, path: Trajectory, seed: int) -> Estimate:
        """A path has failed when it ended without an answer, or with one worth nothing."""
        found = await self._inner.value(problem, path, seed)
        wrong = path.stop is StopReason.ANSWERED and found.value is not None and found.value <= 0
        if not wrong and path.stop not in FAILED:
            return replace(found, note="")
        # An oracle's note may tell the reference, which no attempt may learn.
        critique = f"\n\nA check of it: {found.note}" if found.note and not self.sees_answer else ""
        text = self._template.format(problem=problem.prompt, path=path.response, critique=critique)
        said = await ask(self._model, text, replace(self._sampling, seed=seed), tag="reflection")
        return replace(found, note=said.text.strip(), usage=found.usage + said.usage)


def lats(
    parts: AgentParts,
    *,
    n: int = 5,
    w: float = 1.0,
    ahead: int = 4,
    depth: int = 7,
    iterations: int = 30,
    lm_share: float = 0.5,
    oracle_reward: bool = False,
) -> Explorer:
    """LATS (arXiv 2310.04406): ratings blended with agreement, checked ends, reflections on failures.

    `oracle_reward` asks the verifier, as the paper's code does: for upper bounds and training data only.
    """
    if not 0 <= lm_share <= 1:
        raise ValueError(f"lm_share must lie in [0, 1], got {lm_share}")
    if oracle_reward and parts.verifiers is None:
        raise ConfigError("lats: oracle_reward needs the verifiers of a run; use it with `tirage rollout`, or leave it out")
    inner = parts.search_options.valuer or parts.critic(Rating(parts.model))
    if oracle_reward and parts.verifiers is not None:
        inner = Oracle(parts.verifiers, Rating(parts.model))
    return parts.explorer(
        search=lambda seed: LATS(seed=seed, w=w, n=n, ahead=ahead, depth=depth, iterations=iterations),
        search_options=replace(parts.search_options, valuer=Reflecting(inner, parts.model), merge="state", lm_share=lm_share),
        limits=replace(parts.limits, max_steps=depth),
    )


SPEC = SystemSpec(
    name="lats",
    paper="2310.04406",
    summary="LATS: tree search with a critic, reflections on failures shown to later attempts",
    build=lats,
    sampling={"temperature": 1.0},
    takes_reward=True,
    needs_instructions=True,
    shots=(POLICY,),
)
