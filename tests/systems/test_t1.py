"""T1: candidates, checks by tool, rewards, and the choice; the figures about it."""

import json
import re
from typing import Any

import pytest

from tests.systems.scripted_parts import prompt_of
from tirage.agents.dialects.base import NativeTools
from tirage.agents.explorer import SolveContext
from tirage.agents.search_options import PathLimits, SearchOptions
from tirage.agents.valuation import Estimate, Valuer
from tirage.core.budget import Budget
from tirage.core.errors import CapabilityError, ConfigError, ModelRequestError
from tirage.core.message import ToolCall
from tirage.core.problem import Problem
from tirage.core.tree import ROOT
from tirage.core.verdict import Verdict
from tirage.judging.candidate_pool import RM_ONLY, CheckedCandidate, check_figures, finding, read_pool, select, selection_curve
from tirage.judging.generative_reward import GenerativeReward
from tirage.models.base import Sampling
from tirage.rollouts.runner import judge
from tirage.sandbox import SandboxConfig, open_sandbox
from tirage.sandbox.base import Limits
from tirage.systems.parts import AgentParts
from tirage.systems.t1 import NANO_VERIFIER, T1, build
from tirage.testing.canary import Canary
from tirage.testing.logs import MemoryLog
from tirage.testing.models import ScriptedModel
from tirage.testing.scripted import Reply
from tirage.tools.function import tool
from tirage.tools.python import PythonTool
from tirage.tools.toolset import toolset
from tirage.verification.factory import open_verifier

PROBLEM = Problem(prompt="What is 6 * 7?", answer="nonce-4711", metadata={"solution": "nonce-4711"})
SAMPLING = Sampling(temperature=0.8, max_tokens=512)


def check(code: str, verdict: str = "correct") -> list[str]:
    return [f"```python\n{code}\n```\n```output", f"Verdict: {verdict}"]


def answers(*values: int) -> list[str]:
    return [f"It is \\boxed{{{value}}}." for value in values]


class Graded(Valuer):
    """Rewards by answer."""

    def __init__(self, **worth: float) -> None:
        self.worth = worth
        self.asked = 0

    async def value(self, problem, path, seed):
        self.asked += 1
        return Estimate(value=self.worth[re.search(r"boxed{(.+?)}", path.response)[1]])


async def perform(model, *, budget=None, options=None, log=None, seconds=5.0):
    async with open_sandbox(SandboxConfig(preload=())) as sandbox:
        tools = {"python": PythonTool(limits=Limits(wall_s=seconds))}
        agent = build(
            AgentParts(
                model=model, tools=tools, sandbox=sandbox, sampling=SAMPLING, search_options=SearchOptions(budget=budget or Budget())
            ),
            **(options or {}),
        )
        return await agent.solve(PROBLEM, SolveContext(seed=7, log=log))


async def verdicts_of(tree, answer="42"):
    verifier = open_verifier("math")
    try:
        return await judge(tree, Problem(prompt=PROBLEM.prompt, answer=answer), verifier)
    finally:
        await verifier.close()


def pool(*items: tuple[str | None, float, bool | None]) -> list[CheckedCandidate]:
    return [
        CheckedCandidate(node=place, answer=answer, reward=reward, checks=(found,))
        for place, (answer, reward, found) in enumerate(items, start=1)
    ]


WRONG_RIGHT = pool(("5", 0.9, False), ("5", 0.9, False), ("5", 0.9, False), ("42", 0.4, True))


def test_the_filter_makes_weighted_best_of_n_right_where_votes_and_rewards_are_wrong():
    assert select(WRONG_RIGHT, rule="majority", filtered=False)[0].answer == "5"
    assert select(WRONG_RIGHT, rule="weighted", filtered=False)[0].answer == "5"
    assert select(WRONG_RIGHT, rule="weighted") == (WRONG_RIGHT[3], "")
    assert select(WRONG_RIGHT, rule="best") == (WRONG_RIGHT[3], "")


@pytest.mark.parametrize(("rule", "chosen"), [("majority", "1"), ("weighted", "2"), ("best", "3")])
def test_each_rule_has_a_winner_of_its_own(rule, chosen):
    """Votes 3, 2, 1; sums of s = g r 0.9, 1.0, 0.8; the highest 0.3, 0.5, 0.8. What is rejected counts for nobody."""
    left = [("1", 0.3, True)] * 3 + [("2", 0.5, None)] * 2 + [("3", 0.8, True)]
    found, fallback = select(pool(*left, *[("4", 0.9, False)] * 4), rule=rule)
    assert (found.answer, fallback) == (chosen, "")


