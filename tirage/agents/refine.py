"""Refining: a search may go on from a path that has ended, by having its answer improved (AB-MCTS, arXiv 2503.04412, section 3.1)."""

from collections.abc import Sequence
from dataclasses import replace

from tirage.agents.continuation import Path, render_prompt, since_opening
from tirage.agents.model_policy import ModelPolicy
from tirage.agents.policy import Draft, Policy, WrappedPolicy
from tirage.agents.prompts import prompt
from tirage.core.message import Message, Observation
from tirage.core.problem import Problem
from tirage.core.step import Opening, Span, Step
from tirage.search.abmcts import REFINE


class Refining(WrappedPolicy[Policy]):
    """The policy port over another policy, with the move `refine`: a conversation that shows the answer and asks for a better one.

    The steps that follow go on in that conversation. `refine:MOVE` has the other policy make MOVE in it.
    """

    def __init__(self, inner: Policy, first: ModelPolicy) -> None:
        """`inner` proposes; `first` is the one whose form of prompts it has."""
        super().__init__(inner)
        self._first = first

    async def propose(
        self, problem: Problem, path: Path, *, seed: int, hint_seed: int, most_tokens: int | None, move: str = "", ephemeral: str = ""
    ) -> Draft:
        """The next step of the conversation at the end of `path`, or the first one of a refinement."""
        here = conversation(path)
        kind, _, rest = move.partition(":")
        if kind != REFINE:
            return await self.inner.propose(
                problem, here, seed=seed, hint_seed=hint_seed, most_tokens=most_tokens, move=move, ephemeral=ephemeral
            )
        asked = (
            *self._first.prompt(problem)[0],
            Message(role="assistant", content=here.response.strip() or "(nothing)"),
            Message(role="user", content=prompt("ab-mcts", "refine")),
        )
        begun = Path(messages=asked, prompt=render_prompt(self._first.model, self._first.mode, asked), steps=())
        draft = await self.inner.propose(
            problem, begun, seed=seed, hint_seed=hint_seed, most_tokens=most_tokens, move=rest, ephemeral=ephemeral
        )
        return replace(draft, opening=Opening(messages=begun.messages, prompt=begun.prompt))

    def show(self, path: Path, draft: Draft, observations: Sequence[Observation]) -> tuple[Span, ...]:
        """As the inner one shows it in the conversation that the draft is part of."""
        here = conversation(path) if draft.opening is None else replace(path, steps=())
        return self.inner.show(here, draft, observations)

    def reopened(self, path: Path, step: Step) -> Step | None:
        """As the inner one, in the conversation that the step is part of."""
        return self.inner.reopened(conversation(path) if step.opening is None else replace(path, steps=()), step)


def conversation(path: Path) -> Path:
    """The end of a path: from the last step with an opening of its own, if there is any."""
    steps = since_opening(path.steps)
    opening = steps[0].opening if steps else None
    return path if opening is None else Path(messages=opening.messages, prompt=opening.prompt, steps=steps)
