"""Trees that grow on real interpreters: exact state at every node, values, limits, ephemeral texts, moves, merging, a process that dies."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.agents.search_program import PROBLEM, grow, plain
from tirage.agents.dialects.base import FencedPython
from tirage.agents.explorer import Explorer, SolveContext
from tirage.agents.hints import load_library
from tirage.agents.model_policy import ModelPolicy
from tirage.agents.search_options import PathLimits, SearchOptions
from tirage.agents.sessions import DIVERGED
from tirage.agents.valuation import Estimate, Valuer
from tirage.core import Budget, Finish, ObservationStatus, Problem, StopReason, Tree, Verdict
from tirage.core.errors import CapabilityError, ConfigError, DataError, ModelRequestError
from tirage.core.trajectory import Trajectory
from tirage.judging.critic import Critic
from tirage.judging.valuers import Batched, Confidence, Execution, Oracle, Stages
from tirage.models.base import Sampling
from tirage.sandbox import SandboxConfig, open_sandbox
from tirage.sandbox.base import ExecResult
from tirage.search.base import Search, Trial
from tirage.search.best_of_n import BestOfN
from tirage.search.dfs import DepthFirst
from tirage.search.hint_moves import HintedChildren
from tirage.search.mcts import MCTS
from tirage.search.stopping import Converged, Saturated, Solved
from tirage.search.strategies import strategy
from tirage.testing.sandbox import TableSandbox
from tirage.testing.scripted import Script, ScriptedModel
from tirage.tools.python import PythonTool
from tirage.traces.search_log import SEARCHES, SearchLog

PROGRAM = Path(__file__).with_name("search_program.py")
KILLS = int(os.environ.get("TIRAGE_KILLS", "4"))
CODE = "```python\nprint(6 * 7)\n```\n```output"


def explorer(script: Script, search: "Any", **search_options: "Any") -> tuple[Explorer, ScriptedModel]:
    model, tool = ScriptedModel(script), PythonTool()
    agent = Explorer(
        ModelPolicy(model, FencedPython(), sampling=Sampling(temperature=1.0, logprobs=True), tools=(tool.spec,), moves=load_library()),
        tools={"python": tool},
        sandbox=TableSandbox(lambda code: ExecResult(stdout="42\n")),
        search=lambda seed: search(),
        limits=PathLimits(concurrency=1),
        search_options=SearchOptions(**search_options),
    )
    return agent, model


class Fixed(Valuer):
    """Values by the answer in the path."""

    def __init__(self, values: dict[str, float]) -> None:
        self.values = values
        self.asked: list[str] = []

    async def value(self, problem: Problem, path: Trajectory, seed: int) -> Estimate:
        self.asked.append(path.response)
        return Estimate(value=next((value for text, value in self.values.items() if text in path.response), 0.0))


async def test_every_node_holds_the_state_of_its_path(tmp_path: Path) -> None:
    tree = await grow(tmp_path, 3, "mcts")
    printed = 0
    for node in tree.nodes[1:]:
        seen: list[int] = []
        for above in tree.path(node.index):
            assert above.step is not None
            for call, observation in zip(above.step.calls, above.step.observations, strict=True):
                if observation.status is ObservationStatus.OK:
                    seen.append(int(call.arguments.split("[]), ")[1].split("]")[0]))
                    assert observation.text.strip() == str(seen)
                    printed += 1
    assert printed > 40
    assert len(tree.nodes) == 61
    assert max(node.depth for node in tree.nodes) >= 3


@pytest.mark.parametrize("name", ["mcts", "beam", "ab-mcts"])
async def test_the_same_seed_gives_the_same_tree_and_a_log_gives_it_without_a_call(tmp_path: Path, name: str) -> None:
    folders = [tmp_path / letter for letter in "ab"]
    for folder in folders:
        folder.mkdir()
    first, second = [await grow(folder, 5, name) for folder in folders]
    assert plain(first) == plain(second)
    calls = (folders[0] / "calls.txt").read_text()
    assert plain(await grow(folders[0], 5, name)) == plain(first)
    assert (folders[0] / "calls.txt").read_text() == calls
    assert len(_lines(folders[0] / SEARCHES)) == 60


async def test_a_log_of_another_search_is_refused(tmp_path: Path) -> None:
    await grow(tmp_path, 5, "mcts")
    with pytest.raises(DataError, match="does not fit"):
        await grow(tmp_path, 5, "best-first")
    (tmp_path / SEARCHES).write_text('{"what": 1}\n')
    with pytest.raises(DataError, match="line 1: no search record"):
        SearchLog(tmp_path, set())
    (tmp_path / SEARCHES).write_text('garbage\n{"torn": ')
    with pytest.raises(DataError, match="line 1: not JSON"):
        SearchLog(tmp_path, set())
    assert (tmp_path / SEARCHES).read_text() == "garbage\n", "what was torn is cut off"


def test_a_search_that_is_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    """Killed with -9 at random moments: the same tree in the end, and no settled model call made again."""
    whole = tmp_path / "whole"
    whole.mkdir()
    subprocess.run([sys.executable, str(PROGRAM), str(whole), "11", "mcts"], check=True, timeout=120)
    draw, killed = random.Random(7), 0
    folder = tmp_path / "killed"
    folder.mkdir()
    while not (folder / "tree.json").exists():
        process = subprocess.Popen([sys.executable, str(PROGRAM), str(folder), "11", "mcts"])
        if killed < KILLS:
            began = (folder / SEARCHES).stat().st_size if (folder / SEARCHES).exists() else 0
            until = time.monotonic() + 60
            while process.poll() is None and time.monotonic() < until:
                if (folder / SEARCHES).exists() and (folder / SEARCHES).stat().st_size > began:
                    time.sleep(draw.random() * 0.1)
                    break
                time.sleep(0.002)
            process.send_signal(signal.SIGKILL)
            killed += 1
        process.wait(timeout=120)
    assert killed == KILLS
    assert (folder / "tree.json").read_text() == (whole / "tree.json").read_text()
    settled = Counter(line["settled"]["trial"] for line in _lines(folder / SEARCHES))
    assert max(settled.values()) == 1
    # A call that was made but not settled when the process died may be made again; a settled one never is.
    again = sum(Counter((folder / "calls.txt").read_text().split("\n")).values()) - len((whole / "calls.txt").read_text().split("\n"))
    assert 0 <= again <= 16 * KILLS


def _lines(path: Path) -> list[Any]:
    from tirage.traces.lines import LineLog

    return list(LineLog.lines(path))


async def test_a_replay_that_gives_something_else_is_noted(tmp_path: Path) -> None:
    said = iter(["1\n", "2\n"])
    for nodes, code in ((1, "print(6 * 7)"), (2, "print('y')")):
        log = SearchLog(tmp_path, set())
        agent, _ = explorer([f"```python\n{code}\n```\n```output"], lambda: MCTS(width=1), valuer=Execution(), budget=Budget(nodes=nodes))
        agent.sandbox = TableSandbox(lambda code: ExecResult(stdout=next(said) if "6 * 7" in code else "x"))
        tree = await agent.solve(PROBLEM, SolveContext(seed=0, log=log.of("k")))
        log.close()
    assert tree.notes == {1: DIVERGED}


@pytest.mark.parametrize("had", [True, False])
async def test_a_resumed_search_needs_the_tools_that_ran_in_it_and_no_others(tmp_path: Path, had: bool) -> None:
    async def resumed(nodes: int, tools: bool) -> Tree:
        log = SearchLog(tmp_path, set())
        agent, _ = explorer([CODE], lambda: MCTS(width=1), valuer=Execution(), budget=Budget(nodes=nodes))
        agent.tools = agent.tools if tools else {}
        try:
            return await agent.solve(PROBLEM, SolveContext(seed=0, log=log.of("k")))
        finally:
            log.close()

    first = await resumed(1, had)
    assert first.nodes[1].step is not None
    assert first.nodes[1].step.observations[0].status is (ObservationStatus.OK if had else ObservationStatus.INVALID)
    if had:
        with pytest.raises(ConfigError, match=r"the tool 'python', which is not configured any more; configure it again.*tools: none"):
            await resumed(2, False)
    else:
        again = await resumed(2, False)
        assert (len(again.nodes), again.notes, again.nodes[2].error) == (3, {}, None)


async def test_values_are_asked_for_only_where_the_search_goes_by_them() -> None:
    for search, asked in ((lambda: BestOfN(2), 0), (lambda: BestOfN(2, vote="value"), 2)):
        valuer = Fixed({"\\boxed{1}": 0.2, "\\boxed{2}": 0.9})
        agent, _ = explorer(["\\boxed{1}", "\\boxed{2}"], search, valuer=valuer)
        tree = await agent.solve(PROBLEM, SolveContext(seed=0))
        assert len(valuer.asked) == asked
        assert tree.chosen == (2 if asked else 1)
        assert tree.values == ({1: 0.2, 2: 0.9} if asked else {})


async def test_a_valuer_that_breaks_leaves_a_note_and_the_tree_goes_on() -> None:
    class Broken(Valuer):
        async def value(self, problem: Problem, path: Trajectory, seed: int) -> Estimate:
            raise ModelRequestError("the critic's server refused")

    agent, _ = explorer(["\\boxed{1}", "\\boxed{2}"], lambda: BestOfN(2, vote="value"), valuer=Broken())
    tree = await agent.solve(PROBLEM, SolveContext(seed=0))
    assert tree.values == {}
    assert tree.notes[1] == "not valued: the critic's server refused"


async def test_a_sibling_sees_what_was_tried_and_its_descendants_do_not() -> None:
    """DFSDT: the ephemeral text stands in the second attempt's prompt only, and in no span."""
    script = [CODE, "```python\nprint(1)\n```\n```output", "\\boxed{1}", "\\boxed{2}"]

    class Back(Valuer):
        async def value(self, problem: Problem, path: Trajectory, seed: int) -> Estimate:
            return Estimate(value=0.0 if "6 * 7" in path.response else 1.0)

    agent, model = explorer(script, lambda: DepthFirst(threshold=0.5, aware=True), valuer=Back())
    tree = await agent.solve(PROBLEM, SolveContext(seed=0))
    prompts = [bytes(token for token in request.ids or () if token < 256).decode() for request in model.requests]
    assert ["already tried" in prompt for prompt in prompts] == [False, True, False]
    assert "print(6 * 7)" in prompts[1]
    assert "gave 42 (worth 0.00)" in prompts[1]
    second = tree.nodes[2]
    assert second.step is not None
    assert "already tried" in second.step.ephemeral
    assert "already tried" not in tree.trajectory(3).response
    assert tree.trajectory(3).token_ids == (*(model.requests[2].ids or ()), *(tree.nodes[3].step.spans[0].ids or ()))


