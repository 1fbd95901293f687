"""The hint library and its schedule."""

from pathlib import Path

import pytest

from tirage.agents.hints import HintPlan, cut_reason, load_library, pick_connective
from tirage.core import Finish, HintPosition, Problem, Source, Span, Step
from tirage.core.errors import ConfigError, DataError

PROBLEM = Problem(prompt="1 + 1?", answer="2")


def cut(text: str) -> Step:
    return Step(spans=(Span(Source.POLICY, text),), finish=Finish.CUT)


def test_the_shipped_library_covers_the_families_of_start() -> None:
    families = {hint.family for hint in load_library()}
    assert {
        "complex_calculation",
        "self_reflection",
        "logic_check",
        "alternative_method",
        "general_tool_use",
        "deeper_thinking",
    } <= families
    assert len({hint.id for hint in load_library()}) == len(load_library())


def test_repeated_hints_come_from_different_families_and_only_the_first_may_stand_early() -> None:
    plan = HintPlan(library=load_library(), positions=(HintPosition.START, HintPosition.END_OF_THINKING), rounds=4)
    for seed in range(50):
        hints = [plan.hint(PROBLEM, seed, number) for number in range(4)]
        assert all(hints)
        planned = [hint for hint in hints if hint is not None]
        assert len({hint.hint.family for hint in planned}) == 4
        assert all(hint.position is HintPosition.END_OF_THINKING for hint in planned[1:])
        assert all(hint.position in hint.hint.positions for hint in planned)
    assert plan.hint(PROBLEM, 0, 4) is None


def test_the_schedule_is_a_function_of_the_seed() -> None:
    plan = HintPlan(library=load_library(), positions=tuple(HintPosition))
    first = [plan.hint(PROBLEM, seed, 0) for seed in range(40)]
    assert first == [plan.hint(PROBLEM, seed, 0) for seed in range(40)]
    assert {hint.position for hint in first if hint is not None} == set(HintPosition)


@pytest.mark.parametrize("kind", ["math", "text", "code", "choice", "science", "anything"])
def test_every_kind_of_problem_gets_a_hint_at_every_position(kind: str) -> None:
    problem = Problem(prompt="?", kind=kind)
    for position in HintPosition:
        assert HintPlan(library=load_library(), positions=(position,)).hint(problem, 1, 0) is not None


def test_debug_hints_are_for_code_only() -> None:
    plan = HintPlan(library=tuple(hint for hint in load_library() if hint.family == "debug"))
    assert plan.hint(PROBLEM, 0, 0) is None
    assert plan.hint(Problem(prompt="write f", kind="code"), 0, 0) is not None


def test_connectives_are_whole_words_and_drawn_uniformly() -> None:
    assert pick_connective("Waiting for the waiter", 0) is None
    text = "Wait, no. Alternatively, yes. Wait."
    places = {found.start() for seed in range(60) if (found := pick_connective(text, seed)) is not None}
    assert places == {0, 10, 30}


@pytest.mark.parametrize(
    ("steps", "close", "expected"),
    [
        ([cut("I think. Wait")], "</think>", (HintPosition.MARKER, "Wait")),
        ([cut("Hm. Alternatively")], None, (HintPosition.MARKER, "Alternatively")),
        ([cut("so 5.\n")], "</think>", (HintPosition.END_OF_THINKING, "end-of-thinking")),
        ([cut("so 5.\n</think>\nThe answer is 5.")], "</think>", (HintPosition.BEFORE_STOP, "stop")),
        ([cut("The answer is 5.")], None, (HintPosition.BEFORE_STOP, "stop")),
    ],
)
def test_the_reason_of_a_cut_is_read_off_the_text(steps: list[Step], close: str | None, expected: tuple[HintPosition, str]) -> None:
    assert cut_reason(steps, close) == expected


def test_bad_libraries_name_the_file_and_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "hints.yaml"
    path.write_text("hints:\n  - {id: a, family: b, domains: [math], positions: [nowhere], text: x}\n")
    with pytest.raises(DataError, match="nowhere"):
        load_library(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_library(tmp_path / "absent.yaml")
    with pytest.raises(ConfigError, match="rounds"):
        HintPlan(library=())
