"""ToolLLM's way to end a path: the finish tool, with an answer or with giving up (arXiv 2307.16789, section 3.2).

Words without a call are a thought: a node of its own, after which the path goes on.
"""

import json
from collections.abc import Sequence
from dataclasses import replace

from tirage.agents.continuation import ContinuationMode, Path
from tirage.agents.dialects.base import Dialect, Reading
from tirage.agents.explorer import Explorer
from tirage.agents.model_policy import ModelPolicy
from tirage.agents.policy import Draft, WrappedPolicy
from tirage.core.message import Observation, ObservationStatus, ToolCall
from tirage.core.problem import Problem
from tirage.core.step import Finish, Source
from tirage.models.base import Completion
from tirage.models.model_json import read_object
from tirage.sandbox.base import Session
from tirage.search.dfs import DepthFirst
from tirage.systems.parts import AgentParts
from tirage.systems.spec import SystemSpec
from tirage.tools.base import Tool, ToolSpec
from tirage.verification.extract import STATED, boxed, extract
from tirage.workflows.shots import POLICY

ANSWER, GIVE_UP = "give_answer", "give_up_and_restart"
BY_CALL = (
    f'Solve the problem with the tools. When you have the answer, call finish with return_type "{ANSWER}" and the final_answer. When '
    f'this attempt leads nowhere, call finish with return_type "{GIVE_UP}": you can then try another way.'
)
BY_LINE = f"When an attempt leads nowhere, write a last line that says {GIVE_UP}: you can then try another way."
CALL_ON = "Go on: call a tool, or call finish.\n"
"""What a model that takes whole turns is told after a thought."""
THINK_ON = "\nI have not given the answer yet, so I go on.\n"
"""What is put into the mouth of others."""


class FinishTool(Tool):
    """Ends the path of the policy that calls it."""

    spec = ToolSpec(
        name="finish",
        description="End the task: give the final answer, or give this attempt up and start again elsewhere.",
        parameters={
            "type": "object",
            "properties": {
                "return_type": {"type": "string", "enum": [ANSWER, GIVE_UP]},
                "final_answer": {"type": "string", "description": f"The answer; needed for {ANSWER}."},
            },
            "required": ["return_type"],
            "additionalProperties": False,
        },
    )

    async def call(self, call: ToolCall, session: Session | None) -> Observation:
        """`FINAL` with the boxed answer, or `GAVE_UP`; what cannot be read is told to the policy."""
        try:
            given = read_object(call.arguments)
            kind, answer = given["return_type"], given.get("final_answer", "")
        except (ValueError, KeyError):
            kind, answer = None, ""
        if kind == GIVE_UP:
            return Observation(text="Given up.", status=ObservationStatus.GAVE_UP, call_id=call.id)
        if kind == ANSWER and str(answer).strip():
            text = f"The answer is \\boxed{{{boxed(str(answer)) or str(answer).strip()}}}."
            return Observation(text=text, status=ObservationStatus.FINAL, call_id=call.id)
        text = f'InvalidCall: return_type must be "{ANSWER}", with a final_answer, or "{GIVE_UP}"'
        return Observation(text=text, status=ObservationStatus.INVALID, call_id=call.id)


class GivingUp:
    """A text dialect in which a turn may end in a line that gives the path up."""

    uses_schemas = False

    def __init__(self, inner: Dialect) -> None:
        """`inner` reads everything else."""
        self._inner = inner
        self.name = f"{inner.name}+{GIVE_UP}"
        self.stops = inner.stops
        self.closers = inner.closers

    def read(self, step_text: str, completion: Completion) -> Reading:
        """As `inner`; a turn that would have been an answer is a call of the finish tool when its last line gives up."""
        reading = self._inner.read(step_text, completion)
        if reading.finish is Finish.STOP and completion.text.rstrip().endswith(GIVE_UP):
            return Reading(finish=Finish.CALL, calls=(ToolCall(name="finish", arguments=json.dumps({"return_type": GIVE_UP})),))
        return reading

    def show(self, tail: str, observations: Sequence[Observation]) -> list[tuple[Source, str]]:
        """As `inner`."""
        return self._inner.show(tail, observations)


class ThoughtPolicy(WrappedPolicy[ModelPolicy]):
    """The policy port over a policy whose turns without a call are thoughts.

    With the finish tool only that ends a path; in text so does an answer that is stated.
    """

    async def propose(
        self, problem: Problem, path: Path, *, seed: int, hint_seed: int, most_tokens: int | None, move: str = "", ephemeral: str = ""
    ) -> Draft:
        """As the inner one; a thought keeps its turn open."""
        draft = await self.inner.propose(
            problem, path, seed=seed, hint_seed=hint_seed, most_tokens=most_tokens, move=move, ephemeral=ephemeral
        )
        policy, *before, last = self.inner, *draft.spans
        if draft.finish is not Finish.STOP:
            return draft
        if not policy.dialect.uses_schemas and extract(last.text, STATED).answer is not None:
            return draft
        said = policy.without_end(Completion(text=last.text, finish="stop", ids=last.ids, logprobs=last.logprobs))
        nudge = CALL_ON if policy.mode in (ContinuationMode.TURNS, ContinuationMode.NATIVE) else THINK_ON
        return replace(draft, spans=(*before, said, policy.inject(Source.FORCED, nudge)), finish=Finish.STEP)


def dfsdt(parts: AgentParts, *, width: int = 2, answers: int = 1, max_query: int = 200, max_steps: int = 12) -> Explorer:
    """DFSDT (ToolLLM, arXiv 2307.16789): depth first, attempts told of their siblings; at most `max_query` model calls.

    `max_steps` counts a path's nodes as ToolBench does: a thought is one, a call two (its name, its input).
    """
    for option, given in (("max_query", max_query), ("max_steps", max_steps)):
        if given < 1:
            raise ValueError(f"{option} must be at least 1, got {given}")
    native = parts.dialect.uses_schemas
    tools = {**parts.tools, "finish": FinishTool()}
    if parts.system is not None:
        parts = replace(parts, system=BY_CALL if native else f"{parts.system} {BY_LINE}")
    own = parts.search_options.budget.model_calls
    budget = replace(parts.search_options.budget, model_calls=max_query if own is None else min(max_query, own))
    return parts.explorer(
        ThoughtPolicy(parts.policy(more=tools) if native else parts.policy(dialect=GivingUp(parts.dialect))),
        search=lambda seed: DepthFirst(width=width, answers=answers, aware=True, deepest=max_steps),
        limits=replace(parts.limits, max_steps=max_steps, max_calls=max_query, max_failures=max_query, concurrency=1),
        search_options=replace(parts.search_options, budget=budget),
        tools=tools,
    )


SPEC = SystemSpec(
    name="dfsdt",
    paper="2307.16789",
    summary="DFSDT (ToolLLM): depth first over tool calls, giving up and trying something else",
    build=dfsdt,
    sampling={"temperature": 0.5, "max_tokens": 512},
    takes_reward=True,
    shots=(POLICY,),
)
