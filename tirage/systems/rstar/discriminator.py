"""rStar's discriminator: a second model completes masked paths; answers on which the two agree win (arXiv 2408.06195, section 3.3)."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import get_args

from tirage.agents.continuation import ask
from tirage.agents.search_options import Choice
from tirage.core.problem import Problem
from tirage.core.seeds import derive_seed
from tirage.core.step import Usage
from tirage.core.tree import ROOT, Tree
from tirage.models.allowance import allowed, share_of
from tirage.models.base import Completion, Model, Sampling
from tirage.search.consistency import LONGEST_ANSWER, ConfidentAnswer, Survival, discriminate, mask_prefixes
from tirage.search.rstar import solutions
from tirage.systems.rstar.policy import trace
from tirage.verification.alike import Alike, Spelling, quickly
from tirage.verification.reading import answer_in

_WORD = re.compile(r"\S+\s*")
SOLVE = "{problem}\n\nSolve the problem step by step and put the final answer in \\boxed{{}}."


class MutualConsistency:
    """Chooses among the paths of the answer set by completions of their beginnings."""

    def __init__(
        self,
        model: Model,
        *,
        sampling: Sampling | None = None,
        mode: Survival = "middle",
        masks: int = 4,
        concurrency: int = 16,
        alike: Alike = quickly,
    ) -> None:
        """`model` completes `masks` beginnings of every path, up to `concurrency` at once; `mode` as `discriminate` has it.

        `alike` says which answers agree. Raises ValueError for another mode.
        """
        if mode not in get_args(Survival):
            raise ValueError(f"consistency must be one of {', '.join(get_args(Survival))}, or null to leave it out; got {mode!r}")
        self._model = model
        self._sampling = sampling or Sampling(temperature=1.0, max_tokens=512)
        self._mode: Survival = mode
        self._masks = masks
        self._alike = alike
        self._slots = asyncio.Semaphore(concurrency)

    async def choose(self, problem: Problem, tree: Tree, answers: Mapping[int, str | None], seed: int) -> Choice:
        """The winner by `discriminate`; the root when no path has an answer, or no token is left for each completion."""
        found = {index: answer for index, answer in solutions(tree, answers).items() if len(answer) <= LONGEST_ANSWER}
        left = allowed()
        if left is not None and left < self._masks * len(found):
            return Choice(node=ROOT)
        spelling = Spelling(problem, self._alike)
        await spelling.all(found.values())
        completed: list[list[str | None]] = []
        usage = Usage()
        sampling = share_of(self._sampling, self._masks * len(found))
        for drawn in await asyncio.gather(*(self._complete(problem, tree, index, seed, sampling) for index in found)):
            completed.append(await spelling.all(answer_in(completion.text, problem) for completion in drawn))
            usage = sum((completion.usage for completion in drawn), usage)
        candidates = [ConfidentAnswer(answer=answer, confidence=tree.values.get(index, 0.0)) for index, answer in found.items()]
        winner = discriminate(candidates, completed, self._mode)
        return Choice(node=ROOT if winner is None else list(found)[winner], usage=usage)

    async def _complete(self, problem: Problem, tree: Tree, index: int, seed: int, sampling: Sampling) -> list[Completion]:
        """What the second model makes of the beginnings of one path."""
        words = _WORD.findall(trace(tree.path(index)))
        question = SOLVE.format(problem=problem.prompt)

        async def complete(number: int, begun: str) -> Completion:
            seeded = replace(sampling, seed=derive_seed(seed, index, number))
            async with self._slots:
                return await ask(self._model, question, seeded, tag="discriminator", begun=begun)

        # A blank at the end would be a token of its own, which no word that follows would have been written after.
        begun = ["".join(prefix).rstrip() for prefix in mask_prefixes(words, self._masks)]
        return list(await asyncio.gather(*(complete(number, prefix) for number, prefix in enumerate(begun))))