async def test_the_same_in_the_sandbox_with_programs_of_the_models_own():
    told = [*check("print(6 * 7 == 5)", "correct") * 3, *check("print(6 * 7 == 42)")]
    model = ScriptedModel(tags={"solver": answers(5, 5, 5, 42), "verifier": told})
    # Side by side, programs and closing words would be drawn from one queue in another order.
    tree = await perform(model, options={"n": 4, "width": 1, "valuer": Graded(**{"5": 0.9, "42": 0.4})})
    model.assert_done()
    assert [item.checks for item in read_pool(tree)] == [(False,), (False,), (False,), (True,)]
    assert [item.reward for item in read_pool(tree)] == [None, None, None, 0.4]
    assert "42" in tree.trajectory(tree.chosen).response
    assert RM_ONLY not in tree.notes.get(tree.chosen, "")
    assert {node.move for node in tree.nodes[1:]} == {"solver", "verifier"}
    assert set(await verdicts_of(tree)) == {item.node for item in read_pool(tree)}


async def test_a_check_that_runs_too_long_or_crashes_abstains_and_passes():
    told = [*check("while True: pass"), *check("print(1 / 0)"), "I believe it. Verdict: wrong"]
    model = ScriptedModel(tags={"solver": answers(1, 2, 3), "verifier": told})
    tree = await perform(model, options={"n": 3, "width": 1, "reward": "none"}, seconds=0.5)
    assert [item.passes for item in read_pool(tree)] == [None, None, None]
    assert all(item.survives for item in read_pool(tree))
    assert [tree.notes[item.node] for item in read_pool(tree)] == ["abstained=1/1"] * 3
    figures = check_figures([(tree, await verdicts_of(tree, "2"))])
    assert (figures.abstained, figures.recall, figures.precision) == (1.0, 1.0, pytest.approx(1 / 3))


async def test_when_all_are_rejected_the_rewards_decide_and_it_is_noted():
    model = ScriptedModel(tags={"solver": answers(1, 2), "verifier": check("print(False)") * 2})
    tree = await perform(model, options={"n": 2, "width": 1, "rule": "best", "valuer": Graded(**{"1": 0.2, "2": 0.7})})
    assert "{2}" in tree.trajectory(tree.chosen).response
    assert RM_ONLY in tree.notes[tree.chosen]


async def test_facts_are_looked_up_and_the_verdict_in_words_counts():
    """By native calls the roles have the tools: what retrieval finds may end in any word."""
    asked = []

    @tool
    def search(query: str) -> str:
        """Look something up."""
        asked.append(query)
        return "Canberra is the capital; that it is Sydney is not True"

    def look_up(claim):
        return Reply(tool_calls=(ToolCall(name="search", arguments=json.dumps({"query": claim}), id="c"),))

    def say(request):
        if request.messages[-1].role == "tool":
            return f"Verdict: {'correct' if 'Proposed answer: Canberra' in prompt_of(request) else 'wrong'}"
        return look_up(re.search("Proposed answer: (.*)", prompt_of(request))[1])

    model = ScriptedModel(tags={"solver": ["\\boxed{Sydney}", "\\boxed{Sydney}", "\\boxed{Canberra}"], "verifier": say}, mode="chat")
    made_of = AgentParts(model=model, tools=toolset(search, PythonTool()), dialect=NativeTools(), sampling=SAMPLING)
    tree = await build(made_of, n=3, width=1, reward="none").solve(Problem(prompt="Capital of Australia?"), SolveContext(seed=0))
    assert asked == ["Sydney", "Sydney", "Canberra"]
    assert [item.checks for item in read_pool(tree)] == [(False,), (False,), (True,)]
    assert tree.trajectory(tree.chosen).response == "\\boxed{Canberra}"
    assert not any("```" in prompt_of(request) for request in model.requests)


async def test_rewards_are_asked_for_survivors_only():
    model = ScriptedModel(tags={"solver": answers(1, 2), "verifier": [*check("print(False)"), *check("print(True)")]})
    valuer = Graded(**{"1": 0.2, "2": 0.7})
    await perform(model, options={"n": 2, "width": 1, "valuer": valuer})
    assert valuer.asked == 1


