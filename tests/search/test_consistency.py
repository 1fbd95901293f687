"""Mutual consistency: masks, scores by hand, survivors, no gold answer."""

import inspect
import pickle
import secrets
from typing import Any

import pytest

from tests.search.toys import Drive, Outcome
from tirage.core import Problem, StopReason, Tree
from tirage.search.base import Trial
from tirage.search.consistency import ConfidentAnswer, Survival, discriminate, mask_prefixes
from tirage.search.rstar import RStar, solutions


def of(*pairs: tuple[str | None, float]) -> list[ConfidentAnswer]:
    return [ConfidentAnswer(answer=answer, confidence=confidence) for answer, confidence in pairs]


def test_four_masks_of_a_hundred_words() -> None:
    words = [str(number) for number in range(100)]
    assert [len(prefix) for prefix in mask_prefixes(words)] == [20, 30, 40, 50]
    assert mask_prefixes(words)[0] == words[:20]
    assert [len(prefix) for prefix in mask_prefixes(words[:7])] == [2, 3, 3, 4]
    assert [len(prefix) for prefix in mask_prefixes(words, count=1)] == [20]
    assert mask_prefixes([]) == [[]] * 4
    with pytest.raises(ValueError, match="masks need"):
        mask_prefixes(words, low=0.6)


def test_scores_by_hand() -> None:
    """a survives twice of four with .9 and .3, b once of one with .5, of 3 survivors.

    a: 1.2 / 3 + 2/4 = .9; b: .5 / 3 + 1 = 1.167: b. Were b's rate 1/2: .667: a, and of its paths the more confident.
    """
    candidates = of(("a", 0.3), ("a", 0.9), ("a", 0.8), ("a", 0.8), ("b", 0.5))
    yes: list[list[str]] = [["a"] * 4, ["a"] * 4]
    no: list[list[Any]] = [["c"] * 4, [None] * 4]
    assert discriminate(candidates, [*yes, *no, ["b"] * 4]) == 4
    assert discriminate([*candidates, *of(("b", 0.9))], [*yes, *no, ["b"] * 4, ["c"] * 4]) == 1


def test_the_second_model_overrules_the_majority() -> None:
    candidates = of(("wrong", 0.6), ("wrong", 0.6), ("right", 0.4))
    assert discriminate(candidates, [["right", "x", "y", "z"], ["right", None, "x", "wrong"], ["right", "right", "x", "y"]]) == 2
    assert discriminate(candidates, [["x"] * 4] * 3) == 0  # nobody survives: the most confident answer


@pytest.mark.parametrize(
    ("mode", "survives"),
    [
        ("loose", (False, True, True, True, True)),
        ("middle", (False, False, True, True, True)),
        ("strict", (False, False, False, False, True)),
        ("majority", (False, False, True, True, True)),
    ],
)
def test_modes(mode: Survival, survives: tuple[bool, ...]) -> None:
    completed = (["x", "x", None, None], ["a", "x", "x", None], ["a", "a", "x", "x"], ["a", "a", "a", "x"], ["a"] * 4)
    for completions, expected in zip(completed, survives, strict=True):
        # "b" is confident but never confirmed: "a" wins exactly when it survives.
        assert discriminate(of(("b", 0.9), ("a", 0.1)), [["c"] * 4, completions], mode) == int(expected)


def test_candidates_without_an_answer_or_with_a_long_one_are_none() -> None:
    assert discriminate([], []) is None
    assert discriminate(of((None, 0.9), ("x" * 101, 0.9)), [[None] * 4, ["x" * 101] * 4]) is None
    assert discriminate(of((None, 0.9), ("x" * 100, 0.1)), [[None] * 4, []]) == 1


def test_no_gold_answer_is_in_reach() -> None:
    """A canary: the key is a nonce, and nothing that the search or the discriminator holds contains it."""
    nonce = secrets.token_hex(16)
    problem = Problem(prompt="?", answer=nonce)

    def world(tree: Tree, trial: Trial) -> Outcome:
        ended = trial.move == "A2"
        return Outcome(text=str(trial.sample), value=0.5 if ended else None, stop=StopReason.ANSWERED if ended else StopReason.OPEN)

    tree = Tree(problem_id=problem.id, policy_id="m", seed=0, prompt=())
    drive = Drive(RStar(seed=0), world, tree).run(5000)
    found = solutions(tree, drive.answers)
    candidates = [ConfidentAnswer(answer=answer, confidence=tree.values[index]) for index, answer in found.items()]
    completions = [[candidate.answer] * 4 for candidate in candidates]
    assert discriminate(candidates, completions) is not None
    assert nonce in pickle.dumps(problem).decode("latin-1")
    assert nonce not in pickle.dumps((tree, drive.search, candidates, completions)).decode("latin-1")
    assert list(inspect.signature(discriminate).parameters) == ["candidates", "completions", "mode"]