async def test_lessons_are_shown_and_moves_give_the_hint() -> None:
    class Taught(MCTS):
        def ask(self, tree: Tree, most: int) -> list[Trial]:
            trials = super().ask(tree, most)
            if len(tree.nodes) == 1:
                return trials
            tree.notes[1] = "count twice"
            return [replace(trial, reflections=(1,), move=f"hint:{load_library()[0].id}") for trial in trials]

    agent, model = explorer(["\\boxed{1}", "\\boxed{2}"], lambda: Taught(width=2), valuer=Execution(), budget=Budget(nodes=2))
    tree = await agent.solve(PROBLEM, SolveContext(seed=0))
    prompt = bytes(token for token in model.requests[1].ids or () if token < 256).decode()
    assert "What I learnt: count twice" in prompt
    step = tree.nodes[2].step
    assert step is not None
    assert step.hint is not None
    assert (step.hint.hint_id, step.hint.reason, tree.nodes[2].move) == (load_library()[0].id, "move", f"hint:{load_library()[0].id}")


async def test_an_unknown_move_ends_the_run_by_name() -> None:
    class Odd(MCTS):
        def ask(self, tree: Tree, most: int) -> list[Trial]:
            return [replace(trial, move="jump") for trial in super().ask(tree, most)]

    agent, _ = explorer(["\\boxed{1}"], Odd, valuer=Execution())
    with pytest.raises(ConfigError, match="has no move 'jump'; its moves: hint:"):
        await agent.solve(PROBLEM, SolveContext(seed=0))


