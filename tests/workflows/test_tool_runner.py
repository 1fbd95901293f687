import asyncio
import json

import pytest

from tirage.agents.explorer import SolveContext
from tirage.agents.replies import whole
from tirage.core.budget import Budget
from tirage.core.errors import ConfigError
from tirage.core.message import ObservationStatus
from tirage.core.problem import Problem
from tirage.core.trajectory import StopReason
from tirage.rollouts.runner import judge
from tirage.sandbox import SandboxConfig, open_sandbox
from tirage.testing.models import ScriptedModel
from tirage.tools.base import ToolSpec
from tirage.tools.function import tool
from tirage.tools.python import PythonTool
from tirage.tools.shell import ShellTool
from tirage.tools.toolset import toolset
from tirage.traces.search_log import SearchLog
from tirage.verification.factory import open_verifier
from tirage.workflows.agent import Workflow, WorkflowAgent
from tirage.workflows.role_models import RoleModels
from tirage.workflows.roles import Role
from tirage.workflows.tool_runner import only_text

PROBLEM = Problem(prompt="What is 6 * 7?", answer="42")
WRITER = Role(name="writer", template="{problem} {found}", read=whole, default="", answers=True)


class Tools:
    def __init__(self):
        self.looked_up = []
        self.all = toolset(PythonTool(), tool(self.look_up), tool(self.broken), tool(self.slow))

    def look_up(self, word: str) -> str:
        """Look a word up."""
        self.looked_up.append(word)
        return f"{word}!"

    def broken(self) -> str:
        """Break."""
        raise RuntimeError("no fuse")

    async def slow(self) -> str:
        """Take long."""
        await asyncio.sleep(60)
        return "done"


class Chores(Workflow):
    """Calls, then a turn that reads the last result."""

    id = "chores"

    def __init__(self, *calls, timeout_s=None):
        self.calls = calls
        self.timeout_s = timeout_s
        self.seen = []

    async def run(self, flow):
        after = 0
        for name, arguments in self.calls:
            turn = await flow.call(name, json.dumps(arguments), after=after, role="chore", timeout_s=self.timeout_s)
            self.seen.append(turn)
            after = turn.node
        flow.offer(await flow.ask(WRITER, after=after, found=turn.text))


class Opened:
    """A sandbox that counts its sessions."""

    def __init__(self, inner):
        self.inner = inner
        self.sessions = []

    async def open(self):
        self.sessions.append(await self.inner.open())
        return self.sessions[-1]


@pytest.fixture
async def sandbox():
    async with open_sandbox(SandboxConfig()) as inner:
        yield Opened(inner)


async def perform(workflow, *, sandbox=None, tools=None, model=None, budget=None, log=None):
    cast = RoleModels(model=model or ScriptedModel(["So \\boxed{42}."]), tools=(tools or Tools()).all, sandbox=sandbox)
    return await WorkflowAgent(workflow, cast, budget=budget).solve(PROBLEM, SolveContext(seed=1, log=log))


async def test_a_call_is_a_node_and_calls_share_a_session(sandbox):
    workflow = Chores(("python", {"code": "x = 6"}), ("look_up", {"word": "seven"}), ("python", {"code": "print(x * 7)"}))
    tree = await perform(workflow, sandbox=sandbox)
    assert [(node.parent, node.move, node.stop) for node in tree.nodes[1:]] == [
        (0, "chore", StopReason.OPEN),
        (1, "chore", StopReason.OPEN),
        (2, "chore", StopReason.OPEN),
        (3, "writer", StopReason.ANSWERED),
    ]
    assert [turn.text for turn in workflow.seen] == ["(no output)", "seven!", "42\n"]
    assert tree.nodes[3].step.calls[0].name == "python"
    assert tree.nodes[3].step.observations[0].text == tree.nodes[3].step.text == "42\n"
    assert tree.usage.tool_calls == 3
    assert tree.usage.sandbox_s > 0
    assert tree.usage.model_calls == 1
    assert "42" in tree.trajectory(4).prompt[0].text
    assert len(sandbox.sessions) == 1


async def test_only_answers_are_judged_not_calls():
    tree = await perform(Chores(("look_up", {"word": "a"}), ("broken", {})))
    verifier = open_verifier("math")
    try:
        assert set(await judge(tree, PROBLEM, verifier)) == {3}
    finally:
        await verifier.close()


async def test_no_session_is_opened_for_tools_that_need_none():
    sandbox = Opened(None)
    await perform(Chores(("look_up", {"word": "a"})), sandbox=sandbox)
    assert sandbox.sessions == []


