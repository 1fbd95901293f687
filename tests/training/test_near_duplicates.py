import random
from dataclasses import dataclass

import numpy as np
import pytest

from tirage.training.near_duplicates import drop_near_duplicates, grams, jaccard, sketch


@dataclass
class Text:
    ids: list[int]
    scope: str = ""


def kept(texts: list[Text], threshold: float = 0.8) -> list[int]:
    left = drop_near_duplicates(texts, threshold, scope=lambda text: text.scope, load=lambda text: text.ids)
    return [index for index, text in enumerate(texts) if any(text is other for other in left)]


def test_jaccard_by_hand() -> None:
    # 5-grams of 0..9: six; of 0..9 with the last changed: five shared, one each apart.
    assert jaccard(grams(range(10)), grams([*range(9), 99])) == pytest.approx(5 / 7)
    assert jaccard(grams([]), grams([])) == 1.0
    assert jaccard(grams([1, 2]), grams([1, 2])) == 1.0
    assert jaccard(grams([1, 2]), grams([2, 1])) == 0.0


def test_grams_are_a_set() -> None:
    assert grams([1] * 50).size == 1


def test_sketch_estimates_jaccard() -> None:
    draw = random.Random(1)
    base = [draw.randrange(1000) for _ in range(400)]
    other = base[:300] + [draw.randrange(1000) for _ in range(100)]
    estimate = float((sketch(grams(base)) == sketch(grams(other))).mean())
    assert abs(estimate - jaccard(grams(base), grams(other))) < 4 * np.sqrt(0.25 / 125)


def test_the_threshold_is_exact() -> None:
    # 100 grams against 100 of which 89 are shared: 89 / 111 = 0.802; with 88 shared: 88 / 112 = 0.786.
    base = list(range(104))
    near = [*range(93), *range(500, 511)]
    far = [*range(92), *range(600, 612)]
    assert jaccard(grams(base), grams(near)) == pytest.approx(89 / 111)
    assert jaccard(grams(base), grams(far)) == pytest.approx(88 / 112)
    assert kept([Text(base), Text(near), Text(far)]) == [0, 2]


def test_scopes_are_apart() -> None:
    assert kept([Text([*range(50)], "p"), Text([*range(50)], "p"), Text([*range(50)], "q")]) == [0, 2]


def test_planted_duplicates_are_found_among_many() -> None:
    draw = random.Random(3)
    texts = [Text([draw.randrange(5000) for _ in range(120)]) for _ in range(400)]
    copies = [Text([*text.ids[:60], 9999, *text.ids[61:]]) for text in texts[::10]]
    assert kept(texts + copies) == list(range(400))


def test_empty_texts_are_alike() -> None:
    assert kept([Text([]), Text([])]) == [0]
