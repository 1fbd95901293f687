"""The explorer on scripted models: START's checks, limits, failures, and the same tree whatever the timing."""

import asyncio
import random

import pytest

from tirage.agents.dialects.base import Dialect, FencedPython, NativeTools
from tirage.agents.driver import StepEvent
from tirage.agents.explorer import Explorer, SolveContext
from tirage.agents.hints import HintPlan, load_library
from tirage.agents.model_policy import ModelPolicy
from tirage.agents.search_options import PathLimits
from tirage.core import Budget, Finish, Hint, HintPosition, Meter, Problem, Source, StopReason, ToolCall, Tree
from tirage.core.codec import encode
from tirage.core.errors import CapabilityError, ModelRequestError, ModelUnavailable
from tirage.models.base import Completion, Model, Request, Sampling
from tirage.sandbox.base import ExecFailure, ExecResult
from tirage.search.best_of_n import BestOfN
from tirage.testing.sandbox import TableSandbox
from tirage.testing.scripted import Reply, Said, Script, ScriptedModel
from tirage.tools.function import tool
from tirage.tools.python import PythonTool
from tirage.verification.extract import extract

PROBLEM = Problem(prompt="What is 6 * 7?", answer="42")
CODE = "```python\nprint(6 * 7)\n```\n```output"
CELLS = {
    "print(6 * 7)": ExecResult(stdout="42\n"),
    "boom": ExecResult(failure=ExecFailure.ERROR, error_name="NameError", error_text="name 'boom' is not defined", error_line=1),
}


def agent(
    model: Model,
    *,
    hints: HintPlan | None = None,
    limits: PathLimits | None = None,
    chains: int = 1,
    dialect: Dialect | None = None,
    temperature: float = 0.0,
) -> Explorer:
    tool = PythonTool()
    policy = ModelPolicy(model, dialect or FencedPython(), sampling=Sampling(temperature=temperature), hints=hints, tools=(tool.spec,))
    return Explorer(
        policy,
        tools={"python": tool},
        sandbox=TableSandbox(CELLS),
        search=lambda seed: BestOfN(chains),
        answer_of=lambda response: extract(response).answer,
        limits=limits or PathLimits(),
    )


async def solve(script: Script, *, thinks: bool = False, **options: object) -> tuple[Tree, ScriptedModel]:
    model = ScriptedModel(script, thinks=thinks)
    tree = await agent(model, **options).solve(PROBLEM, SolveContext(seed=0))  # type: ignore[arg-type]
    return tree, model


def plan(position: HintPosition, *, rounds: int = 1, library: tuple[Hint, ...] | None = None) -> HintPlan:
    return HintPlan(library=library or load_library(), positions=(position,), rounds=rounds)


async def test_code_is_run_and_its_output_read_in_the_same_turn() -> None:
    tree, model = await solve([CODE, "So \\boxed{42}."])
    model.assert_done()
    trajectory = tree.trajectory(tree.chosen)
    assert trajectory.stop is StopReason.ANSWERED
    assert trajectory.response == CODE + "\n42\n```\nSo \\boxed{42}."
    assert trajectory.used_tool
    sources = [span.source for span in trajectory.spans]
    assert sources == [Source.PROMPT, Source.POLICY, Source.SCAFFOLD, Source.TOOL, Source.SCAFFOLD, Source.POLICY]


async def test_the_next_request_is_exactly_the_ids_of_the_path() -> None:
    tree, model = await solve([CODE, "So \\boxed{42}."])
    path = tree.path(tree.chosen)
    first = tree.trajectory(path[0].index)
    assert model.requests[1].ids == first.token_ids
    whole = tree.trajectory(tree.chosen)
    assert whole.token_ids is not None
    assert whole.token_ids[: len(first.token_ids or ())] == first.token_ids


async def test_a_marker_hint_cuts_right_after_the_connective_and_is_recorded() -> None:
    tree, model = await solve(
        ["<think>\n6 times 7 is 41. Wait, or 43?\n</think>", CODE, "</think>\n\\boxed{42}"], thinks=True, hints=plan(HintPosition.MARKER)
    )
    model.assert_done()
    trajectory = tree.trajectory(tree.chosen)
    (use,) = trajectory.hints
    hint = next(hint for hint in load_library() if hint.id == use.hint_id)
    assert trajectory.response.startswith(f"<think>\n6 times 7 is 41. Wait\n{hint.text}\n```python")
    assert "43" not in trajectory.response
    assert (use.position, use.reason) == (HintPosition.MARKER, "Wait")
    assert trajectory.token_ids is not None
    offset = len(trajectory.prompt[0].ids or ()) + use.offset
    injected = bytes(trajectory.token_ids[offset : offset + len(hint.text) + 2]).decode()
    assert injected == f"\n{hint.text}\n"
    assert trajectory.token_sources is not None
    assert set(trajectory.token_sources[offset : offset + len(hint.text) + 2]) == {Source.HINT}


