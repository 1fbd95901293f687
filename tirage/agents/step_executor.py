"""One step below a node: propose, run the calls, decide whether the path ends."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

from tirage.agents.continuation import Path, since_opening
from tirage.agents.policy import Draft
from tirage.agents.search_options import PathLimits, SearchParts
from tirage.agents.sessions import Sessions
from tirage.core.errors import CapabilityError, ConfigError, ModelAuthError, ModelUnavailable, TirageError, boundary
from tirage.core.message import Message, Observation, ObservationStatus, ToolCall
from tirage.core.problem import Problem
from tirage.core.seeds import derive_seed
from tirage.core.step import Finish, Opening, Source, Step, Usage
from tirage.core.trajectory import Failure, StopReason
from tirage.core.tree import Node, Tree
from tirage.sandbox.base import Session
from tirage.search.base import Trial
from tirage.tools.base import Tool
from tirage.traces.search_log import StepOutcome

NO_MORE_CODE = "Running code does not help here; I will go on without it.\n"
"""Put into the policy's mouth after `max_failures` failing executions in a row (START's debug budget)."""
FATAL = (ModelUnavailable, ModelAuthError, CapabilityError, ConfigError)
"""Failures of the surroundings that every further step would meet too: they end the run instead of one rollout."""
NO_MORE_CALLS = "No more tool calls are allowed."
"""The limit notice."""
ENDS = {
    ObservationStatus.REFUSED: StopReason.CALLS,
    ObservationStatus.FINAL: StopReason.ANSWERED,
    ObservationStatus.GAVE_UP: StopReason.GAVE_UP,
}
"""Observations that end a path."""
UNFINISHED = (StopReason.ANSWERED, StopReason.LENGTH, StopReason.CALLS, StopReason.MALFORMED)
"""Ends after which a policy may still be asked for its answer."""
ONE_CALL = Usage(model_calls=1)
EXCERPT = 300
"""Characters of an earlier attempt that is shown to a later one."""


class StepExecutor:
    """Takes the steps of one tree."""

    def __init__(self, agent: SearchParts, problem: Problem, messages: tuple[Message, ...], tree: Tree) -> None:
        """`messages` are what the tree's prompt was rendered from."""
        self._agent = agent
        self._problem = problem
        self._messages = messages
        self._tree = tree

    async def take(self, trial: Trial, sessions: Sessions, *, most_tokens: int | None) -> tuple[StepOutcome, Session | None]:
        """One step below `trial.parent`, and the session that it leaves. Raises only what `FATAL` names."""
        nodes = self._tree.path(trial.parent)
        steps = tuple(node.step for node in nodes if node.step is not None)
        path = Path(messages=self._messages, prompt=self._tree.prompt, steps=steps)
        # Hints belong to the draw from the root with which the path began.
        hint_seed = derive_seed(self._tree.seed, nodes[0].sample if nodes else trial.sample)
        draft: Draft | None = None
        try:
            with boundary("model"):
                draft = await self._agent.policy.propose(
                    self._problem,
                    path,
                    seed=self.seed(trial, nodes),
                    hint_seed=hint_seed,
                    most_tokens=most_tokens,
                    move=trial.move,
                    ephemeral=self._ephemeral(trial),
                )
            return await self._act(trial, path, draft, sessions)
        except FATAL:
            raise
        except TirageError as error:
            ended = bool(nodes) and nodes[-1].stop is not StopReason.OPEN
            return _broken(trial, draft, error, ended=ended), None

    def seed(self, trial: Trial, nodes: Sequence[Node]) -> int:
        """Of the trial's draw: it depends on the draws from the root down to it and on nothing else."""
        if not nodes:
            return derive_seed(derive_seed(self._tree.seed, trial.sample), 0, trial.sample)
        draws = [node.sample for node in nodes[1:]]
        if all(draw == nodes[0].sample for draw in draws):
            # A chain keeps one number on its way down.
            draws.clear()
        return derive_seed(derive_seed(self._tree.seed, nodes[0].sample), len(nodes), *draws, trial.sample)

    async def _act(self, trial: Trial, path: Path, draft: Draft, sessions: Sessions) -> tuple[StepOutcome, Session | None]:
        """Run the draft's calls and close the step."""
        limits = self._agent.limits
        own = _own(path.steps, draft)
        used = sum(len(step.calls) for step in own)
        most = 0 if _failures(own) >= limits.max_failures else limits.max_calls - used
        observations: list[Observation] = []
        if draft.finish is Finish.MALFORMED:
            observations.append(Observation(text=f"InvalidCall: {draft.problem}", status=ObservationStatus.INVALID))
        session = sessions.take(trial.parent) if trial.exclusive else None
        if session is None and draft.calls:
            session = await sessions.for_child(trial.parent)
        try:
            observations += await self._calls(draft.calls[: max(0, most)], session)
            observations += [_refusal(call) for call in draft.calls[max(0, most) :]]
        except BaseException:
            if session is not None:
                await session.close()
            raise
        spans = draft.spans
        if draft.calls or draft.corrected or draft.spans[-1].text.rstrip().endswith(self._agent.policy.waiting):
            spans = (*spans, *self._agent.policy.show(path, draft, observations))
        usage = draft.usage
        if draft.calls:
            usage = usage + Usage(tool_calls=min(most, len(draft.calls)), sandbox_s=sum(item.duration_s for item in observations))
            usage = sum((item.usage for item in observations), usage)
        step = Step(
            spans=spans,
            finish=draft.finish,
            calls=draft.calls,
            observations=tuple(observations) if spans is not draft.spans else (),
            hint=draft.hint,
            ephemeral=draft.ephemeral,
            usage=usage,
            opening=draft.opening,
        )
        stop = _stop(step, len(own) + 1, limits)
        if stop is StopReason.OPEN and not limits.last_word and used + len(step.calls) >= limits.max_calls:
            stop = StopReason.CALLS
            step = replace(step, spans=(*step.spans, self._agent.policy.inject(Source.FORCED, NO_MORE_CALLS + "\n")))
        if stop in UNFINISHED and (reopened := self._agent.policy.reopened(path, step)) is not None:
            step, stop = reopened, StopReason.OPEN
        elif stop is StopReason.OPEN and _failures((*own, step)) == limits.max_failures:
            step = replace(step, spans=(*step.spans, self._agent.policy.inject(Source.FORCED, NO_MORE_CODE)))
        if stop is StopReason.OPEN and session is None and sessions.holds(trial.parent):
            # Nothing ran, so the state is the parent's, which may be gone when this node is extended.
            session = await sessions.for_child(trial.parent)
        return _outcome(trial, step, stop, prior=draft.prior, value=draft.value), session

    async def _calls(self, calls: Sequence[ToolCall], session: Session | None) -> list[Observation]:
        """One after the other, or together when each tool says that it may run beside others. The first bug is raised when all are done."""
        if len(calls) < 2 or not all(call.name in self._agent.tools and self._agent.tools[call.name].parallel for call in calls):
            return [await self._call(call, session) for call in calls]
        found = await asyncio.gather(*(self._call(call, session) for call in calls), return_exceptions=True)
        for item in found:
            if isinstance(item, BaseException):
                raise item
        return [item for item in found if isinstance(item, Observation)]

    async def _call(self, call: ToolCall, session: Session | None) -> Observation:
        tool = self._agent.tools.get(call.name)
        if tool is None:
            return unknown_tool(call, self._agent.tools)
        return await run_tool(tool, call, session)

    def _ephemeral(self, trial: Trial) -> str:
        """What the policy is shown for this step alone: siblings not to repeat (DFSDT), reflections on failures (LATS)."""
        parts = []
        if trial.reflections:
            notes = [self._tree.notes[index].strip() for index in trial.reflections if self._tree.notes.get(index)]
            parts += [f"I failed at this before. What I learnt: {note}" for note in notes]
        if trial.siblings:
            tried = [f"- {self._attempt(index)}" for index in trial.siblings]
            parts.append("Here I have already tried:\n" + "\n".join(tried) + "\nI will do something different.")
        return "\n".join(parts) + "\n" if parts else ""

    def _attempt(self, index: int) -> str:
        step = self._tree.nodes[index].step
        assert step is not None
        seen = " ".join(item.text for item in step.observations)
        # Native calls stand beside the text, not in it.
        calls = "".join(f" {call.name}({call.arguments})" for call in step.calls if call.id)
        text = " ".join(f"{step.policy_text}{calls}{f' gave {seen}' if seen else ''}".split())
        value = self._tree.values.get(index)
        return (text if len(text) <= EXCERPT else text[:EXCERPT] + "...") + ("" if value is None else f" (worth {value:.2f})")


