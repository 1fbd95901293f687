import pytest
from hypothesis import given
from hypothesis import strategies as st

from tirage.core.message import ObservationStatus, ToolCall
from tirage.core.step import Finish, Step
from tirage.core.trajectory import StopReason, Trajectory
from tirage.testing.builders import Turn, make_rollout
from tirage.training.filters import (
    HeldOut,
    edit_distance,
    executed,
    failed_final_execution,
    longest_loop,
    normalised_code,
    signature,
    unfinished,
)


def path(*turns: Turn, stop: StopReason = StopReason.ANSWERED) -> Trajectory:
    trajectory = make_rollout(*turns, stop=stop).trajectory
    assert trajectory is not None
    return trajectory


def slow_edit_distance(a: list[int], b: list[int]) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        new = [i]
        for j, y in enumerate(b, 1):
            new.append(min(row[j] + 1, new[-1] + 1, row[j - 1] + (x != y)))
        row = new
    return row[-1]


@given(st.lists(st.integers(0, 3), max_size=30), st.lists(st.integers(0, 3), max_size=30))
def test_edit_distance_is_levenshtein(a: list[int], b: list[int]) -> None:
    assert edit_distance(a, b) == slow_edit_distance(a, b)


def test_edit_distance_by_hand() -> None:
    assert edit_distance(list(map(ord, "kitten")), list(map(ord, "sitting"))) == 3
    assert edit_distance([], [1, 2]) == 2


@pytest.mark.parametrize(
    ("ids", "length"),
    [
        ([], 0),
        (list(range(200)), 0),
        ([1, 2, 3] * 8, 24),
        ([*range(50), *[7, 8] * 15, *range(60, 90)], 30),
        ([*range(50), *[7, 8] * 3], 0),
        ([*range(40), *[9] * 20], 20),
        ([*range(100, 164)] * 4, 256),
    ],
)
def test_longest_loop(ids: list[int], length: int) -> None:
    assert longest_loop(ids) == length


def test_signature_ignores_how_it_was_said() -> None:
    one = path(Turn(text="Let me see. ", code="total = 6*7  # product\nprint(total)", output="42"), Turn(text="42"))
    two = path(Turn(text="Hm. ", code="x = 6 * 7\nprint(x)", output="42"), Turn(text="It is 42"))
    other = path(Turn(code="x = 7 * 6\nprint(x)", output="42"), Turn(text="42"))
    assert signature(one, "42") == signature(two, "42")
    assert len({signature(one, "42"), signature(one, "43"), signature(other, "42")}) == 3


def test_signature_of_text_is_its_equations() -> None:
    assert signature(path(Turn(text="First 6 * 7 = 42, then 42+1=43.")), "43") == signature(path(Turn(text="6*7=42. So 42 + 1 = 43")), "43")
    assert signature(path(Turn(text="6*7=42")), "42") != signature(path(Turn(text="7*6=42")), "42")
    assert signature(path(Turn(text="clearly blue")), None) != signature(path(Turn(text="clearly red")), None)


def test_signature_survives_calls_that_are_not_json() -> None:
    step = Step(spans=(), finish=Finish.CALL, calls=(ToolCall(name="python", arguments="{broken"),))
    broken = Trajectory(problem_id="p", policy_id="q", seed=0, prompt=(), steps=(step,), stop=StopReason.ANSWERED)
    assert len(signature(broken, None)) == 16


@pytest.mark.parametrize("code", ["def (", "x = '\0'", "(" * 5000, "a = 1\n" * 10_000, "\ud800"])
def test_normalised_code_never_raises(code: str) -> None:
    assert normalised_code(code) == " ".join(code.split())


def test_normalised_code_renames_only_own_names() -> None:
    code = "import math\ndef area(radius):\n    return math.pi * radius  # note\nprint(area(2))"
    assert normalised_code(code) == "import math\n\ndef v0(v1):\n    return math.pi * v1\nprint(v0(2))"


def test_final_execution() -> None:
    failed, fine = Turn(code="1/0", output="ZeroDivisionError", status=ObservationStatus.ERROR), Turn(code="1", output="1")
    assert failed_final_execution(path(fine, failed, Turn(text="1")))
    assert not failed_final_execution(path(failed, fine, Turn(text="1")))
    assert not failed_final_execution(path(Turn(text="1")))


def test_executed_needs_a_run() -> None:
    assert executed(path(Turn(code="1/0", status=ObservationStatus.ERROR), Turn(text="1")))
    assert not executed(path(Turn(code="?", status=ObservationStatus.INVALID), Turn(text="1")))
    assert not executed(path(Turn(code="1", status=ObservationStatus.REFUSED), Turn(text="1")))


@pytest.mark.parametrize(
    ("stop", "tokens", "reason"),
    [
        (StopReason.ANSWERED, 10, None),
        (StopReason.ANSWERED, 11, "length"),
        (StopReason.LENGTH, 5, "length"),
        (StopReason.CALLS, 5, "unfinished"),
        (StopReason.ERROR, 5, "error"),
    ],
)
def test_unfinished(stop: StopReason, tokens: int, reason: str | None) -> None:
    assert unfinished(path(Turn(text="x"), stop=stop), tokens=tokens, max_tokens=10) == reason


def test_held_out_prompts() -> None:
    long = "one two three four five six seven eight nine ten eleven twelve thirteen"
    exact, ngram = HeldOut(["What is 6 x 7?", long]), HeldOut(["What is 6 x 7?", long], mode="ngram")
    assert exact.overlaps("what is 6 x 7")
    assert not exact.overlaps("what is 6 x 8")
    assert not exact.overlaps(f"so {long} or")
    assert ngram.overlaps(f"so {long} or")
    assert not ngram.overlaps(long.replace("seven", "7"))
    assert HeldOut(["a", "b"]).sha256 == HeldOut(["b", "a", "a"]).sha256 != HeldOut(["a"]).sha256
    assert len(HeldOut(["a", "a"])) == 1
