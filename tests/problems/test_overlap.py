import random

import pytest

from tirage.core.problem import Problem
from tirage.problems.base import ProblemSet
from tirage.problems.overlap import Overlap, decontaminate, find_overlaps, lcs_length, tokens

WORDS = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen".split()


def table_lcs(left: list[str], right: list[str]) -> int:
    table = [[0] * (len(right) + 1) for _ in range(len(left) + 1)]
    for i, a in enumerate(left):
        for j, b in enumerate(right):
            table[i + 1][j + 1] = table[i][j] + 1 if a == b else max(table[i][j + 1], table[i + 1][j])
    return table[-1][-1]


def test_lcs_by_hand_and_against_the_table():
    assert lcs_length("a b c b d a b".split(), "b d c a b a".split()) == 4
    assert lcs_length([], ["a"]) == lcs_length(["a"], []) == 0
    draw = random.Random(0)
    for _ in range(200):
        left, right = (draw.choices("abcd", k=draw.randint(0, 20)) for _ in range(2))
        assert lcs_length(left, right) == table_lcs(left, right)


def test_exact_ignores_case_spaces_and_punctuation_only():
    found = find_overlaps(["What is  3 + 4", "What is 3 + 5?"], ["what is 3 + 4?"], mode="exact")
    assert found == [Overlap(0, 0, "exact")]


def test_thirteen_shared_tokens_overlap_and_twelve_do_not():
    heldout = ["start " + " ".join(WORDS) + " end"]
    thirteen = "other words here " + " ".join(WORDS[2:15]) + " and then on"
    twelve = "other words here " + " ".join(WORDS[2:14]) + " and then on"
    assert find_overlaps([twelve, thirteen], heldout, mode="ngram") == [Overlap(1, 0, "ngram")]
    assert find_overlaps([thirteen], heldout, mode="exact") == []


def test_lcs_ratio_of_exactly_six_tenths_counts():
    heldout = ["a b c d e f g h i j"]
    assert find_overlaps(["a x b x c d e f x x"], heldout, mode="lcs") == [Overlap(0, 0, "lcs")]
    assert find_overlaps(["a x b x c d e x x x"], heldout, mode="lcs") == []


def test_candidate_filter_misses_nothing():
    draw = random.Random(1)
    for _ in range(40):
        train, heldout = ([" ".join(draw.choices("abcdefghij", k=draw.randint(1, 12))) for _ in range(20)] for _ in range(2))
        close = {
            index
            for index, text in enumerate(train)
            for other in heldout
            if table_lcs(text.split(), other.split()) >= 0.6 * max(len(text.split()), len(other.split()))
        }
        assert {overlap.train for overlap in find_overlaps(train, heldout, mode="lcs")} == close


def test_templated_questions_need_the_exact_mode():
    template = "Calculate the answer to this sum and give only the number and nothing else please now: {} + {}"
    train = ProblemSet("t", tuple(Problem(prompt=template.format(n, n + 1), answer="") for n in range(5)))
    heldout = ProblemSet("h", (Problem(prompt=template.format(3, 4), answer=""),))
    kept, found = decontaminate(train, heldout, mode="exact")
    assert ([p.prompt[-5:] for p in kept], len(found)) == (["0 + 1", "1 + 2", "2 + 3", "4 + 5"], 1)
    assert len(decontaminate(train, heldout, mode="ngram")[0]) == 0


def test_nothing_overlaps_with_nothing():
    assert find_overlaps([], ["a"], mode="lcs") == find_overlaps(["a"], [], mode="lcs") == []
    assert tokens("Don't, 3.5!") == ["don", "t", "3", "5"]


def test_impossible_thresholds_are_refused():
    with pytest.raises(ValueError, match="ngram=0"):
        find_overlaps(["a"], ["a"], ngram=0)
    with pytest.raises(ValueError, match="ratio=0"):
        find_overlaps(["a"], ["a"], ratio=0)