async def run_tool(tool: Tool, call: ToolCall, session: Session | None) -> Observation:
    """One call; a broken tool's error is stamped."""
    with boundary("tool"):
        return await tool.call(call, session)


def unknown_tool(call: ToolCall, tools: Mapping[str, Tool]) -> Observation:
    """What is read about a call of a tool that is not among `tools`."""
    text = f"UnknownTool: there is no tool named {call.name!r}; tools: {', '.join(sorted(tools)) or 'none'}"
    return Observation(text=text, status=ObservationStatus.INVALID, call_id=call.id)


def recorded_tool(call: ToolCall, tools: Mapping[str, Tool]) -> Tool:
    """The tool of a call that an interrupted run made. Raises `ConfigError` when it is not among `tools` any more."""
    if call.name not in tools:
        there = ", ".join(sorted(tools)) or "none"
        remedy = f"configure it again, or start a new run; tools: {there}"
        raise ConfigError(f"the log of this run calls the tool {call.name!r}, which is not configured any more; {remedy}")
    return tools[call.name]


def _outcome(
    trial: Trial,
    step: Step,
    stop: StopReason,
    *,
    error: Failure | None = None,
    prior: float | None = None,
    value: float | None = None,
) -> StepOutcome:
    """The outcome of a trial."""
    return StepOutcome(
        trial=trial.id,
        parent=trial.parent,
        sample=trial.sample,
        move=trial.move,
        step=step,
        stop=stop,
        error=error,
        prior=prior,
        value=value,
    )