async def test_equal_siblings_are_merged_on_request() -> None:
    other = CODE.replace("print(6 * 7)", "print(6*7)  # again")
    for merge, stops in ((None, [StopReason.OPEN, StopReason.OPEN]), ("state", [StopReason.OPEN, StopReason.MERGED])):
        agent, _ = explorer([CODE, other], lambda: MCTS(width=2), valuer=Execution(), merge=merge, budget=Budget(nodes=2))
        tree = await agent.solve(PROBLEM, SolveContext(seed=0))
        assert [node.stop for node in tree.nodes[1:]] == stops
        assert tree.visits[0] == (1 if merge else 2)
    assert tree.notes == {2: "same state as node 1"}


@pytest.mark.parametrize(
    ("budget", "nodes", "ended"),
    [
        (Budget(nodes=0), 0, "budget: nodes"),
        (Budget(model_calls=0), 0, "budget: model_calls"),
        (Budget(tokens_out=0), 0, "budget: tokens_out"),
        (Budget(wall_s=0), 0, "budget: wall_s"),
        (Budget(nodes=1), 1, "budget: nodes"),
        (Budget(model_calls=3), 3, "budget: model_calls"),
        (Budget(tool_calls=2), 2, "budget: tool_calls"),
        (Budget(tokens_out=50), 2, "budget: tokens_out"),
    ],
)
async def test_each_limit_ends_a_tree_with_its_name(budget: Budget, nodes: int, ended: str) -> None:
    agent, _ = explorer(lambda request: CODE, lambda: MCTS(width=3), valuer=Execution(), budget=budget)
    tree = await agent.solve(PROBLEM, SolveContext(seed=0))
    assert (len(tree.nodes) - 1, tree.ended) == (nodes, ended)
    assert tree.chosen <= nodes


