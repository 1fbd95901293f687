"""The native dialect over token ids: a model's own tool calls, exact to the token, so that its turns can be trained on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tirage.agents.dialects.base import Dialect, NativeTools, Reading
from tirage.core.errors import CapabilityError
from tirage.core.message import Message, Observation, ToolCall
from tirage.core.step import Finish, Source, Span
from tirage.models.base import Completion, Model
from tirage.models.native import NativeForm, open_form
from tirage.models.template import HFRenderer

AGAIN = "no call of this turn was run; write the calls again, as JSON objects of the tools that you were told of"
"""Ends what is said about a turn with a call that cannot be read."""


@dataclass(frozen=True, slots=True)
class NativeTokens:
    """Native calls where a path is token ids: the prompt shows the schemas, calls are read from sampled ids, results are appended."""

    form: NativeForm
    schemas: tuple[dict[str, Any], ...] = ()
    name: str = "native"
    stops: tuple[str, ...] = ()
    closers: tuple[str, ...] = ()
    uses_schemas: bool = False
    """The prompt holds them; no request carries any."""

    def render(self, messages: Sequence[Message]) -> tuple[Span, ...]:
        """The prompt, with the schemas as the model's template writes them."""
        return self.form.render(messages, self.schemas)

    def read(self, step_text: str, completion: Completion) -> Reading:
        """The calls of a turn, in order. One that cannot be read makes the whole turn MALFORMED: nothing of it is run."""
        if completion.finish == "length":
            return Reading(finish=Finish.LENGTH)
        turn = self.form.parse(step_text.removesuffix(completion.text), completion.ids or (), self.schemas)
        if not turn.attempts:
            return Reading(finish=Finish.STOP)
        wrong = [(number, item.problem) for number, item in enumerate(turn.attempts, 1) if item.problem]
        if wrong:
            many = len(turn.attempts) > 1
            said = "; ".join(f"call {number} of {len(turn.attempts)}: {problem}" if many else problem for number, problem in wrong)
            return Reading(finish=Finish.MALFORMED, problem=f"{said}; {AGAIN}", corrected=True)
        calls = tuple(ToolCall(name=item.name, arguments=item.arguments, id=item.id) for item in turn.attempts)
        return Reading(finish=Finish.CALL, calls=calls)

    def show(self, tail: str, observations: Sequence[Observation]) -> list[tuple[Source, str]]:
        """The results without the template's glue, which `answer` adds."""
        return [(Source.TOOL, observation.text) for observation in observations]

    def answer(
        self,
        messages: Sequence[Message],
        before: Sequence[Span],
        turn: Sequence[Span],
        calls: Sequence[ToolCall],
        observations: Sequence[Observation],
    ) -> tuple[Span, ...]:
        """The spans that show `observations` of `calls` behind `turn`, which stands behind `before`.

        Raises `ModelRequestError` when the template takes no such turn, e.g. several calls at once.
        """
        sent = [token for span in before for token in span.ids or ()]
        said = [token for span in turn for token in span.ids or ()]
        return self.form.answer(messages, self.schemas, sent, said, calls, [observation.text for observation in observations])


def bound(dialect: Dialect, model: Model, schemas: Sequence[dict[str, Any]]) -> Dialect:
    """The dialect as it is spoken with `model`: native calls over token ids where the model takes those, else as it is.

    Raises:
        CapabilityError: Neither the model's template nor its server has native calls.
    """
    if not isinstance(dialect, NativeTools):
        return dialect
    able, renderer = model.capabilities, model.renderer
    if not (able.raw_continuation and able.token_ids and isinstance(renderer, HFRenderer)):
        return dialect
    try:
        return NativeTokens(open_form(renderer), tuple(schemas))
    except CapabilityError as error:
        if able.native_tools:
            return dialect
        raise CapabilityError(
            f"{model.name} does not take native tool calls: {error}; use a text dialect (--set agent.dialect=fenced-python), or a model "
            "whose chat template has tools"
        ) from error


def describe(renderer: HFRenderer) -> tuple[str, ...]:
    """What is known about a model's native calls and from where, one line each; why it has none, where it has none."""
    try:
        return open_form(renderer).notes
    except CapabilityError as error:
        return (f"no native calls: {error}",)
