from collections.abc import Iterator

import pytest

from tirage.core import (
    Failure,
    Finish,
    HintPosition,
    HintUse,
    Observation,
    Problem,
    Rollout,
    Source,
    Span,
    Step,
    StopReason,
    ToolCall,
    Tree,
    Usage,
    Verdict,
)
from tirage.evaluation import by_stage, maj_at_k, pass_at_k, read_leaf_outcomes, read_outcomes

PROBLEM = Problem(prompt="2+2?", answer="4", split="heldout", metadata={"family": "arith", "tier": 3})


def step(text: str, tokens: int, *, tool: bool = False, hint: bool = False) -> Step:
    return Step(
        spans=(Span(Source.POLICY, text),),
        finish=Finish.CALL if tool else Finish.STOP,
        calls=(ToolCall(name="python", arguments="{}"),) if tool else (),
        observations=(Observation(text="4"),) if tool else (),
        hint=HintUse(hint_id="h", family="tool", position=HintPosition.START, offset=0, reason="start") if hint else None,
        usage=Usage(tokens_in=10, tokens_out=tokens, model_calls=1, tool_calls=int(tool)),
    )


def tree() -> Tree:
    return Tree(problem_id=PROBLEM.id, policy_id="m", seed=1, prompt=(Span(Source.PROMPT, "2+2?"),))


def branching() -> Rollout:
    grown = tree()
    first = grown.add(0, step("a", 5, tool=True, hint=True))
    good = grown.add(first.index, step("b", 7), stop=StopReason.ANSWERED)
    bad = grown.add(first.index, step("c", 11), stop=StopReason.LENGTH)
    verdicts = {
        good.index: Verdict(correct=True, score=1.0, verifier="math/1", answer="4"),
        bad.index: Verdict(correct=False, score=0.0, verifier="math/1", answer="5"),
    }
    grown.chosen = good.index
    return Rollout(key="k", stage="before", problem=PROBLEM, sample=2, tree=grown, verdicts=verdicts, model="m", wall_s=3.0)


def test_chosen_path_gives_the_verdict_and_the_whole_tree_the_cost():
    (outcome,) = read_outcomes([branching()])
    assert (outcome.problem_id, outcome.family, outcome.tier, outcome.split) == (PROBLEM.id, "arith", "3", "heldout")
    assert (outcome.correct, outcome.score, outcome.answer, outcome.stop) == (True, 1.0, "4", "answered")
    assert outcome.used_tool
    assert outcome.hinted
    assert (outcome.tokens_in, outcome.tokens_out, outcome.model_calls, outcome.tool_calls) == (30, 23, 3, 1)
    assert (outcome.sample, outcome.stage, outcome.wall_s, outcome.error) == (2, "before", 3.0, None)


def test_leaves_become_samples_with_the_cost_of_their_own_path():
    pool = read_leaf_outcomes([branching(), branching()])
    assert [outcome.sample for outcome in pool] == [0, 1, 2, 3]
    assert [outcome.correct for outcome in pool] == [True, False, True, False]
    assert [outcome.tokens_out for outcome in pool] == [12, 16, 12, 16]
    assert pool[0].wall_s == 1.5
    assert pass_at_k(pool, 2).value == pytest.approx(5 / 6)
    assert maj_at_k(pool, 4).value == pytest.approx(0.5)


def test_nothing_produced_is_wrong_and_a_broken_path_is_ungraded():
    empty = Rollout(key="k", stage="s", problem=PROBLEM, sample=0, tree=tree(), verdicts={}, model="m")
    grown = tree()
    node = grown.add(0, step("a", 5), stop=StopReason.ERROR, error=Failure(boundary="sandbox", kind="SandboxError", message="gone"))
    grown.chosen = node.index
    broken = Rollout(key="k", stage="s", problem=PROBLEM, sample=0, tree=grown, verdicts={}, model="m")
    first, second = read_outcomes([empty, broken])
    assert (first.correct, first.stop, first.used_tool, first.answer) == (False, "", False, None)
    assert second.correct is None
    assert second.error == "sandbox: SandboxError: gone"
    assert read_leaf_outcomes([empty, broken]) == []


def test_a_generator_is_read_once_and_stages_keep_their_order():
    def stream() -> Iterator[Rollout]:
        yield branching()
        yield branching()

    read = read_outcomes(stream())
    assert list(by_stage(read)) == ["before"]
    assert len(by_stage(read)["before"]) == 2
