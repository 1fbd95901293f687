"""Refining: AB-MCTS goes deeper by having complete answers improved (arXiv 2503.04412)."""

import re
from typing import Literal

import pytest

from tests.systems.scripted_parts import PROBLEM, prompt_of, scripted_parts
from tirage.agents.explorer import Explorer, SolveContext
from tirage.agents.refine import Refining
from tirage.agents.search_options import PathLimits, SearchOptions
from tirage.agents.valuation import Estimate, Valuer
from tirage.core import Budget, Problem, StopReason, Trajectory, Tree
from tirage.core.errors import ModelRequestError
from tirage.core.message import ObservationStatus
from tirage.core.tree import ROOT
from tirage.models.base import Request
from tirage.sandbox import SandboxConfig, open_sandbox
from tirage.search.abmcts import REFINE
from tirage.search.strategies import strategy
from tirage.testing.scripted import ScriptedModel


class Said(Valuer):
    """An answer is worth a tenth of itself."""

    async def value(self, problem: Problem, path: Trajectory, seed: int) -> Estimate:
        return Estimate(value=int(re.findall(r"boxed{(\d+)}", path.response)[-1]) / 10)


def improves(request: Request) -> str:
    """One more than the answer that is shown; 3 where none is."""
    shown = re.findall(r"boxed{(\d+)}", prompt_of(request))
    return f"It is \\boxed{{{min(9, int(shown[-1]) + 1) if shown else 3}}}."


async def grow(model: ScriptedModel, nodes: int, **options: object) -> Tree:
    made_of = scripted_parts(model, tools={}, search_options=SearchOptions(valuer=Said(), budget=Budget(nodes=nodes)))
    policy = made_of.policy()
    agent = Explorer(
        Refining(policy, policy),
        tools={},
        sandbox=None,
        search=strategy("ab-mcts", {"refine": True, **options}),
        search_options=made_of.search_options,
        limits=made_of.limits,
    )
    return await agent.solve(PROBLEM, SolveContext(seed=0))


@pytest.mark.parametrize("mode", ["ids", "text", "chat"])
async def test_going_deeper_improves_a_complete_answer(mode: Literal["ids", "text", "chat"]) -> None:
    tree = await grow(ScriptedModel(improves, mode=mode), 30)
    assert len(tree.nodes) == 31
    deep = [node for node in tree.nodes if node.depth > 1]
    assert len(deep) > 5
    for node in deep:
        assert node.move == REFINE
        assert node.step is not None
        assert node.step.opening is not None
        above = tree.nodes[node.parent]
        assert above.stop is StopReason.ANSWERED
        assert above.step is not None
        # The model reads the problem, the answer, and what is asked of it; each path is a conversation of its own.
        problem, earlier, asked = node.step.opening.messages
        assert (problem.content, earlier.content) == (PROBLEM.prompt, above.step.text)
        assert "better answer" in asked.content
        assert tree.trajectory(node.index).response == node.step.text
    # Refining adds 0.1 a level: the best answer is the deepest, and it is chosen.
    assert tree.nodes[tree.chosen].depth == max(node.depth for node in tree.nodes)
    assert tree.values[tree.chosen] == max(tree.values.values())


async def test_calls_of_a_refinement_go_on_in_its_conversation() -> None:
    said = ["It is \\boxed{3}.", "Check.\n```python\nprint(2 * 3)\n```\n```output", "So \\boxed{6}."]
    model = ScriptedModel(said)
    async with open_sandbox(SandboxConfig(preload=())) as sandbox:
        made_of = scripted_parts(model, sandbox=sandbox, search_options=SearchOptions(valuer=Said(), budget=Budget(nodes=3)))
        policy = made_of.policy()
        agent = Explorer(
            Refining(policy, policy),
            tools=made_of.tools,
            sandbox=sandbox,
            search=strategy("ab-mcts", {"refine": True, "width": 1}),
            search_options=SearchOptions(valuer=Lenient(), budget=Budget(nodes=3)),
        )
        tree = await agent.solve(PROBLEM, SolveContext(seed=0))
    model.assert_done()
    last = tree.trajectory(3)
    assert [node.move for node in tree.nodes[1:]] == ["", REFINE, ""]
    assert last.prompt == tree.nodes[2].step.opening.prompt
    assert "\n6\n" in last.response
    assert "\\boxed{3}" not in last.response
    assert "\\boxed{3}" in prompt_of(model.requests[2])
    assert tree.nodes[1].parent == ROOT


