"""The sync door: from scripts, from a running event loop, with a script and with the embedded model, and its errors."""

import re
import threading
from pathlib import Path
from typing import Any

import pytest

import tirage
from tirage.agents.dialects.base import FencedPython
from tirage.agents.explorer import Explorer
from tirage.agents.model_policy import ModelPolicy
from tirage.core import Budget, HintPosition, Problem, Source, StopReason
from tirage.core.errors import ConfigError, DataError, ModelError
from tirage.models.base import Sampling
from tirage.runtime.config import AgentConfig, BudgetConfig, SearchConfig, SolveConfig
from tirage.runtime.event_loop import run_sync
from tirage.runtime.solving import NODES, solve_async, solve_hints
from tirage.testing.models import ScriptedModel
from tirage.traces.jsonl import TraceStore

LINES = ["\\boxed{42}", "\\boxed{41}", "\\boxed{42}"]


@pytest.fixture
def script(tmp_path: Path) -> str:
    path = tmp_path / "script.txt"
    path.write_text("\n".join(LINES))
    return f"scripted/{path}"


def test_a_solution_holds_answer_tree_and_verdict(script: str) -> None:
    solution = tirage.solve("What is 6 * 7?", model=script, answer="42")
    assert solution.answer == "42"
    assert solution.verdict is not None
    assert (solution.verdict.correct, solution.verdict.verifier) == (True, "math/2")
    trajectory = solution.trajectory
    assert trajectory is not None
    assert (trajectory.response, trajectory.stop) == ("\\boxed{42}", StopReason.ANSWERED)
    assert trajectory.problem_id == Problem(prompt="What is 6 * 7?", answer="42").id
    assert solution.tree.usage.model_calls == 1


def test_a_wrong_answer_is_a_verdict_and_no_reference_is_none(script: str) -> None:
    wrong = tirage.solve("What is 6 * 7?", model=script, answer="43")
    assert wrong.verdict is not None
    assert wrong.verdict.correct is False
    assert tirage.solve("What is 6 * 7?", model=script).verdict is None


def test_best_of_takes_the_majority(script: str) -> None:
    solution = tirage.solve("What is 6 * 7?", model=script, best_of=3)
    assert solution.answer == "42"
    answers = {solution.tree.trajectory(leaf).response for leaf in solution.tree.leaves()}
    assert answers == set(LINES)


def test_a_strategy_grows_a_tree(script: str) -> None:
    solution = tirage.solve("What is 6 * 7?", model=script, strategy="best-of-n", options={"n": 3}, answer="42")
    assert (solution.answer, len(solution.tree.nodes)) == ("42", 4)
    few = tirage.solve("What is 6 * 7?", model=script, strategy="best-of-3", budget=Budget(nodes=1))
    assert (few.tree.ended, len(few.tree.nodes)) == ("budget: nodes", 2)
    endless = SearchConfig(strategy="best-of-n", options={"n": 1000}, concurrency=1)
    assert len(tirage.solve("?", model=ScriptedModel(["\\boxed{1}"] * 99), strategy=endless).tree.nodes) == NODES + 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"strategy": "mctss"}, "did you mean 'mcts'"),
        ({"strategy": "mcts", "options": {"widht": 3}}, "its options: width"),
        ({"agent": "octotool"}, "did you mean 'octotools'"),
        ({"agent": "octotools", "options": {"stesp": 3}}, "no option 'stesp'"),
        ({"agent": "octotools", "strategy": "mcts"}, "searches in its own way"),
        ({"agent": "octotools", "best_of": 3}, "searches in its own way"),
        ({"strategy": "mcts", "best_of": 3}, "give strategy='best-of-3'"),
        ({"options": {"width": 3}}, "the options width belong to a strategy or a published system"),
        ({"tools": ["absent"]}, "there is no folder absent"),
        ({"best_of": 0}, "best_of=0 chains cannot be sampled; give 1 or more"),
    ],
)
def test_arguments_that_do_not_go_together(script: str, arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(says)):
        tirage.solve("1 + 1?", model=script, **arguments)


def test_functions_are_tools() -> None:
    def double(n: int) -> int:
        """Twice a number."""
        return 2 * n

    model = ScriptedModel(["```python\nprint(tools.double(n=21))\n```\n", "\\boxed{42}"])
    solution = tirage.solve("What is 6 * 7?", model=model, tools=(double,))
    step = solution.tree.nodes[1].step
    assert step is not None
    assert [item.text.strip() for item in step.observations] == ["42"]


