"""What is told of checked candidates, by hand."""

from tirage.core import Finish, Problem, Rollout, Source, Span, Step, StopReason, Tree, Verdict
from tirage.core.message import Observation, ObservationStatus, ToolCall
from tirage.core.step import Opening
from tirage.evaluation.checked import checked_rows


def turn(text: str, found: str | None = None) -> Step:
    calls = () if found is None else (ToolCall(name="python", arguments="{}"),)
    seen = () if found is None else (Observation(text=found, status=ObservationStatus.OK),)
    span = Span(Source.POLICY, text)
    return Step(spans=(span,), finish=Finish.STOP, calls=calls, observations=seen, opening=Opening(messages=(), prompt=()))


def rollout(key: str, *candidates: tuple[str, str, bool], chosen: int) -> Rollout:
    """Candidates by answer, what their check printed, and whether they are right."""
    tree = Tree(problem_id=key, policy_id="m", seed=0, prompt=())
    verdicts = {}
    for draw, (answer, found, right) in enumerate(candidates):
        node = tree.add(0, turn(f"\\boxed{{{answer}}}"), stop=StopReason.ANSWERED, sample=draw, move="solver").index
        verdicts[node] = Verdict(correct=right, answer=answer, verifier="t")
        tree.add(node, turn("Verdict: correct", found), move="verifier")
    tree.chosen = 2 * chosen + 1
    return Rollout(key=key, stage="s", problem=Problem(prompt=key), sample=0, tree=tree, verdicts=verdicts, model="m")


def test_the_filter_the_choice_and_the_choice_among_fewer() -> None:
    one = rollout("a", ("5", "False", False), ("5", "False", False), ("42", "True", True), ("42", "", True), chosen=2)
    other = rollout("b", ("1", "True", False), ("2", "False", True), chosen=0)
    rows = checked_rows(iter([one, other]))
    assert rows == {
        "candidates": "6",
        # "" is no word: with "Verdict: correct" it passes. Pass: two right, one wrong; of the right ones one is rejected.
        "precision of the check": "66.7 %",
        "recall": "66.7 %",
        "F1": "66.7 %",
        "abstained": "0.0 %",
        "choice is right": "50.0 %",
        "some candidate is right": "100.0 %",
        # a: one of four 2/4, of its six pairs only the two fives go wrong, 5/6; b: 1/2 and 0.
        "choice among N is right": "1: 50.0 %; 2: 41.7 %",
    }


def test_nothing_is_told_where_nothing_was_checked() -> None:
    tree = Tree(problem_id="p", policy_id="m", seed=0, prompt=())
    tree.add(0, turn("\\boxed{1}"), stop=StopReason.ANSWERED)
    assert checked_rows([Rollout(key="k", stage="s", problem=Problem(prompt="q"), sample=0, tree=tree, verdicts={}, model="m")]) == {}
    assert checked_rows([]) == {}