async def test_what_goes_wrong_is_told_and_does_not_raise():
    workflow = Chores(("teleport", {}), ("broken", {}), ("slow", {}), ("look_up", {}), timeout_s=0.05)
    tree = await perform(workflow)
    assert [turn.text for turn in workflow.seen] == [
        "UnknownTool: there is no tool named 'teleport'; tools: broken, look_up, python, slow",
        "ToolError: tool 'broken' broke: RuntimeError: no fuse",
        "TimeoutError: slow took longer than 0.05 s",
        "InvalidCall: word: Field required",
    ]
    statuses = [ObservationStatus.INVALID, ObservationStatus.ERROR, ObservationStatus.TIMEOUT, ObservationStatus.INVALID]
    assert [turn.value.status for turn in workflow.seen] == statuses
    assert [node.error.boundary if node.error else None for node in tree.nodes[1:]] == [None, "tool", None, None, None]
    assert [turn.readable for turn in workflow.seen] == [True, False, True, True]


async def test_calls_count_on_the_budget():
    workflow = Chores(("look_up", {"word": "a"}), ("look_up", {"word": "b"}), ("look_up", {"word": "c"}))
    tree = await perform(workflow, budget=Budget(tool_calls=2))
    assert (tree.ended, tree.usage.tool_calls, len(workflow.seen)) == ("budget: tool_calls", 2, 2)


async def test_a_resumed_run_repeats_no_call_but_replays_its_session(tmp_path, sandbox):
    calls = [
        ("python", {"code": "x = 6"}),
        ("look_up", {"word": "seven"}),
        ("python", {"code": "x += 1; print('got', x)"}),
        ("python", {"code": "print(x * 6)"}),
    ]
    log = SearchLog(tmp_path, set())
    first = await perform(Chores(*calls), sandbox=sandbox, log=log.of("k"))
    log.close()
    lines = (tmp_path / "searches.jsonl").read_text().splitlines(keepends=True)
    assert len(lines) == 5
    for cut in range(6):
        (tmp_path / "searches.jsonl").write_text("".join(lines[:cut]))
        sandbox.sessions.clear()
        log, tools, model = SearchLog(tmp_path, set()), Tools(), ScriptedModel(["So \\boxed{42}."] if cut < 5 else [])
        again = await perform(Chores(*calls), sandbox=sandbox, tools=tools, model=model, log=log.of("k"))
        log.close()
        model.assert_done()
        assert [(node.parent, node.move, node.step.text) for node in again.nodes[1:]] == [
            (node.parent, node.move, node.step.text) for node in first.nodes[1:]
        ]
        assert tools.looked_up == ["seven"] * (cut < 2)
        assert len(sandbox.sessions) == (cut < 4)
        assert again.notes == {}


async def test_a_replay_that_differs_is_noted(tmp_path, sandbox):
    calls = [("python", {"code": "import time; x = time.time_ns(); print(x)"}), ("python", {"code": "print(1)"})]
    log = SearchLog(tmp_path, set())
    await perform(Chores(*calls), sandbox=sandbox, log=log.of("k"))
    log.close()
    path = tmp_path / "searches.jsonl"
    path.write_text(path.read_text().splitlines(keepends=True)[0])
    log = SearchLog(tmp_path, set())
    tree = await perform(Chores(*calls), sandbox=sandbox, log=log.of("k"))
    log.close()
    assert tree.notes == {1: "replayed, and its output differs from what was recorded"}


async def test_a_replay_without_the_tool_that_ran_names_it(tmp_path, sandbox):
    calls = [("python", {"code": "x = 6"}), ("shell", {"command": "true"})]
    log, tools = SearchLog(tmp_path, set()), Tools()
    await perform(Chores(*calls), sandbox=sandbox, log=log.of("k"))
    log.close()
    path = tmp_path / "searches.jsonl"
    path.write_text(path.read_text().splitlines(keepends=True)[0])
    tools.all = toolset(ShellTool())
    log = SearchLog(tmp_path, set())
    with pytest.raises(ConfigError, match=r"the tool 'python', which is not configured any more; configure it again.*tools: shell"):
        await perform(Chores(*calls), sandbox=sandbox, tools=tools, log=log.of("k"))
    log.close()


async def test_what_is_resumed_counts_on_the_budget(tmp_path):
    calls = [("look_up", {"word": "a"}), ("look_up", {"word": "b"})]
    for _ in range(2):
        log = SearchLog(tmp_path, set())
        tree = await perform(Chores(*calls), model=ScriptedModel(), budget=Budget(tool_calls=2), log=log.of("k"))
        log.close()
        assert tree.ended == "budget: tool_calls"
        assert len(tree.nodes) == 3


@pytest.mark.parametrize(
    ("properties", "required", "name"),
    [
        ({"code": {"type": "string"}}, ["code"], "code"),
        ({"query": {"type": "string"}, "k": {"type": "integer"}}, ["query"], "query"),
        ({"a": {"type": "string"}, "b": {"type": "string"}}, ["a", "b"], None),
        ({"n": {"type": "integer"}}, ["n"], None),
        ({}, ["ghost"], None),
        ({}, [], None),
    ],
)
def test_the_only_text_of_a_tool(properties, required, name):
    assert only_text(ToolSpec(name="t", description="d", parameters={"properties": properties, "required": required})) == name
