"""A generative reward model: the probability of the word by which a language model calls a solution correct.

Generative verifiers (Zhang et al. 2024, arXiv 2408.15240, eq. 5): r = p("correct" | problem, solution, question).
"""

import math
import re

from tirage.agents.continuation import Path, build_request, choose_mode, render_prompt
from tirage.agents.valuation import Estimate, Valuer
from tirage.core.errors import CapabilityError
from tirage.core.message import Message
from tirage.core.problem import Problem
from tirage.core.step import Source, Span
from tirage.core.trajectory import Trajectory
from tirage.models.allowance import complete
from tirage.models.base import Completion, Model, Sampling
from tirage.verification.reading import answer_of

LEAD = "Verdict:"
QUESTION = (
    "A problem and a proposed solution follow. Is the answer right?\n\nProblem: {problem}\n\nProposed solution:\n{solution}\n\n"
    f'Reply with one line: "{LEAD} correct" or "{LEAD} wrong".'
)
_WORD = re.compile(r"\W*(?:Verdict\W+)?(correct|wrong)\b", re.IGNORECASE)
_MOST_TOKENS = 12


class GenerativeReward(Valuer):
    """Values ended paths by one greedy word of a model."""

    def __init__(self, model: Model, *, template: str = QUESTION) -> None:
        """`template` knows `{problem}`, `{solution}` and `{answer}`. Raises `CapabilityError` for a model without log-probabilities."""
        if not model.capabilities.logprobs:
            raise CapabilityError(
                f"{model.name} gives no log-probabilities, which this reward is made of; use nano, hf/PATH or vllm/NAME, or reward=share"
            )
        self._model = model
        self._template = template
        self.most_tokens = _MOST_TOKENS
        self._mode = choose_mode(model, uses_schemas=False)

    async def value(self, problem: Problem, path: Trajectory, seed: int) -> Estimate:
        """P("correct"), taken as 1 - p("wrong") where that is what was said; 0 without an answer, None for a reply that is neither."""
        answer = answer_of(path, problem)
        if answer is None:
            return Estimate(value=0.0)
        question = self._template.format(problem=problem.prompt, solution=path.response, answer=answer)
        messages = (Message(role="user", content=question),)
        prompt = render_prompt(self._model, self._mode, messages)
        renderer = self._model.renderer
        ids = renderer.encode(LEAD) if renderer is not None and prompt[0].ids is not None else None
        sampling = Sampling(temperature=0.0, max_tokens=_MOST_TOKENS, seed=seed, logprobs=True, stop=("\n",))
        place = Path(messages=messages, prompt=prompt, steps=())
        request = build_request(self._mode, place, (Span(Source.FORCED, LEAD, ids),), sampling, (), "reward")
        (completion,) = await complete(self._model, request)
        return Estimate(value=self._probability(completion), usage=completion.usage)

    def _probability(self, completion: Completion) -> float | None:
        said = _WORD.match(completion.text)
        if said is None or completion.logprobs is None:
            return None
        scores = completion.logprobs
        if self._model.renderer is not None and completion.ids is not None:
            ends = self._model.renderer.token_ends(completion.ids)
            scores = scores[: next(place for place, end in enumerate(ends, start=1) if end >= said.end(1))]
        chance = math.exp(math.fsum(scores))
        return chance if said[1].lower() == "correct" else 1.0 - chance