def test_an_agent_whose_parts_are_open_is_asked_as_it_is(tmp_path: Path) -> None:
    model = ScriptedModel(["\\boxed{42}"] * 3)
    agent = Explorer(ModelPolicy(model, FencedPython(), sampling=Sampling()), tools={}, sandbox=None)
    solution = tirage.solve("What is 6 * 7?", agent=agent, answer="42", run=tmp_path / "r", budget=Budget(model_calls=1))
    assert (solution.answer, solution.run) == ("42", tmp_path / "r")
    (kept,) = TraceStore(tmp_path / "r").read()
    assert (kept.model, kept.correct) == ("tirage.agents.explorer:Explorer", True)
    with pytest.raises(ConfigError, match="strategy, best_of cannot be given beside an agent whose parts are open"):
        tirage.solve("1 + 1?", agent=agent, strategy="mcts", best_of=2)
    with pytest.raises(ConfigError, match=r"budget\.nodes cannot be given beside an agent"):
        tirage.solve("1 + 1?", agent=agent, budget=Budget(nodes=2))


def test_a_seed_changes_the_draws_and_nothing_else() -> None:
    models = [ScriptedModel(["\\boxed{42}"] * 2) for _ in range(3)]
    trees = [tirage.solve("6 * 7?", model=model, best_of=2, seed=seed).tree for model, seed in zip(models, (1, 1, 2), strict=True)]
    seeds = [[request.sampling.seed for request in model.requests] for model in models]
    assert seeds[0] == seeds[1] != seeds[2]
    assert trees[0] == trees[1]


async def test_it_works_inside_a_running_event_loop(script: str) -> None:
    before = threading.active_count()
    assert tirage.solve("What is 6 * 7?", model=script).answer == "42"
    with pytest.raises(ConfigError, match="did you mean 'nano'"):
        tirage.solve("What is 6 * 7?", model="nanoo")
    assert threading.active_count() <= before + 1


async def test_what_breaks_inside_reaches_the_caller_of_a_running_loop() -> None:
    async def broken() -> None:
        raise KeyError("inner")

    with pytest.raises(KeyError, match="inner"):
        run_sync(broken())


async def test_a_shared_budget_returns_the_partial_tree(script: str) -> None:
    problem = Problem(prompt="What is 6 * 7?")
    solution = await solve_async(problem, SolveConfig(model=script, agent=AgentConfig(best_of=3), budget=BudgetConfig(calls=2)))
    assert solution.tree.ended == "budget: model_calls"
    assert solution.tree.usage.model_calls == 2
    nothing = await solve_async(problem, SolveConfig(model=script, budget=BudgetConfig(tokens=0)))
    assert (nothing.answer, nothing.trajectory, nothing.tree.ended) == (None, None, "budget: tokens_out")


async def test_steps_are_told_as_they_come(script: str) -> None:
    seen: list[int] = []
    problem, config = Problem(prompt="What is 6 * 7?"), SolveConfig(model=script)
    await solve_async(problem, config, on_step=lambda event: seen.append(event.node.index))
    assert seen == [1]


def test_nano_writes_tokens_that_can_be_traced_to_their_authors() -> None:
    pytest.importorskip("torch", reason="install tirage[local]")
    solution = tirage.solve("What is 12 + 30?", answer="42")
    trajectory = solution.trajectory
    assert trajectory is not None
    assert solution.verdict is not None
    assert trajectory.token_ids is not None
    sources = set(trajectory.token_sources or ())
    assert {Source.PROMPT, Source.HINT, Source.POLICY} <= sources
    assert [use.position for use in trajectory.hints] == [HintPosition.START]
    assert trajectory.prompt[0].text.count("<|") == 3, "nano gets no system message: one user turn, its end, and the open turn"


def test_hints_are_for_nano_unless_asked_for() -> None:
    assert solve_hints("nano", None) is not None
    assert solve_hints("hf/x", None) is None
    assert solve_hints("nano", False) is None
    assert solve_hints("hf/x", True) is not None


def test_failures_of_the_surroundings_are_raised(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"127\.0\.0\.1:9"):
        tirage.solve("1 + 1?", model="http://127.0.0.1:9/v1#x")
    with pytest.raises(ConfigError, match="absent"):
        tirage.solve("1 + 1?", model=f"scripted/{tmp_path}/absent.txt")


def test_improve_reads_a_file_and_says_what_is_wrong_with_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.yaml"):
        tirage.improve(tmp_path / "absent.yaml")
    path = tmp_path / "round.yaml"
    path.write_text("name: x\nproblems: {train: {type: file, path: absent.jsonl}, heldout: {type: file, path: absent.jsonl}}\n")
    with pytest.raises((ConfigError, DataError), match=r"absent\.jsonl"):
        tirage.improve(str(path), run=tmp_path / "run")