async def test_several_checks_vote_and_the_share_may_be_the_reward():
    told = [*check("print(True)"), *check("print(False)"), *check("print(True)")]
    said = {"output\nTrue": "Verdict: correct", "output\nFalse": "Verdict: wrong", "Proposed": told[::2]}
    model = ScriptedModel(tags={"solver": answers(1), "verifier": said})
    tree = await perform(model, options={"n": 1, "checks": 3, "reward": "share"})
    (item,) = read_pool(tree)
    assert sorted(item.checks) == [False, True, True]
    assert (item.passes, item.reward) == (True, pytest.approx(2 / 3))
    assert CheckedCandidate(node=1, answer="1", checks=(True, False)).passes is None


async def test_the_probability_of_a_word_as_reward():
    said: dict[str, Any] = {"solver": answers(1, 2), "verifier": {"output\nTrue": "Verdict: correct", "Proposed": check("print(True)")[0]}}
    model = ScriptedModel(tags={**said, "reward": [" correct", " wrong"]})
    tree = await perform(model, options={"n": 2, "width": 1, "rule": "best", "reward": "token"})
    # Each made-up byte has log-probability -1/8: e^(-8/8) for " correct", 1 - e^(-6/8) for " wrong".
    assert [item.reward for item in read_pool(tree)] == [pytest.approx(0.36788, abs=1e-5), pytest.approx(0.52763, abs=1e-5)]
    assert "{2}" in tree.trajectory(tree.chosen).response
    assert (tree.judging.model_calls, tree.usage.model_calls) == (2, 8)
    with pytest.raises(CapabilityError, match="reward=share"):
        build(AgentParts(model=ScriptedModel(mode="text"), sampling=SAMPLING), reward="token")


def test_a_curve_over_n_is_computed_from_one_pool():
    items = pool(*([("5", 0.9, False)] * 6), *([("42", 0.4, True)] * 2))
    right = {item.node: item.answer == "42" for item in items}
    curve = selection_curve(items, right, seed=3)
    assert list(curve) == [1, 2, 4, 8]
    # One of eight is right with 2/8; two hold a right one with 1 - C(6,2)/C(8,2) = 13/28; four with 1 - C(6,4)/C(8,4) = 55/70.
    assert curve == {1: 0.25, 2: pytest.approx(13 / 28), 4: pytest.approx(55 / 70), 8: 1.0}
    assert selection_curve(items, right, filtered=False, rule="majority")[8] == 0.0
    many = pool(*([("5", 0.9, None)] * 40), *([("42", 0.4, True)] * 24))
    truth = {item.node: item.answer == "42" for item in many}
    first, again, other = (selection_curve(many, truth, seed=seed, draws=40) for seed in (1, 1, 2))
    assert first == again != other
    assert list(first) == [1, 2, 4, 8, 16, 32, 64]


async def test_figures_of_the_filter_and_the_choice():
    told = [*check("print(False)"), *check("print(True)"), *check("print(True)"), *check("print(False)")]
    model = ScriptedModel(tags={"solver": answers(42, 42, 5, 6), "verifier": told})
    tree = await perform(model, options={"n": 4, "width": 1, "reward": "none"})
    figures = check_figures([(tree, await verdicts_of(tree))])
    # Passed: one right, one wrong; rejected: one right, one wrong.
    assert (figures.candidates, figures.precision, figures.recall, figures.f1) == (4, 0.5, 0.5, 0.5)
    assert (figures.abstained, figures.selection, figures.oracle) == (0.0, 1.0, 1.0)
    ungraded = {item.node: Verdict(correct=None, verifier="x") for item in read_pool(tree)}
    assert check_figures([(tree, ungraded)]).precision is None


async def test_no_answer_is_no_candidate():
    model = ScriptedModel(tags={"solver": ["I do not know.", *answers(3)], "verifier": check("print(True)")})
    tree = await perform(model, options={"n": 2, "width": 1, "reward": "none"})
    assert "{3}" in tree.trajectory(tree.chosen).response
    model = ScriptedModel(tags={"solver": ["I do not know."]})
    tree = await perform(model, options={"n": 1})
    assert tree.chosen == 1


