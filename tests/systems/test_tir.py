"""Qwen2.5-Math's tool-integrated reasoning: what has to hold for it to work, on the real sandbox."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.systems.scripted_parts import CODE, PROBLEM, scripted_parts, system
from tirage.agents.explorer import SolveContext
from tirage.agents.search_options import SearchOptions
from tirage.agents.step_executor import NO_MORE_CALLS
from tirage.agents.valuation import Estimate, Valuer
from tirage.core import ObservationStatus, Problem, Rollout, StopReason, Trajectory, Tree
from tirage.evaluation import best_at_k, maj_at_k, number_key, pass_at_k, read_leaf_outcomes, text_key
from tirage.rollouts.runner import judge
from tirage.sandbox import SandboxConfig, open_sandbox
from tirage.sandbox.base import Sandbox
from tirage.testing.canary import Canary
from tirage.testing.scripted import Script, ScriptedModel
from tirage.traces.jsonl import TraceStore
from tirage.verification.answer import MathVerifier
from tirage.verification.extract import extract

HALF = Problem(prompt="What is one half?", answer="1/2")


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with open_sandbox(SandboxConfig(preload=())) as opened:
        yield opened


async def solve(script: Script, sandbox: Sandbox, *, n: int = 1, wall_s: float = 5.0, problem: Problem = PROBLEM) -> Tree:
    model = ScriptedModel(script)
    tree = await system("tir", scripted_parts(model, sandbox=sandbox, wall_s=wall_s), n=n).solve(problem, SolveContext(seed=0))
    model.assert_done()
    return tree


def running() -> set[int]:
    """The descendants of this process that run or wait for a processor."""
    found, left = set(), [os.getpid()]
    while left:
        for path in Path(f"/proc/{left.pop()}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                children = [int(word) for word in path.read_text().split()]
                left += children
                found |= {pid for pid in children if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "R"}
    return found


async def busy() -> set[int]:
    """Those that run at each of several looks, as a loop without an end does."""
    looks = []
    for _ in range(10):
        looks.append(running())
        await asyncio.sleep(0.01)
    return set.intersection(*looks)


async def test_a_block_its_real_output_and_a_box(sandbox: Sandbox) -> None:
    code = "```python\nimport hashlib\nprint(hashlib.md5(b'x').hexdigest(), 6 * 7)\n```\n```output"
    tree = await solve([code, "So \\boxed{42}."], sandbox)
    path = tree.trajectory(tree.chosen)
    assert path.response == code + "\n9dd4e461268c8034f5c8564e155c67a6 42\n```\nSo \\boxed{42}."
    assert path.response.count("```output") == 1
    assert path.stop is StopReason.ANSWERED


async def test_an_endless_loop_is_reported_in_time_and_its_process_is_gone(sandbox: Sandbox) -> None:
    began = time.monotonic()
    tree = await solve(["```python\nwhile True: pass\n```\n```output", "\\boxed{42}"], sandbox, wall_s=1.0)
    (item,) = tree.nodes[1].step.observations
    assert item.status is ObservationStatus.TIMEOUT
    assert "TimeoutError: the code ran for more than 1 s and was stopped" in tree.trajectory(2).response
    assert 1.0 <= item.duration_s <= time.monotonic() - began
    assert await busy() == set()
    assert not any(box.sessions for box in sandbox.boxes)  # type: ignore[attr-defined]


async def test_four_blocks_without_a_box_end_with_the_notice_and_count_as_wrong(sandbox: Sandbox) -> None:
    tree = await solve([CODE] * 4, sandbox)
    path = tree.trajectory(tree.chosen)
    assert path.stop is StopReason.CALLS
    assert path.response.endswith(f"```output\n42\n```\n{NO_MORE_CALLS}\n")
    verifier = MathVerifier()
    verdict = (await judge(tree, PROBLEM, verifier))[tree.chosen]
    await verifier.close()
    assert (verdict.correct, verdict.answer, verdict.extraction) == (False, None, "none"), "the output 42 is no answer"


async def test_a_box_before_the_last_block_is_an_answer(sandbox: Sandbox) -> None:
    tree = await solve(["\\boxed{42} I think.\n" + CODE, *[CODE] * 3], sandbox)
    verifier = MathVerifier()
    assert (await judge(tree, PROBLEM, verifier))[tree.chosen].correct is True
    await verifier.close()


async def test_a_thousand_characters_become_403_with_head_and_tail(sandbox: Sandbox) -> None:
    tree = await solve(["```python\nprint('ab' * 200 + 'm' * 200 + 'yz' * 200, end='')\n```\n```output", "\\boxed{1}"], sandbox)
    (item,) = tree.nodes[1].step.observations
    assert item.text == "ab" * 100 + "..." + "yz" * 100
    assert (len(item.text), item.truncated) == (403, True)
    assert f"```output\n{item.text}\n```" in tree.trajectory(2).response


class Length(Valuer):
    """The longer answer is the better one."""

    async def value(self, problem: Problem, path: Trajectory, seed: int) -> Estimate:
        return Estimate(value=len(path.response) / 100)


ANSWERS = ("2", "0.5", "3", "2", "1/2", "3", "0.50", "777777")


async def test_majority_reward_model_and_pass_from_one_stored_pool(sandbox: Sandbox, tmp_path: Path) -> None:
    said = iter(f"\\boxed{{{answer}}}" for answer in ANSWERS)
    tree = await solve(lambda request: next(said), sandbox, n=8, problem=HALF)
    verifier = MathVerifier()
    rollout = Rollout(
        key="pool",
        stage="pool",
        problem=HALF,
        sample=0,
        tree=tree,
        verdicts=await judge(tree, HALF, verifier),
        model="m",
        tokenizer_hash="",
    )
    await verifier.close()
    with TraceStore(tmp_path) as store:
        store.append(rollout)
    read = list(TraceStore(tmp_path).read("pool"))
    pool = read_leaf_outcomes(read)
    assert [outcome.answer for outcome in pool] == list(ANSWERS)
    # Three of eight are one half in three spellings; two and two of the others; the longest answer is wrong.
    assert maj_at_k(pool, 8, key=number_key).value == 1.0
    assert maj_at_k(pool, 8).value == 1.0, "equal answers are one vote, however they are written"
    assert maj_at_k(pool, 8, key=text_key).value == pytest.approx(0.0), "by strings 2 and 3 tie for the lead"
    assert pass_at_k(pool, 8).value == 1.0
    scores = [(await Length().value(HALF, read[0].tree.trajectory(leaf), 0)).value or 0.0 for leaf in read[0].tree.leaves()]
    assert best_at_k(pool, scores, 8).value == 0.0
    # The agent's own choice: the class of three, its first member.
    assert extract(tree.trajectory(tree.chosen).response).answer == "0.5"
    best = ScriptedModel([f"\\boxed{{{answer}}}" for answer in ANSWERS])
    agent = system("tir", scripted_parts(best, sandbox=sandbox, search_options=SearchOptions(valuer=Length())), n=8, select="value")
    tree = await agent.solve(HALF, SolveContext(seed=0))
    assert extract(tree.trajectory(tree.chosen).response).answer == "777777"


@pytest.mark.parametrize(("answers", "first"), [(("7", "8", "8", "7"), 0), (("9", "8", "7", "8", "7"), 1)])
async def test_ties_go_to_the_first(sandbox: Sandbox, answers: tuple[str, ...], first: int) -> None:
    chosen = set()
    for _ in range(3):
        said = iter(f"\\boxed{{{answer}}}" for answer in answers)
        tree = await solve(lambda request, said=said: next(said), sandbox, n=len(answers))  # type: ignore[misc]
        chosen.add(tree.nodes[tree.chosen].sample)
    assert chosen == {first}


async def test_the_reference_is_out_of_reach_of_policy_and_critic(sandbox: Sandbox) -> None:
    canary = Canary()
    model = ScriptedModel([CODE, "\\boxed{42}", CODE, "Verdict: correct", "\\boxed{41}", "Verdict: wrong"])
    agent = system("tir", scripted_parts(model, sandbox=sandbox), n=2, select="value")
    canary.guard(agent)
    tree = await agent.solve(canary.problem, SolveContext(seed=0))
    canary.check(model)
    assert extract(tree.trajectory(tree.chosen).response).answer == "42"
    assert canary.handed > 8