async def test_a_hint_before_the_stop_turns_wrong_into_right() -> None:
    without, _ = await solve(["The answer is \\boxed{41}."])
    assert extract(without.trajectory(without.chosen).response).answer == "41"
    tree, model = await solve(["The answer is \\boxed{41}.", CODE, "The answer is \\boxed{42}."], hints=plan(HintPosition.BEFORE_STOP))
    model.assert_done()
    trajectory = tree.trajectory(tree.chosen)
    assert extract(trajectory.response).answer == "42"
    assert [step.finish for step in trajectory.steps] == [Finish.CUT, Finish.CALL, Finish.STOP]
    assert trajectory.token_ids is not None
    assert trajectory.token_ids.count(256) == 1, "the end-of-turn token of the cut answer must be gone"


async def test_a_hint_before_the_stop_lets_a_thinking_model_finish_first() -> None:
    said = ["<think>\nIt is 41.\n</think>\nThe answer is \\boxed{41}.", CODE, "The answer is \\boxed{42}."]
    tree, model = await solve(said, thinks=True, hints=plan(HintPosition.BEFORE_STOP))
    model.assert_done()
    trajectory = tree.trajectory(tree.chosen)
    assert trajectory.response.index("</think>") < trajectory.response.index("```python")
    assert trajectory.hints[0].position is HintPosition.BEFORE_STOP


async def test_a_hint_at_the_start_opens_the_thinking() -> None:
    tree, model = await solve([CODE, "</think>\n\\boxed{42}"], thinks=True, hints=plan(HintPosition.START))
    model.assert_done()
    trajectory = tree.trajectory(tree.chosen)
    assert trajectory.response.startswith("<think>\n")
    assert [span.source for span in trajectory.steps[0].spans][:2] == [Source.FORCED, Source.HINT]


async def test_the_call_limit_ends_the_path() -> None:
    tree, _ = await solve([CODE] * 3, limits=PathLimits(max_calls=2))
    trajectory = tree.trajectory(tree.chosen)
    assert trajectory.stop is StopReason.CALLS
    assert trajectory.usage.tool_calls == 2


async def test_a_malformed_call_is_told_to_the_policy_which_may_go_on() -> None:
    tree, model = await solve(["Let me see\n```output", CODE, "\\boxed{42}"])
    model.assert_done()
    trajectory = tree.trajectory(tree.chosen)
    assert trajectory.steps[0].finish is Finish.MALFORMED
    assert "InvalidCall: no closed ```python block" in trajectory.response
    assert trajectory.stop is StopReason.ANSWERED


async def test_a_turn_that_ends_inside_its_code_ends_the_path() -> None:
    tree, _ = await solve(["```python\nprint(1)\n"])
    assert tree.trajectory(tree.chosen).stop is StopReason.MALFORMED


async def test_length_stops_are_not_answers() -> None:
    tree, _ = await solve([Reply(text="six times", cut=True)])
    assert tree.trajectory(tree.chosen).stop is StopReason.LENGTH


async def test_a_broken_model_call_is_recorded_and_a_dead_server_raises() -> None:
    tree, _ = await solve([ModelRequestError("prompt too long")])
    trajectory = tree.trajectory(tree.chosen)
    assert trajectory.stop is StopReason.ERROR
    assert trajectory.error is not None
    assert (trajectory.error.boundary, trajectory.error.kind) == ("model", "ModelRequestError")
    with pytest.raises(ModelUnavailable):
        await solve([ModelUnavailable("no server")])


async def test_an_exhausted_budget_gives_the_partial_tree_and_its_reason() -> None:
    model = ScriptedModel([CODE, "never said"])
    tree = await agent(model).solve(PROBLEM, SolveContext(seed=0, meter=Meter(Budget(model_calls=1))))
    assert tree.ended == "budget: model_calls"
    assert len(tree.nodes) == 2
    nothing = await agent(ScriptedModel([])).solve(PROBLEM, SolveContext(seed=0, meter=Meter(Budget(model_calls=0))))
    assert (len(nothing.nodes), nothing.chosen, nothing.ended) == (1, 0, "budget: model_calls")


async def test_the_majority_of_several_chains_is_chosen() -> None:
    answers = iter(["\\boxed{1}", "\\boxed{2}", "\\boxed{2}"])
    tree, _ = await solve(lambda _: next(answers), chains=3)
    assert extract(tree.trajectory(tree.chosen).response).answer == "2"
    assert tree.nodes[tree.chosen].sample == 1
    assert len({node.sample for node in tree.nodes[1:]}) == 3