def _broken(trial: Trial, draft: Draft | None, error: TirageError, *, ended: bool) -> StepOutcome:
    """A step that something around the policy broke: what was written is kept, the failure is recorded.

    `ended`: the parent's path has ended, so the step was to open a conversation of its own, of which nothing is known where it was not
    even drafted.
    """
    failure = Failure(boundary=error.boundary or "model", kind=type(error).__name__, message=str(error))
    if draft is None:
        step = Step(spans=(), finish=Finish.ERROR, usage=ONE_CALL, opening=Opening(messages=(), prompt=()) if ended else None)
    else:
        step = Step(
            spans=draft.spans, finish=Finish.ERROR, hint=draft.hint, ephemeral=draft.ephemeral, usage=draft.usage, opening=draft.opening
        )
    return _outcome(trial, step, StopReason.ERROR, error=failure)


def _stop(step: Step, depth: int, limits: PathLimits) -> StopReason:
    """Whether a path ends with `step`, and why."""
    ended = next((ENDS[observation.status] for observation in step.observations if observation.status in ENDS), None)
    if ended is not None:
        return ended
    if step.finish is Finish.STOP:
        return StopReason.ANSWERED
    if step.finish is Finish.LENGTH:
        return StopReason.LENGTH
    if step.finish is Finish.MALFORMED and step.spans[-1].source is Source.POLICY:
        return StopReason.MALFORMED
    return StopReason.OPEN if depth < limits.max_steps else StopReason.CALLS


def _own(steps: tuple[Step, ...], draft: Draft) -> tuple[Step, ...]:
    """The steps that share their limits with `draft`: those since its conversation was opened. A refinement begins a new one."""
    return () if draft.opening is not None else since_opening(steps)


def _failures(steps: Sequence[Step]) -> int:
    """How many observations at the end of the path, in a row, report a failure."""
    count = 0
    for step in reversed(steps):
        for observation in reversed(step.observations):
            if observation.status is ObservationStatus.OK:
                return count
            count += 1
    return count


def _refusal(call: ToolCall) -> Observation:
    return Observation(text=NO_MORE_CALLS, status=ObservationStatus.REFUSED, call_id=call.id)
