import asyncio
import json
import re
from typing import Any

import pytest

from tirage.agents.explorer import SolveContext
from tirage.agents.replies import Unreadable
from tirage.agents.search_options import SearchOptions
from tirage.core.budget import Budget
from tirage.core.errors import ConfigError
from tirage.core.problem import Problem
from tirage.models.base import Sampling
from tirage.sandbox import SandboxConfig, open_sandbox
from tirage.systems.octotools import OctoTools, arguments_of, build, find_tool, read_check
from tirage.systems.parts import AgentParts
from tirage.testing.canary import Canary
from tirage.testing.logs import MemoryLog
from tirage.testing.models import ScriptedModel
from tirage.tools.discovery import from_folder
from tirage.tools.function import tool
from tirage.tools.python import PythonTool
from tirage.tools.toolset import toolset

PROBLEM = Problem(prompt="How many days do 3 years of Xanth have?", answer="nonce-5102")


@tool
def search(query: str) -> str:
    """Look something up."""
    return f"A year of Xanth has 417 days. (found for {query})"


@tool
def calculator(expression: str) -> str:
    """Multiply.

    Args:
        expression: two integers with * between them.
    """
    left, right = expression.split("*")
    return str(int(left) * int(right))


def said(**fields):
    return json.dumps(fields)


def step(tool_name, command, *, stop, context="", sub_goal="go on"):
    """What predictor, commander and verifier say."""
    return [
        ("predictor", said(justification="because", context=context, sub_goal=sub_goal, tool_name=tool_name)),
        *([("commander", said(analysis="a", explanation="e", command=command))] if command is not None else []),
        ("verifier", said(analysis="looked", stop_signal=stop)),
    ]


def script_of(*turns):
    tags: dict[str, Any] = {role: [] for role in ("analyser", "predictor", "commander", "verifier", "summariser", "reporter", "base")}
    for role, text in turns:
        tags[role].append(text)
    return ScriptedModel(tags=tags)


ANALYSIS = ("analyser", said(concise_summary="years to days", required_skills=["search"], relevant_tools="search, calculator"))
ANSWER = ("summariser", "They have \\boxed{1251} days.")
TWO_STEPS = [
    ANALYSIS,
    *step("search", {"query": "year of Xanth"}, stop=False, sub_goal="find the length of a year"),
    *step("Calculator", {"expression": "3 * 417"}, stop=True, context="a year has 417 days", sub_goal="multiply"),
    ANSWER,
]


async def perform(model, *, tools=None, options=None, budget=None, log=None, sandbox=None):
    tools = toolset(search, calculator) if tools is None else tools
    agent = build(
        AgentParts(
            model=model,
            tools=tools,
            sandbox=sandbox,
            sampling=Sampling(max_tokens=4000),
            search_options=SearchOptions(budget=budget or Budget()),
        ),
        **(options or {}),
    )
    return await agent.solve(PROBLEM, SolveContext(seed=3, log=log))


def asked(model, role):
    """The prompts of a role, in order."""
    return [bytes(request.ids).decode() for request in model.requests if request.tag == role]


def memory_in(prompt):
    return prompt[prompt.index("{") : prompt.rindex("}\n\nAnswer") + 1]


async def test_two_tools_cost_one_call_three_per_step_and_one():
    model = script_of(*TWO_STEPS)
    tree = await perform(model)
    model.assert_done()
    assert len(model.requests) == 1 + 2 * 3 + 1
    assert tree.usage.tool_calls == 2
    assert [node.move for node in tree.nodes[1:]] == [
        "analyser",
        *("predictor", "commander", "executor", "verifier"),
        *("predictor", "commander", "executor", "verifier"),
        "summariser",
    ]
    assert [node.parent for node in tree.nodes[1:]] == list(range(10))
    assert tree.trajectory(tree.chosen).response == "They have \\boxed{1251} days."
    assert tree.ended == ""