@pytest.mark.parametrize("hints", [False, True])
async def test_the_trees_seed_reaches_the_draws_of_its_search(hints: bool, tmp_path: Path) -> None:
    """Other seeds, other trees; the same seed the same tree, also from the log of an interrupted run."""

    def make(seed: int) -> Search:
        if hints:
            return HintedChildren(MCTS(width=4), {hint.id: hint.family for hint in load_library()}, seed=seed)
        return strategy("ab-mcts")(seed=seed)

    async def shape(seed: int, nodes: int = 16, log: Any = None) -> list[tuple[int, int, str]]:
        agent, _ = explorer(lambda request: CODE, None, valuer=Execution(), budget=Budget(nodes=nodes))
        agent.search = make
        tree = await agent.solve(PROBLEM, SolveContext(seed=seed, log=log))
        return [(node.parent, node.sample, node.move) for node in tree.nodes]

    shapes = [await shape(seed) for seed in (0, 1, 2, 0)]
    assert shapes[0] == shapes[3]
    assert shapes[0] != shapes[1] != shapes[2] != shapes[0]
    log = SearchLog(tmp_path, set())
    assert await shape(1, 7, log.of("a")) == shapes[1][:8]
    log.close()
    log = SearchLog(tmp_path, set())
    assert await shape(1, 16, log.of("a")) == shapes[1]
    log.close()


async def test_depth_ends_paths() -> None:
    agent, _ = explorer(lambda request: CODE, lambda: MCTS(width=1), valuer=Execution(), budget=Budget(depth=3))
    tree = await agent.solve(PROBLEM, SolveContext(seed=0))
    assert [node.stop for node in tree.nodes[1:]] == [StopReason.OPEN, StopReason.OPEN, StopReason.CALLS]


@pytest.mark.parametrize("concurrency", [1, 4])
async def test_no_budget_is_exceeded_by_more_than_what_is_in_flight(concurrency: int) -> None:
    agent, _ = explorer(lambda request: CODE, lambda: MCTS(width=4), valuer=Execution(), budget=Budget(tokens_out=500))
    agent.limits = PathLimits(concurrency=concurrency, max_calls=99, max_steps=99)
    tree = await agent.solve(PROBLEM, SolveContext(seed=0))
    each = tree.nodes[1].step.usage.tokens_out
    assert 500 <= tree.usage.tokens_out <= 500 + concurrency * each


async def test_stop_rules_end_a_tree_with_their_name() -> None:
    cases = [
        (Solved, {"\\boxed{3}": 1.0}, "solved", 3),
        (lambda: Converged(lead=2), {}, "converged", 2),
        (lambda: Saturated(patience=3), {"boxed": 0.5}, "saturated", 4),
    ]
    for rule, values, ended, nodes in cases:
        answers = iter(["1", "1", "3", "4", "5", "6"] if ended != "solved" else ["1", "2", "3", "4"])
        agent, _ = explorer(
            lambda request, answers=answers: f"\\boxed{{{next(answers)}}}",  # type: ignore[misc]
            lambda: BestOfN(6, vote="value"),
            valuer=Fixed(values),
            stop_rules=lambda rule=rule: [rule()],
        )
        tree = await agent.solve(PROBLEM, SolveContext(seed=0))
        assert (tree.ended, len(tree.nodes) - 1) == (ended, nodes), ended


async def test_the_critic_checks_with_code_and_never_sees_the_reference() -> None:
    canary = "reference-9c1f"
    problem = Problem(prompt="What is 6 * 7?", answer=canary)
    checker, model = explorer([CODE, "So it is.\nVerdict: correct", "Verdict: wrong", "Hm."], BestOfN)
    critic = Critic(checker, checks=1)
    path = Trajectory(problem_id="p", policy_id="m", seed=0, prompt=(), steps=(), stop=StopReason.ANSWERED)
    agent, _ = explorer(["\\boxed{42}"], BestOfN)
    tree = await agent.solve(problem, SolveContext(seed=0))
    path = tree.trajectory(1)
    values = [(await critic.value(problem, path, seed)).value for seed in range(3)]
    assert values == [1.0, 0.0, None]
    model.assert_done()
    for request in model.requests:
        assert canary not in bytes(token for token in request.ids or () if token < 256).decode()
    first = await Critic(explorer([CODE, "Verdict: correct"], BestOfN)[0]).value(problem, path, 0)
    assert first.usage.tool_calls == 1
    assert first.usage.model_calls == 2


