import subprocess
import sys
from typing import Any

import pytest

from tirage.core.errors import ConfigError, DataError
from tirage.problems.gym import GymDraw, draw_problems, gym_families, load_gym


def test_problems_are_the_packages_own_entries():
    reasoning_gym = pytest.importorskip("reasoning_gym")
    problems = load_gym({"chain_sum": {"min_terms": 2, "max_terms": 3}}, count=4, seed=42, split="train", tier="easy")
    entries = reasoning_gym.create_dataset("chain_sum", seed=42, size=4, min_terms=2, max_terms=3)
    assert [(p.prompt, p.answer) for p in problems] == [(entry["question"], entry["answer"]) for entry in entries]
    assert problems[2].metadata == {
        "family": "chain_sum",
        "tier": "easy",
        "seed": 42,
        "size": 4,
        "config": {"min_terms": 2, "max_terms": 3},
        "index": 2,
    }
    assert (problems[0].kind, problems[0].verifier, problems[0].split) == ("math", "gym", "train")
    assert problems[0].source == "reasoning-gym/chain_sum"


def test_families_take_turns():
    problems = load_gym({"gcd": {}, "word_ladder": {}}, count=2)
    assert [p.family for p in problems] == ["gcd", "word_ladder", "gcd", "word_ladder"]
    assert [p.kind for p in problems[:2]] == ["math", "text"]


def test_families_that_walk_over_sets_are_the_same_under_any_hash_seed():
    code = "from tirage.problems.gym import load_gym; print(load_gym({'word_ladder': {}, 'ransom_note': {}}, count=3, seed=1).fingerprint)"
    prints = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}).stdout
        for seed in ("1", "2")
    }
    assert len(prints) == 1


def test_a_side_and_a_span_give_distinct_questions_of_that_side_only():
    draw: dict[str, Any] = {"family": "products", "config": {"min_digits": 1, "max_digits": 1, "max_terms": 2}, "seed": 0, "span": 400}
    heldout, train = draw_problems([GymDraw(**draw, count=500, side="heldout"), GymDraw(**draw, count=500, side="train")])
    texts = [p.prompt for p in heldout + train]
    assert len(texts) == len(set(texts))
    assert 5 < len(heldout) < len(train) <= 100


@pytest.mark.parametrize(
    ("families", "message"),
    [
        ({"chain_sums": {}}, "no family 'chain_sums'; close: chain_sum"),
        ({"chain_sum": {"terms": 3}}, "refuses {'terms': 3}: TypeError"),
        ({"chain_sum": {"min_terms": -1}}, "min_terms must be positive"),
    ],
)
def test_wrong_families_and_configurations_are_named(families, message):
    with pytest.raises(ConfigError) as caught:
        load_gym(families, count=1)
    assert message in str(caught.value)


def test_zero_problems_are_refused():
    with pytest.raises(ConfigError, match="count=0"):
        load_gym({"gcd": {}}, count=0)


def test_a_dead_child_is_a_data_error(monkeypatch):
    monkeypatch.setattr("tirage.problems.gym.sys.executable", "/bin/false")
    with pytest.raises(DataError, match="ended with code 1"):
        load_gym({"gcd": {}}, count=1)


def test_all_families_are_listed():
    names = gym_families()
    assert {"countdown", "gsm_symbolic", "puzzle24"} <= set(names)
    assert "composite" not in names
    assert list(names) == sorted(names)