async def test_the_memory_holds_the_actions_in_order():
    model = script_of(*TWO_STEPS)
    await perform(model)
    (prompt,) = asked(model, "summariser")
    assert json.loads(memory_in(prompt)) == {
        "step 1": {
            "tool": "search",
            "sub_goal": "find the length of a year",
            "command": {"query": "year of Xanth"},
            "result": "A year of Xanth has 417 days. (found for year of Xanth)",
        },
        "step 2": {"tool": "calculator", "sub_goal": "multiply", "command": {"expression": "3 * 417"}, "result": "1251"},
    }


async def test_the_value_of_step_1_reaches_the_command_of_step_2_by_memory_and_context_alone():
    """The roles copy what they read: nothing of it stands in the script."""

    def plan(request):
        found = re.search(r"has (\d+) days", bytes(request.ids).decode().split("Steps so far:")[1])
        context = f"a year has {found[1]} days" if found else ""
        return said(context=context, sub_goal="multiply" if found else "look it up", tool_name="calculator" if found else "search")

    def command(request):
        found = re.search(r"Context: a year has (\d+) days", bytes(request.ids).decode())
        return said(command={"expression": f"3 * {found[1]}"} if found else {"query": "year of Xanth"})

    def conclude(request):
        return f"\\boxed{{{json.loads(memory_in(bytes(request.ids).decode()))['step 2']['result']}}}"

    checks = [said(analysis="no", stop_signal=False), said(analysis="yes", stop_signal=True)]
    tags: dict[str, Any] = {"analyser": [ANALYSIS[1]], "predictor": plan, "commander": command, "verifier": checks, "summariser": conclude}
    tree = await perform(ScriptedModel(tags=tags))
    executed = [node.step.calls[0] for node in tree.nodes if node.move == "executor"]
    assert [(call.name, json.loads(call.arguments)) for call in executed] == [
        ("search", {"query": "year of Xanth"}),
        ("calculator", {"expression": "3 * 417"}),
    ]
    assert tree.trajectory(tree.chosen).response == "\\boxed{1251}"


async def test_stop_at_the_first_step_prevents_the_second():
    model = script_of(ANALYSIS, *step("search", {"query": "x"}, stop=True), ANSWER)
    tree = await perform(model)
    model.assert_done()
    assert [node.move for node in tree.nodes].count("predictor") == 1
    assert tree.ended == ""


async def test_without_a_stop_it_ends_at_max_steps():
    model = script_of(ANALYSIS, *step("search", {"query": "x"}, stop=False) * 3, ANSWER)
    tree = await perform(model, options={"max_steps": 3})
    model.assert_done()
    assert tree.ended == "max_steps"
    assert tree.trajectory(tree.chosen).response == "They have \\boxed{1251} days."
    assert [prompt.split("This is step ")[1][:20] for prompt in asked(model, "predictor")] == [
        "1; 2 more may follow",
        "2; 1 more may follow",
        "3; 0 more may follow",
    ]


@tool
async def sleeper() -> str:
    """Sleep."""
    await asyncio.sleep(60)
    return "awake"


async def test_unknown_tool_exception_and_timeout_become_result_strings():
    model = script_of(
        ANALYSIS,
        *step("teleporter", None, stop=False),
        *step("calculator", {"expression": "no product"}, stop=False),
        *step("sleeper", {}, stop=False),
        *step("search", "", stop=True),
        ANSWER,
    )
    tree = await perform(model, tools=toolset(search, calculator, sleeper), options={"timeout_s": 0.05})
    model.assert_done()
    memory = asked(model, "summariser")[0]
    assert "there is no tool named 'teleporter'; tools: calculator, search, sleeper" in memory
    assert "ToolError: tool 'calculator' broke: ValueError" in memory
    assert "TimeoutError: sleeper took longer than 0.05 s" in memory
    assert "No result: there was no command." in memory
    assert tree.trajectory(tree.chosen).error is None


