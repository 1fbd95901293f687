"""Accuracy over spending, and what a prefix cache could have given: by hand."""

from tirage.core import Finish, Problem, Rollout, Source, Span, Step, StopReason, Tree, Usage, Verdict
from tirage.evaluation.anytime import Moment, accuracy_at, moments, right_within
from tirage.evaluation.prefixes import calls_of, shared_prefixes
from tirage.search.votes import elect, value


def step(ids: tuple[int, ...], tokens: int) -> Step:
    return Step(spans=(Span(Source.POLICY, "x", ids),), finish=Finish.STOP, usage=Usage(tokens_out=tokens))


def grown() -> Rollout:
    """Three ends: "b" wrong at 10 tokens, "a" right at 30, "b" again at 40; 30 more tokens of judging, 10 per end."""
    tree = Tree(problem_id="p", policy_id="m", seed=0, prompt=(Span(Source.PROMPT, "q", (1, 2)),))
    tree.add(0, step((3,), 10), stop=StopReason.ANSWERED)
    tree.add(0, step((4,), 5), sample=1)
    tree.add(2, step((5,), 15), stop=StopReason.ANSWERED)
    tree.add(0, step((6,), 10), sample=2, stop=StopReason.ANSWERED)
    tree.judging = Usage(tokens_out=30)
    tree.values |= {1: 0.4, 3: 0.5, 4: 0.3}
    tree.chosen = 4
    verdicts = {leaf: Verdict(correct=answer == "a", answer=answer, verifier="t") for leaf, answer in ((1, "b"), (3, "a"), (4, "b"))}
    return Rollout(key="k", stage="s", problem=Problem(prompt="q", answer="a"), sample=0, tree=tree, verdicts=verdicts, model="m")


def test_what_would_have_been_answered_earlier() -> None:
    found = moments(grown(), lambda tree, answers: elect(tree, answers, value))
    # 0.4 for b; then 0.5 for a; then 0.7 for b.
    assert found == [Moment(tokens=20, correct=False), Moment(tokens=50, correct=True), Moment(tokens=70, correct=False)]
    assert [right_within(found, tokens) for tokens in (10, 49, 50, 69, 70)] == [False, False, True, True, False]
    assert accuracy_at([found, [Moment(tokens=60, correct=True)]], [20, 50, 60, 70]) == [0.0, 0.5, 1.0, 0.5]
    assert accuracy_at([], [1]) == [0.0]


def test_shared_prefixes_by_hand() -> None:
    # Blocks of 2: the second call shares (1, 2) and (3, 4), which the first one sampled; its last token is always computed again.
    calls = [((1, 2, 3), (4, 5)), ((1, 2, 3, 4, 9), ()), ((1, 2, 3, 4), ()), ((7, 2, 3, 4, 9), ())]
    shared = shared_prefixes(calls, block=2)
    assert (shared.sent, shared.bound) == (3 + 5 + 4 + 5, 0 + 4 + 2 + 0)
    assert shared_prefixes([], block=2).share == 0.0


def test_the_calls_of_a_tree() -> None:
    assert calls_of(grown().tree) == [((1, 2), (3,)), ((1, 2), (4,)), ((1, 2, 4), (5,)), ((1, 2), (6,))]
