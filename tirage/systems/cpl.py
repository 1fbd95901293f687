"""CPL's plan steps as a dialect: a completion is one step of a plan, or the solution that ends it (arXiv 2409.08642, section 3.1)."""

from collections.abc import Sequence
from dataclasses import replace

from tirage.agents.continuation import ContinuationMode, choose_mode
from tirage.agents.dialects.base import Reading
from tirage.agents.explorer import Explorer
from tirage.core.message import Observation
from tirage.core.step import Finish, Source
from tirage.judging.valuers import Signed
from tirage.models.base import Completion
from tirage.search.plans import PlanSearch
from tirage.systems.parts import AgentParts
from tirage.systems.prompts import prompt
from tirage.systems.spec import SystemSpec
from tirage.verification.extract import boxed
from tirage.workflows.shots import POLICY

OPEN, CLOSE = "<step>", "</step>"
PLANNING = prompt("cpl", "system")
NEXT = "Go on: the next step of the plan, or the solution.\n"
"""What a chat model is told after a step; others simply go on."""


class PlanSteps:
    """Exactly one closed plan step, or a solution with a boxed answer; anything else violates the format and ends the path."""

    name = "plan-steps"
    stops = (CLOSE,)
    closers: tuple[str, ...] = ()
    uses_schemas = False

    def __init__(self, *, turns: bool = False) -> None:
        """`turns`: the model takes whole turns only, so it is asked for each next step."""
        self._turns = turns

    def read(self, step_text: str, completion: Completion) -> Reading:
        """By what was written now, whatever the path holds."""
        written = completion.text
        if completion.finish == "length":
            return Reading(finish=Finish.LENGTH)
        answered = boxed(written) is not None
        if completion.stop_string == CLOSE:
            before, _, step = written.removesuffix(CLOSE).partition(OPEN)
            if not before.strip() and step.strip() and OPEN not in step and not answered:
                return Reading(finish=Finish.STEP)
        elif answered and OPEN not in written:
            return Reading(finish=Finish.STOP)
        return Reading(finish=Finish.MALFORMED, problem=f"neither one plan step ({OPEN}...{CLOSE}) nor a solution with a boxed answer")

    def show(self, tail: str, observations: Sequence[Observation]) -> list[tuple[Source, str]]:
        """The request for more, after a step that is in order."""
        return [(Source.SCAFFOLD, NEXT)] if self._turns and not observations else []


def solution(response: str) -> str | None:
    """The boxed answer of the solution that ends a plan; None where there is only a plan."""
    ending = response.rpartition(CLOSE)[2]
    return None if OPEN in ending else boxed(ending)


def cpl(parts: AgentParts, *, c: float = 1.5, n: int = 3, root: int = 5, depth: int = 6, iterations: int = 200) -> Explorer:
    """CPL (arXiv 2409.08642): tree search over the steps of a plan that ends in one solution; values in [-1, 1]."""
    dialect = PlanSteps(turns=choose_mode(parts.model, uses_schemas=False) is ContinuationMode.TURNS)
    return parts.explorer(
        replace(parts, system=PLANNING, tools={}).policy(dialect=dialect),
        search=lambda seed: PlanSearch(seed=seed, c=c, n=n, root=root, depth=depth, iterations=iterations),
        search_options=replace(parts.search_options, valuer=Signed(parts.search_options.valuer or parts.critic()), merge="text"),
        limits=replace(parts.limits, max_steps=depth + 1),
        tools={},
        answer_of=solution,
    )


SPEC = SystemSpec(
    name="cpl",
    paper="2409.08642",
    summary="CPL: tree search over the steps of a plan, then one solution",
    build=cpl,
    sampling={"temperature": 0.7, "max_tokens": 1500},
    takes_reward=True,
    needs_instructions=True,
    shots=(POLICY,),
)