ORACLE = """
from tirage.tools.function import tool

@tool
def oracle(question: str) -> str:
    \"\"\"Ask the oracle-5531.\"\"\"
    return f"so it is: {question}"
"""
ORACLES_CARD = """
inputs: {question: "one thing, spelt out"}
demos: [{arguments: {question: will it rain}, description: the weather}]
limitations: [it never says when]
best_practices: [ask twice]
version: "7.1"
"""


async def test_a_tool_put_into_a_folder_with_its_card_is_used_without_a_change_elsewhere(tmp_path):
    (tmp_path / "oracle.py").write_text(ORACLE)
    (tmp_path / "oracle.yaml").write_text(ORACLES_CARD)
    model = script_of(ANALYSIS, *step("the ORACLE tool", "what is it?", stop=True), ANSWER)
    await perform(model, tools=toolset(search, *from_folder(tmp_path).values()))
    assert "so it is: what is it?" in asked(model, "summariser")[0]
    facts = ["oracle 7.1: Ask the oracle-5531.", "question (string): one thing, spelt out", '{"question": "will it rain"}: the weather']
    for role in ("analyser", "predictor", "commander", "verifier"):
        (prompt,) = asked(model, role)
        for fact in (*facts, "limitation: it never says when", "best practice: ask twice"):
            assert fact in prompt, role
        assert ("search: Look something up." in prompt) == (role != "commander")
    assert '"required": ["question"]' in asked(model, "commander")[0]


async def test_tools_may_be_described_in_another_way():
    model = script_of(ANALYSIS, *step("search", {"query": "x"}, stop=True), ANSWER)
    await perform(model, options={"describe": lambda item: f"card of {item.spec.name}"})
    assert "card of search" in asked(model, "analyser")[0]
    assert "output: text" not in asked(model, "commander")[0]


async def test_code_runs_in_one_session_of_the_sandbox():
    model = script_of(
        ANALYSIS,
        *step("python", "```python\nyear = 417\n```", stop=False),
        *step("python", [{"code": "print(year * 3)"}, {"code": "print(year * 4)"}], stop=True),
        ANSWER,
    )
    async with open_sandbox(SandboxConfig(preload=())) as sandbox:
        tree = await perform(model, tools=toolset(PythonTool()), sandbox=sandbox)
    assert [node.step.text for node in tree.nodes if node.move == "executor"] == ["(no output)", "1251\n", "1668\n"]
    memory = "".join(asked(model, "summariser")[0].split())
    assert '"result":["1251","1668"]' in memory


async def test_other_outputs():
    model = script_of(("base", "\\boxed{1}"), ANALYSIS, *step("search", {"query": "x"}, stop=True), ("reporter", "long"), ANSWER)
    tree = await perform(model, options={"outputs": ["base", "final", "direct"]})
    model.assert_done()
    assert [node.move for node in tree.nodes[1:]] == [
        *("base", "analyser", "predictor", "commander", "executor", "verifier"),
        *("reporter", "summariser"),
    ]
    assert tree.nodes[tree.chosen].move == "summariser"


@pytest.mark.parametrize(("calls", "nodes"), [(0, 0), (1, 1), (2, 2), (4, 2), (5, 6), (7, 6), (8, 10)])
async def test_a_budget_ends_it_and_the_last_call_sums_up(calls, nodes):
    tree = await perform(script_of(*TWO_STEPS), budget=Budget(model_calls=calls))
    assert len(tree.nodes) - 1 == nodes
    assert tree.usage.model_calls <= calls
    assert tree.ended == ("" if calls == 8 else "budget: model_calls")
    assert tree.nodes[tree.chosen].move == ("summariser" if calls >= 2 else "")