@pytest.mark.parametrize(("calls", "chosen"), [(0, ROOT), (1, 1), (2, 1), (3, 1), (4, 1), (6, 4)])
async def test_a_limit_leaves_the_choice_among_what_there_is(calls, chosen):
    told = [*check("print(False)"), *check("print(True)")]
    model = ScriptedModel(tags={"solver": answers(5, 42), "verifier": told})
    tree = await perform(model, options={"n": 2, "width": 1, "reward": "none"}, budget=Budget(model_calls=calls))
    assert tree.usage.model_calls == calls
    assert tree.chosen == chosen
    assert tree.ended == ("" if calls == 6 else "budget: model_calls")


async def test_what_is_in_the_log_is_not_asked_again():
    said: dict[str, Any] = {
        "solver": lambda request: "\\boxed{42}",
        "verifier": {"output\nTrue": "Verdict: correct", "Proposed": check("print(True)")[0]},
    }
    whole, options = MemoryLog(), {"n": 2, "width": 2, "reward": "share"}
    first = await perform(ScriptedModel(tags=said), log=whole, options=options)
    assert len(whole.kept) == 6
    for cut in range(7):
        log, model = MemoryLog(), ScriptedModel(tags=said)
        log.kept = whole.kept[:cut]
        again = await perform(model, log=log, options=options)
        assert len(model.requests) == 6 - cut
        assert (read_pool(again), again.chosen) == (read_pool(first), first.chosen)


async def test_the_reference_is_out_of_reach_of_checks_and_rewards():
    canary = Canary(PROBLEM.prompt)
    model = ScriptedModel(tags={"solver": answers(5), "verifier": check("print(True)"), "reward": [" correct"]})
    async with open_sandbox(SandboxConfig(preload=())) as sandbox:
        agent = build(AgentParts(model=model, tools={"python": PythonTool()}, sandbox=sandbox, sampling=SAMPLING), n=1, reward="token")
        canary.guard(agent)
        await agent.solve(canary.problem, SolveContext(seed=7))
    canary.check(model)
    assert (canary.handed, len(model.requests)) == (2, 4)


async def test_what_broke_off_before_it_stated_an_answer_is_no_candidate():
    model = ScriptedModel(tags={"solver": ["```python\nprint(42)\n```\n```output"]})
    limits = PathLimits(max_calls=1, last_word=False)
    async with open_sandbox(SandboxConfig()) as sandbox:
        made_of = AgentParts(model=model, tools={"python": PythonTool()}, sandbox=sandbox, sampling=SAMPLING, limits=limits)
        tree = await build(made_of, n=1).solve(PROBLEM, SolveContext(seed=0))
    model.assert_done()
    (item,) = read_pool(tree)
    assert (item.answer, item.checks) == (None, ()), "what a program printed is no answer, as for the verifier"
    assert (await verdicts_of(tree))[item.node].correct is False
    assert (await GenerativeReward(ScriptedModel([])).value(PROBLEM, tree.trajectory(item.node), 0)).value == 0.0


async def test_a_broken_turn_is_no_finding():
    model = ScriptedModel(tags={"solver": answers(5), "verifier": [ModelRequestError("too long")]})
    tree = await perform(model, options={"n": 1, "reward": "none"})
    assert [item.checks for item in read_pool(tree)] == [(None,)]


async def test_the_words_of_a_check_count_where_its_tool_says_neither():
    model = ScriptedModel(tags={"solver": answers(5), "verifier": check("print('the sum is 42')", "wrong")})
    tree = await perform(model, options={"n": 1, "reward": "none"})
    (item,) = read_pool(tree)
    assert item.checks == (False,)
    assert finding(tree, len(tree.nodes) - 1) is False


def test_options_are_checked_and_nano_is_asked_in_its_own_words():
    with pytest.raises(ConfigError, match="t1 has no option 'm'"):
        build(AgentParts(model=ScriptedModel(), sampling=SAMPLING), m=3)
    with pytest.raises(ConfigError, match="rule"):
        build(AgentParts(model=ScriptedModel(), sampling=SAMPLING), rule="worst")
    (asked,) = NANO_VERIFIER.messages({"problem": "1 + 1", "answer": "2", "solution": "x"})
    assert asked.content == "Check: 1 + 1\nProposed answer: 2"
    assert T1(n=4).id == build(AgentParts(model=ScriptedModel(), sampling=SAMPLING), n=4).workflow.id == "t1-4x1-weighted-confidence"
    assert T1(valuer=Graded()).id == "t1-8x1-weighted-graded"
