"""ToolLLM's way to end a path: the finish tool, with an answer or with giving up (arXiv 2307.16789, section 3.2)."""

import json
from collections.abc import Sequence

from tirage.agents.dialect import Dialect, Reading
from tirage.core.message import Observation, ObservationStatus, ToolCall
from tirage.core.step import Finish, Source
from tirage.models.base import Completion
from tirage.models.model_json import read_object
from tirage.sandbox.base import Session
from tirage.tools.base import ToolSpec
from tirage.verification.extract import boxed

ANSWER, GIVE_UP = "give_answer", "give_up_and_restart"
BY_CALL = (
    f'Solve the problem with the tools. When you have the answer, call finish with return_type "{ANSWER}" and the final_answer. When '
    f'this attempt leads nowhere, call finish with return_type "{GIVE_UP}": you can then try another way.'
)
BY_LINE = f"When an attempt leads nowhere, write a last line that says {GIVE_UP}: you can then try another way."


class FinishTool:
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