class Slow:
    """Answers by the request's seed after a random pause, so that completions arrive in any order."""

    def __init__(self, jitter: int) -> None:
        self.inner = ScriptedModel(self.say)
        self.name, self.capabilities, self.renderer = "slow", self.inner.capabilities, self.inner.renderer
        self.random = random.Random(jitter)

    def say(self, request: Request) -> Said:
        text = self.inner.renderer.decode(request.ids or ()) if self.inner.renderer is not None else ""
        return CODE if "```output" not in text else f"\\boxed{{{(request.sampling.seed or 0) % 7}}}"

    async def complete(self, request: Request) -> tuple[Completion, ...]:
        await asyncio.sleep(self.random.random() / 200)
        return await self.inner.complete(request)

    async def close(self) -> None:
        pass


async def test_the_same_seed_gives_the_same_tree_whatever_the_timing() -> None:
    trees = [encode(await agent(Slow(jitter), chains=8, temperature=1.0).solve(PROBLEM, SolveContext(seed=3))) for jitter in range(4)]
    assert all(tree == trees[0] for tree in trees)
    other = encode(await agent(Slow(0), chains=8, temperature=1.0).solve(PROBLEM, SolveContext(seed=4)))
    assert other != trees[0]


async def test_steps_are_told_as_they_come_and_cancelling_closes_the_sessions() -> None:
    seen: list[StepEvent] = []
    model = ScriptedModel([CODE, "\\boxed{42}"])
    explorer = agent(model)
    await explorer.solve(PROBLEM, SolveContext(seed=0, on_step=seen.append))
    assert [event.node.depth for event in seen] == [1, 2]


async def test_chat_back_ends_get_hints_as_turns_and_say_so() -> None:
    model = ScriptedModel(["\\boxed{41}", "```python\nprint(6 * 7)\n```", "\\boxed{42}"], mode="chat")
    tree = await agent(model, hints=plan(HintPosition.BEFORE_STOP)).solve(PROBLEM, SolveContext(seed=0))
    model.assert_done()
    trajectory = tree.trajectory(tree.chosen)
    assert trajectory.hints[0].as_user_turn
    assert trajectory.token_ids is None
    messages = model.requests[1].messages or ()
    assert [message.role for message in messages] == ["user", "assistant", "user"]
    last = model.requests[2].messages or ()
    assert "42" in last[-1].content


async def test_native_tool_calls_come_back_as_tool_messages() -> None:
    call = ToolCall(name="python", arguments='{"code": "print(6 * 7)"}', id="c1")
    wrong = ToolCall(name="pyhton", arguments="{}", id="c2")
    model = ScriptedModel([Reply(tool_calls=(call, wrong)), "\\boxed{42}"], mode="chat")
    tree = await agent(model, dialect=NativeTools()).solve(PROBLEM, SolveContext(seed=0))
    model.assert_done()
    messages = model.requests[1].messages or ()
    assert [message.role for message in messages] == ["user", "assistant", "tool", "tool"]
    assert messages[2].content == "42\n"
    assert "tools: python" in messages[3].content
    assert model.requests[0].tools
    assert tree.trajectory(tree.chosen).stop is StopReason.ANSWERED


def test_a_dialect_the_model_cannot_speak_is_refused_with_the_remedy() -> None:
    with pytest.raises(CapabilityError, match="fenced-python"):
        agent(ScriptedModel([]), dialect=NativeTools())


@pytest.mark.parametrize(("parallel", "together"), [(True, 3), (False, 1)])
async def test_calls_of_one_step_run_together_when_their_tools_allow_it(parallel: bool, together: int) -> None:
    running, most = 0, 0

    @tool(parallel=parallel)
    async def look(place: int) -> str:
        """Look."""
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        return f"seen {place}"

    calls = tuple(ToolCall(name="look", arguments=f'{{"place": {place}}}', id=f"c{place}") for place in range(3))
    model = ScriptedModel([Reply(tool_calls=calls), "\\boxed{1}"], mode="chat")
    policy = ModelPolicy(model, NativeTools(), sampling=Sampling(), tools=(look.spec,))
    tree = await Explorer(policy, tools={"look": look}, sandbox=None).solve(PROBLEM, SolveContext(seed=0))
    step = tree.nodes[1].step
    assert step is not None
    assert [item.text for item in step.observations] == ["seen 0", "seen 1", "seen 2"]
    assert most == together
    assert step.usage.tool_calls == 3
