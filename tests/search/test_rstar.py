"""rStar: the grammar, five rollouts by table, UCT with its schedules, the answer set."""

import math

import pytest

from tests.search.toys import Drive, Outcome, new_tree, step
from tirage.core import StopReason, Tree
from tirage.search.base import Trial
from tirage.search.rstar import FOLLOWING, RStar, Schedule, solutions

ALLOWED = {
    "": "A1 A2 A3 A5",
    "A5": "A1 A2 A3",
    "A3": "A1 A2 A3 A4",
    "A4": "A1 A2 A3",
    "A1": "A1 A2",
    "A2": "",
}
"""The question, a rephrased one, a sub-question, a re-answer, a step of thought, a direct answer."""


def world(tree: Tree, trial: Trial) -> Outcome:
    """A direct answer from the question is worth .9, from anywhere else .5."""
    if trial.move == "A2":
        return Outcome(text="=", value=0.9 if trial.parent == 0 else 0.5, stop=StopReason.ANSWERED)
    return Outcome(text=trial.move)


@pytest.mark.parametrize("seed", range(4))
def test_the_grammar_holds_below_every_kind_of_node(seed: int) -> None:
    tree = Drive(RStar(seed=seed, rollouts=60), world).run(5000, batch=5, shuffle=seed).tree
    kinds = set()
    for node in tree.nodes:
        moves = [tree.nodes[child].move for child in tree.children[node.index]]
        if moves:
            kinds.add(node.move)
            assert set(moves) == set(ALLOWED[node.move].split())
            assert all(moves.count(move) == (3 if move in ("A1", "A3") else 1) for move in moves)
        assert not (moves and node.depth >= 5)
    assert kinds == {"", "A1", "A3", "A4", "A5"}
    assert {move: " ".join(after) for move, after in FOLLOWING.items()} == ALLOWED


def test_five_rollouts_by_table() -> None:
    """Paths of at most two steps, seed 3. All five go to a child of the question that none has come through, then at random to an end.

    1: A1 (3), its A2 (20): .5.  2: A5 (8), an A1: no answer, 0.  3: A2 (4): .9.  4: A1 (1), its A2 (31): .5.  5: A3 (6), an A1: 0.
    """
    search = RStar(seed=3, depth=2, rollouts=5)
    tree = Drive(search, world).run(1000).tree
    table = {index: (visits, round(tree.value_sum[index], 9)) for index, visits in enumerate(tree.visits) if visits}
    first = {0: (5, 1.9), 1: (1, 0.5), 3: (1, 0.5), 4: (1, 0.9), 6: (1, 0.0), 8: (1, 0.0)}
    assert table == first | {11: (1, 0.0), 20: (1, 0.5), 21: (1, 0.0), 31: (1, 0.5)}
    assert {tree.nodes[index].move for index in (20, 31)} == {"A2"}
    assert search.iterations == 5


@pytest.mark.parametrize("schedule", ["constant", "exponential", "linear"])
def test_once_all_were_come_through_the_best_by_uct_is_next(schedule: Schedule) -> None:
    search = RStar(seed=1, schedule=schedule, depth=3, rollouts=40)
    drive = Drive(search, world)
    tree, chosen = drive.tree, []
    while trials := search.ask(tree, 1):
        visits, sums = list(tree.visits), list(tree.value_sum)
        began = search.iterations - 1
        if sum(visits[child] > 0 for child in tree.children[0]) == 8 and tree.visits[0] == began:
            weight = {"constant": 2.0, "exponential": 2 * 0.1 ** (began / 40), "linear": 2 - 1.8 * began / 40}[schedule]
            scores = {
                child: sums[child] / visits[child] + weight * math.sqrt(math.log(visits[0]) / visits[child]) for child in tree.children[0]
            }
            top = tree.path(trials[0].parent)[0].index
            assert scores[top] == max(scores.values())
            chosen.append(top)
        drive.tell(trials[0])
    assert len(set(chosen)) > 2
    # The end with .9 is come back to, at no cost.
    assert tree.visits[4] > 1
    assert tree.value_sum[4] == pytest.approx(0.9 * tree.visits[4])


@pytest.mark.parametrize(
    ("schedule", "weights"), [("constant", (2.0, 2.0, 2.0)), ("exponential", (2.0, 0.6324555, 0.2)), ("linear", (2.0, 1.1, 0.2))]
)
def test_schedules_at_the_start_half_way_and_at_the_end(schedule: Schedule, weights: tuple[float, ...]) -> None:
    search = RStar(seed=0, schedule=schedule, rollouts=16)
    assert [search.weight(rollout) for rollout in (0, 8, 16)] == pytest.approx(weights)


def test_the_schedule_goes_by_the_rollouts_before_this_one() -> None:
    numbers = set()

    class Recording(RStar):
        def weight(self, rollout: int) -> float:
            numbers.add(rollout)
            return super().weight(rollout)

    Drive(Recording(seed=0, rollouts=12), world).run(1000)
    # The first one meets no children to score.
    assert numbers == set(range(1, 12))


def test_every_rollout_that_reached_an_end_counts_once_on_its_path() -> None:
    search = RStar(seed=2)
    tree = Drive(search, world).run(5000).tree
    assert tree.visits[0] == search.iterations == 16
    for node in tree.nodes:
        below = sum(tree.visits[child] for child in tree.children[node.index])
        assert not tree.children[node.index] or tree.visits[node.index] == below


def test_broken_ends_are_never_come_to() -> None:
    def broken(tree: Tree, trial: Trial) -> Outcome:
        stop = {"A1": StopReason.ERROR, "A3": StopReason.MERGED, "A5": StopReason.MALFORMED, "A2": StopReason.ANSWERED}[trial.move]
        return Outcome(text="x", stop=stop, value=0.7 if trial.move == "A2" else None)

    search = RStar(seed=0)
    tree = Drive(search, broken).run(100).tree
    assert search.iterations == 1
    assert [tree.visits[child] for child in tree.children[0] if tree.nodes[child].move in ("A1", "A3")] == [0] * 6
    # Either the answer or the policy's own failure, worth 0.
    assert (tree.visits[0], tree.value_sum[0]) in {(1, 0.7), (1, 0.0)}


def test_the_answer_set_and_its_vote() -> None:
    tree = new_tree()
    answers: dict[int, str | None] = {}
    for move, stop, answer, worth in (
        ("A2", StopReason.ANSWERED, "7", 0.3),
        ("A3", StopReason.ANSWERED, "8", 0.5),
        ("A1", StopReason.OPEN, "7", 0.3),
        ("A3", StopReason.OPEN, "8", 0.9),
        ("A2", StopReason.LENGTH, "8", 0.9),
        ("A2", StopReason.ANSWERED, None, 0.9),
    ):
        node = tree.add(0, step(), stop=stop, move=move)
        tree.values[node.index] = worth
        answers[node.index] = answer
    assert solutions(tree, answers) == {1: "7", 2: "8", 3: "7"}
    assert RStar(seed=0).choose(tree, answers) == 1


@pytest.mark.parametrize("options", [{"c": -1.0}, {"depth": 0}, {"schedule": "cosine"}, {"rollouts": 0}])
def test_senseless_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="needs"):
        RStar(seed=0, **options)  # type: ignore[arg-type]