async def test_free_estimates() -> None:
    agent, _ = explorer([CODE, "\\boxed{1}"], BestOfN)
    tree = await agent.solve(PROBLEM, SolveContext(seed=0))
    path = tree.trajectory(2)
    assert (await Execution().value(PROBLEM, path, 0)).value == 1.0
    confidence = (await Confidence().value(PROBLEM, path, 0)).value
    assert confidence is not None
    assert 0 < confidence <= 1

    class Judge:
        async def verify(self, problem: Problem, response: str) -> Verdict:
            return Verdict(correct="{1}" in response, verifier="test")

    oracle = Oracle(lambda problem: Judge(), Execution())
    assert (await oracle.value(PROBLEM, path, 0)).value == 1.0
    low = Stages(Fixed({"boxed": 0.2}), Fixed({"boxed": 0.9}))
    high = Stages(Fixed({"boxed": 0.6}), Fixed({"boxed": 0.9}))
    assert (await low.value(PROBLEM, path, 0)).value == 0.2
    assert (await high.value(PROBLEM, path, 0)).value == 0.9


async def test_values_asked_together_are_scored_together() -> None:
    sizes: list[int] = []

    def values(paths: Any) -> list[float | None]:
        sizes.append(len(paths))
        return [0.5] * len(paths)

    agent, _ = explorer(lambda request: "\\boxed{1}", lambda: BestOfN(8, vote="value"), valuer=Batched(values))
    agent.limits = PathLimits(concurrency=8)
    tree = await agent.solve(PROBLEM, SolveContext(seed=0))
    assert len(tree.values) == 8
    assert sizes == [8]


async def test_a_broken_step_is_a_node_that_says_so() -> None:
    agent, _ = explorer([ModelRequestError("too long"), "\\boxed{1}"], lambda: MCTS(width=2), valuer=Execution())
    tree = await agent.solve(PROBLEM, SolveContext(seed=0))
    assert tree.nodes[1].error is not None
    assert tree.nodes[1].step.finish is Finish.ERROR
    assert tree.chosen == 2


async def test_sessions_of_closed_subtrees_are_closed() -> None:
    search: list[Search] = []

    def make() -> Search:
        search.append(MCTS(width=2))
        return search[-1]

    async with open_sandbox(SandboxConfig(preload=())) as sandbox:
        agent, _ = explorer(lambda request: CODE, make, valuer=Execution(), budget=Budget(depth=3))
        agent.sandbox = sandbox
        alive: list[int] = []
        await agent.solve(
            PROBLEM, SolveContext(seed=0, on_step=lambda event: alive.append(sum(len(box.sessions) for box in sandbox.boxes)))
        )
        assert max(alive) >= 2
        assert alive[-1] <= 1
        await asyncio.sleep(0)


async def test_a_separator_makes_a_step_of_each_thought_and_code_may_reach_over_it() -> None:
    said = ["First.\n\nnever said", "```python\nx = 6\n\nnever", "print(x * 7)\n```\n```output", "So \\boxed{42}."]
    model, tool = ScriptedModel(said), PythonTool()
    policy = ModelPolicy(model, FencedPython(), sampling=Sampling(), tools=(tool.spec,), separator="\n\n")
    sandbox = TableSandbox(lambda code: ExecResult(stdout="42\n" if code == "x = 6\n\nprint(x * 7)" else "?"))
    tree = await Explorer(policy, tools={"python": tool}, sandbox=sandbox).solve(PROBLEM, SolveContext(seed=0))
    model.assert_done()
    steps = [node.step for node in tree.nodes[1:] if node.step is not None]
    assert [step.finish for step in steps] == [Finish.STEP, Finish.STEP, Finish.CALL, Finish.STOP]
    assert tree.trajectory(4).response == "First.\n\n```python\nx = 6\n\nprint(x * 7)\n```\n```output\n42\n```\nSo \\boxed{42}."
    with pytest.raises(CapabilityError, match="in the middle of a turn"):
        ModelPolicy(ScriptedModel(said, mode="chat"), FencedPython(), sampling=Sampling(), separator="\n")
