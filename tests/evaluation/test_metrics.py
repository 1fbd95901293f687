import itertools
import random
from collections import Counter

import pytest

from tirage.evaluation import (
    Outcome,
    accuracy,
    best_at_k,
    maj_at_k,
    number_key,
    pass_at_k,
    per_problem,
    text_key,
    tool_rate,
    verified_yield,
)
from tirage.evaluation.metrics import MAX_POOL, best_probability, majority_credit, pass_probability


def test_accuracy_weighs_problems_equally_and_leaves_ungraded_out(outcomes):
    made = outcomes([[True, True, False, False], [True], [None, False], [None]])
    measured = accuracy(made)
    # (2/4 + 1/1 + 0/1) / 3; the fourth problem has nothing graded.
    assert measured.value == pytest.approx(0.5)
    assert (measured.problems, measured.samples, measured.correct, measured.ungraded) == (3, 6, 3, 2)


def test_ungraded_as_wrong_is_the_lower_bound(outcomes):
    measured = accuracy(outcomes([[True, True, False, False], [True], [None, False], [None]]), ungraded_as_wrong=True)
    assert measured.value == pytest.approx((0.5 + 1 + 0 + 0) / 4)
    assert (measured.samples, measured.ungraded) == (8, 2)


def test_nothing_graded_is_unknown_not_zero(outcomes):
    assert accuracy(outcomes([[None], [None]])).value is None
    assert accuracy([]).value is None
    assert tool_rate([]) is None
    assert verified_yield([]) is None
    assert per_problem([], "tokens_out") is None


def test_pass_at_k_by_hand():
    assert pass_probability(4, 2, 2) == pytest.approx(1 - 1 / 6)  # one of six pairs holds no right one
    assert pass_probability(10, 3, 1) == pytest.approx(0.3)
    assert pass_probability(5, 0, 5) == 0.0
    assert pass_probability(5, 1, 5) == 1.0
    assert pass_probability(10_000, 1, 100) == pytest.approx(0.01)


@pytest.mark.parametrize(("n", "correct", "k"), [(3, 1, 4), (3, 1, 0), (3, 4, 1), (3, -1, 1)])
def test_impossible_draws_are_refused(n: int, correct: int, k: int):
    with pytest.raises(ValueError, match=r"cannot draw|impossible"):
        pass_probability(n, correct, k)


def test_pass_at_k_leaves_short_problems_out(outcomes):
    measured = pass_at_k(outcomes([[True, False, False], [True], [None, True, False]]), 2)
    assert (measured.name, measured.problems, measured.short) == ("pass@2", 2, 1)
    assert measured.value == pytest.approx((2 / 3 + 1) / 2)
    assert pass_at_k(outcomes([[True]]), 2).value is None
    with pytest.raises(ValueError, match="k=0"):
        pass_at_k([], 0)


def test_majority_by_hand():
    # right, right, a, b: {r,r,a} and {r,r,b} win, both {r,a,b} are a tie of three.
    assert majority_credit([(2, 1.0), (1, 0.0), (1, 0.0)], 0, 3) == pytest.approx((1 + 1 + 1 / 3 + 1 / 3) / 4)
    # Two silent samples do not vote: of {r,s},{r,s},{s,s} the first two win.
    assert majority_credit([(1, 1.0)], 2, 2) == pytest.approx(2 / 3)
    assert majority_credit([], 3, 2) == 0.0
    assert majority_credit([(5, 1.0), (3, 0.0)], 0, 8) == 1.0
    assert majority_credit([(4, 1.0), (4, 0.0)], 0, 8) == pytest.approx(0.5)


def first_come(sample: tuple[int, ...], right: int) -> float:
    votes = Counter(answer for answer in sample if answer >= 0)
    if not votes:
        return 0.0
    return float(max(votes, key=lambda answer: (votes[answer], -sample.index(answer))) == right)


@pytest.mark.parametrize("seed", range(12))
def test_majority_equals_the_mean_over_all_ordered_draws_with_ties_to_the_first(seed: int):
    draw = random.Random(seed)
    pool = [draw.choice([-1, 0, 0, 1, 2]) for _ in range(7)]
    k = draw.randint(1, 5)
    counted = Counter(answer for answer in pool if answer >= 0)
    votes = [(size, float(answer == 0)) for answer, size in counted.items()]
    draws = list(itertools.permutations(range(7), k))
    expected = sum(first_come(tuple(pool[i] for i in indices), 0) for indices in draws) / len(draws)
    assert majority_credit(votes, pool.count(-1), k) == pytest.approx(expected, abs=1e-12)


def test_majority_is_exact_for_large_pools_and_says_where_it_ends():
    assert majority_credit([(600, 1.0), (400, 0.0)], 0, 3) == pytest.approx(0.648, abs=2e-4)  # 3 p^2 q + p^3, nearly with replacement
    with pytest.raises(ValueError, match="exact up to"):
        majority_credit([(MAX_POOL + 1, 1.0)], 0, 2)


def test_maj_at_k_uses_the_callers_classes():
    answers = [("0.5", True), ("1/2", True), ("7", False), ("7", False), ("8", False)]
    made = [Outcome(problem_id="p", sample=i, correct=right, answer=text) for i, (text, right) in enumerate(answers)]
    by_text, by_number = maj_at_k(made, 5, key=text_key), maj_at_k(made, 5, key=number_key)
    assert by_text.value == 0.0  # 7 has two votes, the right answer one and one
    assert by_number.value == pytest.approx(0.5)
    assert maj_at_k([*made, Outcome(problem_id="q", correct=True)], 5).short == 1


def test_best_of_k_by_hand_and_by_enumeration():
    assert best_probability([1.0, 0.0, 0.0], 2) == pytest.approx(2 / 3)
    credit = [0.0, 1.0, 0.0, 1.0, 1.0]
    subsets = list(itertools.combinations(range(5), 3))
    assert best_probability(credit, 3) == pytest.approx(sum(credit[min(subset)] for subset in subsets) / len(subsets))


def test_best_at_k_breaks_ties_by_order_and_wants_a_score_each(outcomes):
    made = outcomes([[True, False]])
    assert best_at_k(made, [0.5, 0.5], 2).value == 1.0
    assert best_at_k(made, [0.1, 0.9], 2).value == 0.0
    with pytest.raises(ValueError, match="1 scores for 2 outcomes"):
        best_at_k(made, [0.5], 2)


def test_rates_and_costs(outcomes):
    made = outcomes([[True, None], [False]], tokens_out=30) + outcomes([[True]], used_tool=True, tokens_out=10)
    assert tool_rate(made) == 0.25
    assert verified_yield(made) == 0.5  # the ungraded sample was drawn and paid for
    assert per_problem(made, "tokens_out") == 50.0