@pytest.mark.parametrize("cut", range(11))
async def test_resumed_from_a_log_no_call_is_repeated(cut):
    whole = MemoryLog()
    first = await perform(script_of(*TWO_STEPS), log=whole)
    assert len(whole.kept) == 10
    left = {node.step.opening.prompt[0].text if node.step.opening.prompt else "" for node in first.nodes[1 + cut :]}
    calls = []

    @tool(name="search")
    def counted(query: str) -> str:
        """Look something up."""
        calls.append(query)
        return search(query)

    done = [node.move for node in first.nodes[1 : 1 + cut] if node.move != "executor"]
    model = script_of(*TWO_STEPS[len(done) :])
    again = await perform(model, tools=toolset(counted, calculator), log=MemoryLog(whole.kept[:cut]))
    model.assert_done()
    assert {bytes(request.ids).decode() for request in model.requests} == left - {""}
    assert calls == ["year of Xanth"] * (cut < 4)
    assert [(node.parent, node.move, node.step.text) for node in again.nodes[1:]] == [
        (node.parent, node.move, node.step.text) for node in first.nodes[1:]
    ]


async def test_the_reference_is_out_of_reach():
    canary, model = Canary(PROBLEM.prompt), script_of(*TWO_STEPS)
    agent = build(AgentParts(model=model, tools=toolset(search, calculator), sampling=Sampling()))
    canary.guard(agent)
    tree = await agent.solve(canary.problem, SolveContext(seed=3))
    canary.check(model)
    assert (canary.handed, tree.usage.model_calls) == (2, 8)
    assert canary.nonce not in repr(tree)


@pytest.mark.parametrize(
    ("text", "stop"),
    [
        ('{"analysis": "x", "stop_signal": true}', True),
        ('{"stop_signal": "STOP"}', True),
        ("We might stop here. Conclusion: CONTINUE. Or stop?", False),
        ("conclusion: continue\nConclusion: **STOP**", True),
        ("I would stop", True),
    ],
)
def test_the_verifier_is_read(text, stop):
    assert read_check(text).stop_signal is stop


async def test_a_verifier_that_says_neither_goes_on():
    with pytest.raises(Unreadable):
        read_check("hm")
    model = script_of(ANALYSIS, *step("search", {"query": "x"}, stop=True)[:2], ("verifier", "hm"), ANSWER)
    tree = await perform(model, options={"max_steps": 1})
    assert tree.ended == "max_steps"


def test_tools_are_found_by_containment():
    tools = toolset(search, calculator, PythonTool())
    assert find_tool("Python_Code_Tool", tools) == "python"
    assert find_tool("SEARCH", tools) == "search"
    assert find_tool("", tools) is None
    assert find_tool("calc", tools) is None


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ({"code": "1"}, ['{"code": "1"}']),
        ([{"code": "1"}, {"code": "2"}], ['{"code": "1"}', '{"code": "2"}']),
        ("print({})", ['{"code": "print({})"}']),
        ('{"code": "1"}\n{"code": "2"}', ['{"code": "1"}', '{"code": "2"}']),
        ("```python\nx = 1\ny = 2\n```", ['{"code": "x = 1\\ny = 2"}']),
    ],
)
def test_commands_of_a_tool_with_one_text(command, arguments):
    assert arguments_of(command, PythonTool().spec) == arguments


def test_commands_of_other_tools():
    @tool
    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    assert arguments_of('call {"a": 1, "b": 2}', add.spec) == ['{"a": 1, "b": 2}']
    assert arguments_of("1 and 2", add.spec) == ["1 and 2"]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"steps": 3}, "octotools has no option 'steps'; its options: max_steps, outputs"),
        ({"max_steps": "many"}, "option 'max_steps' cannot be 'many'"),
    ],
)
def test_options_are_checked(options, reason):
    with pytest.raises(ConfigError, match=reason):
        build(AgentParts(model=ScriptedModel(), sampling=Sampling()), **(options or {}))


def test_an_octotools_has_its_constants():
    assert (OctoTools().max_steps, OctoTools().timeout_s, OctoTools().id) == (10, 120.0, "octotools-10")