class Lenient(Said):
    """As `Said`; what has no answer is worth the middle."""

    async def value(self, problem: Problem, path: Trajectory, seed: int) -> Estimate:
        return await super().value(problem, path, seed) if "boxed" in path.response else Estimate(value=0.5)


async def test_a_refinement_that_breaks_is_a_node_with_its_error() -> None:
    def breaks(request: Request) -> str:
        if "boxed{3}" in prompt_of(request):
            raise ModelRequestError("the prompt is too long")
        return "It is \\boxed{3}."

    tree = await grow(ScriptedModel(breaks), 12)
    broken = [node for node in tree.nodes[1:] if node.move == REFINE]
    assert len(tree.nodes) == 13
    assert broken
    for node in broken:
        assert node.stop is StopReason.ERROR
        assert node.error is not None
        assert node.error.message == "the prompt is too long"
        assert tree.trajectory(node.index).response == ""
    assert "boxed{3}" in tree.trajectory(tree.chosen).response


async def test_without_refine_a_complete_answer_is_an_end() -> None:
    tree = await grow(ScriptedModel(improves), 8, refine=False)
    assert {node.depth for node in tree.nodes[1:]} == {1}


async def test_an_arm_makes_the_refinement() -> None:
    from tirage.agents.arms import Arms

    first, second = ScriptedModel(improves), ScriptedModel(improves)
    made_of = scripted_parts(first, tools={})
    policy, other = made_of.policy(), scripted_parts(second, tools={}).policy()
    agent = Explorer(
        Refining(Arms(policy, {"other": other}), policy),
        tools={},
        sandbox=None,
        search=strategy("ab-mcts", {"refine": True, "moves": ("", "other")}),
        search_options=SearchOptions(valuer=Said(), budget=Budget(nodes=40)),
        limits=made_of.limits,
    )
    tree = await agent.solve(PROBLEM, SolveContext(seed=1))
    moves = {node.move for node in tree.nodes[1:]}
    assert {REFINE, f"{REFINE}:other"} <= moves
    assert first.requests
    assert second.requests


async def test_a_refinement_has_limits_of_its_own() -> None:
    """One step is all that a path may have; a refined answer is a path of its own, however deep it lies in the tree."""
    made_of = scripted_parts(
        ScriptedModel(improves),
        tools={},
        limits=PathLimits(max_steps=1, concurrency=1),
        search_options=SearchOptions(valuer=Said(), budget=Budget(nodes=20)),
    )
    policy = made_of.policy()
    agent = Explorer(
        Refining(policy, policy),
        tools={},
        sandbox=None,
        search=strategy("ab-mcts", {"refine": True}),
        search_options=made_of.search_options,
        limits=made_of.limits,
    )
    tree = await agent.solve(PROBLEM, SolveContext(seed=0))
    assert max(node.depth for node in tree.nodes) > 1
    assert {node.stop for node in tree.nodes[1:]} == {StopReason.ANSWERED}


async def test_calls_of_the_answer_above_do_not_count_for_a_refinement() -> None:
    def says(request: Request) -> str:
        shown = prompt_of(request)
        if "```output" not in shown.rpartition("That was an earlier answer")[2]:
            return "```python\nprint(3)\n```"
        return improves(request)

    async with open_sandbox(SandboxConfig(preload=())) as sandbox:
        made_of = scripted_parts(
            ScriptedModel(says, mode="chat"),
            sandbox=sandbox,
            limits=PathLimits(max_calls=1, concurrency=1),
            search_options=SearchOptions(valuer=Said(), budget=Budget(nodes=24)),
        )
        policy = made_of.policy()
        agent = Explorer(
            Refining(policy, policy),
            tools=made_of.tools,
            sandbox=sandbox,
            search=strategy("ab-mcts", {"refine": True}),
            search_options=made_of.search_options,
            limits=made_of.limits,
        )
        tree = await agent.solve(PROBLEM, SolveContext(seed=0))
    ran = [node for node in tree.nodes if node.step is not None and node.step.opening is not None and node.step.calls]
    assert ran
    assert all(item.status is ObservationStatus.OK for node in ran for item in node.step.observations if node.step is not None)
