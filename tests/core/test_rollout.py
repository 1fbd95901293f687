import pytest

from tirage.core import Failure, Finish, Problem, Reward, Rollout, Source, Span, Step, StopReason, Tree, Verdict


def _rollout(*, verdict=None, error=None, steps=1):
    tree = Tree(problem_id="p", policy_id="x", seed=0, prompt=())
    for index in range(steps):
        last = index == steps - 1
        stop = StopReason.ERROR if error and last else StopReason.ANSWERED if last else StopReason.OPEN
        tree.add(index, Step(spans=(Span(Source.POLICY, "a"),), finish=Finish.STOP), stop=stop, error=error if last else None)
    tree.chosen = steps
    verdicts = {} if verdict is None else {steps: verdict}
    return Rollout(key="s/p/0", stage="s", problem=Problem(prompt="p"), sample=0, tree=tree, verdicts=verdicts, model="m")


BROKE = Failure(boundary="model", kind="ModelUnavailable", message="down")


@pytest.mark.parametrize(
    ("rollout", "correct"),
    [
        (_rollout(verdict=Verdict(correct=True, score=1.0, verifier="v")), True),
        (_rollout(verdict=Verdict(correct=False, score=0.3, verifier="v")), False),
        (_rollout(verdict=Verdict(correct=None, verifier="v")), None),
        (_rollout(error=BROKE), None),
        (_rollout(), False),
        (_rollout(steps=0), False),
    ],
    ids=["right", "wrong", "ungraded", "broke", "unjudged", "nothing"],
)
def test_correctness(rollout, correct):
    assert rollout.correct is correct


def test_the_chosen_path():
    rollout = _rollout(steps=2)
    assert rollout.trajectory.response == "aa"
    assert _rollout(steps=0).trajectory is None
    assert _rollout(steps=0).verdict is None


def test_an_ungraded_verdict_is_not_a_wrong_one():
    assert Verdict(correct=None, verifier="v").ungraded
    assert not Verdict(correct=False, verifier="v").ungraded


def test_a_reward_is_the_weighted_sum_of_its_parts():
    assert Reward(parts={"correct": 1.0, "format": 0.5, "length": 2.0}, weights={"format": 0.2, "length": -0.1}).total == pytest.approx(0.9)
    assert Reward().total == 0
    one = Reward(parts={"a": 0.1, "b": 0.2, "c": 0.3}).total
    assert one == Reward(parts={"c": 0.3, "b": 0.2, "a": 0.1}).total
