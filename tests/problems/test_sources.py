from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from tirage.core.errors import ConfigError, DataError
from tirage.problems import FileSource, GymSource, LookupSource, ProblemSource, load_problems
from tirage.problems.base import is_heldout
from tirage.problems.sources import load_lookup

ADAPTER: TypeAdapter[GymSource | LookupSource | FileSource] = TypeAdapter(ProblemSource)


def test_the_type_decides_and_unknown_keys_are_errors():
    assert isinstance(ADAPTER.validate_python({"type": "gym"}), GymSource)
    assert isinstance(ADAPTER.validate_python({"type": "lookup"}), LookupSource)
    assert isinstance(ADAPTER.validate_python({"type": "file", "path": "a.jsonl"}), FileSource)
    for wrong in ({"type": "gym", "cuont": 3}, {"type": "web"}, {"type": "gym", "count": 0}, {"type": "file"}):
        with pytest.raises(ValidationError):
            ADAPTER.validate_python(wrong)


def test_a_file_is_found_below_the_base_folder(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"ask": "q", "reply": "#### 5"}\n')
    source = FileSource(path="a.jsonl", prompt_column="ask", answer_column="reply", answer_after="####", split="heldout")
    (problem,) = load_problems(source, base=tmp_path)
    assert (problem.prompt, problem.answer, problem.split) == ("q", "5", "heldout")


def test_gym_families_with_and_without_a_split():
    families: dict[str, dict[str, Any]] = {"gcd": {}, "lcm": {}}
    raw = load_problems(GymSource(families=families, count=5, seed=9, split=""))
    assert [(p.family, p.metadata["seed"], p.split) for p in raw][:2] == [("gcd", 9, ""), ("lcm", 9, "")]
    assert len(raw) == 5
    train = load_problems(GymSource(families=families, count=5, split="train"))
    assert not any(is_heldout(p.prompt) for p in train)


def test_a_mixture_file_is_read_below_the_base_folder(tmp_path):
    (tmp_path / "mix.yaml").write_text("families: {gcd: {easy: {max_value: 20}}}\n")
    problems = load_problems(GymSource(families="mix.yaml", count=3), base=tmp_path)
    assert {(p.family, p.tier) for p in problems} == {("gcd", "easy")}


def test_an_empty_split_needs_plain_families():
    with pytest.raises(ConfigError, match="name train, heldout or unseen"):
        load_problems(GymSource(split=""))


def test_lookup_problems_carry_their_facts_and_keep_the_sides_apart():
    train = load_problems(LookupSource(count=60, split="train"))
    heldout = load_problems(LookupSource(count=60, seed=4))
    assert {p.prompt for p in train}.isdisjoint(p.prompt for p in heldout)
    assert len({p.id for p in (*train, *heldout)}) == 120
    assert {p.tier for p in heldout} == {"easy", "medium", "hard"}
    easy = next(p for p in heldout if p.tier == "easy")
    assert any(f" {easy.answer}" in fact for fact in easy.metadata["facts"])
    assert load_problems(LookupSource(count=60, seed=4)).fingerprint == heldout.fingerprint


def test_lookup_says_what_it_cannot_give():
    with pytest.raises(ConfigError, match="at least 1"):
        load_lookup(0)
    with pytest.raises(DataError, match="no problem file"):
        load_problems(FileSource(path="none.jsonl"))
