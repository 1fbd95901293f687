from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tirage.core.message import ObservationStatus
from tirage.core.problem import Problem
from tirage.core.rollout import Rollout
from tirage.core.step import Source, Span
from tirage.testing.builders import Turn, decode_bytes, encode_bytes, make_problem, make_rollout
from tirage.training.dataset import Dataset
from tirage.training.recipes import HintRFT, HintRFTConfig
from tirage.training.rows import IGNORED, TokenRow, decode_trainable
from tirage.training.selection import NothingKept

HINT = "Let me use Python.\n"


def alone(problem: Problem, correct: bool | None, sample: int = 0) -> Rollout:
    return make_rollout(Turn(text="I guess."), problem=problem, stage="train-alone", correct=correct, sample=sample)


def hinted(problem: Problem, *, correct: bool = True, sample: int = 0, before: str = "", code: str = "print(6*7)") -> Rollout:
    turns = (
        *((Turn(text=before, code="1+", output="SyntaxError", status=ObservationStatus.INVALID),) if before else ()),
        Turn(hint=HINT, text="Good idea. ", code=code, output="OBSERVED-42"),
        Turn(text="The answer is 42."),
    )
    return make_rollout(*turns, problem=problem, stage="train-hinted", correct=correct, sample=sample)


def build(folder: Path, traces: Any, **settings: Any) -> list[TokenRow]:
    HintRFT(HintRFTConfig(**settings)).build(traces, folder)
    assert Dataset(folder).check() == []
    return list(Dataset(folder).rows())


def test_only_rescued_problems_are_kept(tmp_path: Path, as_traces: Any) -> None:
    rescued, easy, hopeless, odd, unseen, plain = (make_problem(f"{name}?", "42") for name in ("a", "b", "c", "d", "e", "f"))
    rollouts = [
        alone(rescued, False), hinted(rescued), hinted(rescued, sample=1, code="total = 0\nfor _ in range(6):\n    total += 7\ntotal"),
        alone(easy, False), alone(easy, True, sample=1), hinted(easy),
        alone(hopeless, False), hinted(hopeless, correct=False),
        alone(odd, None), hinted(odd),
        hinted(unseen),
        alone(plain, False), make_rollout(Turn(code="6*7", output="42"), Turn(text="42"), problem=plain, stage="train-hinted"),
    ]  # fmt: skip
    manifest = HintRFT().build(as_traces(rollouts), tmp_path / "rows")
    assert [row.meta["problem"] for row in Dataset(tmp_path / "rows").rows()] == [rescued.id]
    dropped = {count.step: count.dropped for count in manifest.counts}
    assert dropped["score"] == {"incorrect": 1}
    assert dropped["filter"] == {"no-hint-given": 1, "no-unhinted-run": 1, "solved-unhinted": 1, "unhinted-ungraded": 1}
    assert dropped["cap"] == {"over-cap": 1}
    assert manifest.traces.n == 13
    assert Dataset(tmp_path / "rows").check() == []


def test_no_observation_is_ever_trained(tmp_path: Path, as_traces: Any) -> None:
    problem = make_problem()
    (row,) = build(tmp_path / "rows", as_traces([alone(problem, False), hinted(problem)]))
    text = decode_trainable(row, decode_bytes)
    assert text == HINT + "Good idea. ```python\nprint(6*7)\n```\nThe answer is 42."
    assert "OBSERVED" in decode_bytes(row.input_ids)
    assert row.meta["hint_ids"] == ["hint-1"]
    assert row.meta["nodes"] == [1, 2]


def test_hint_loss_toggles_exactly_the_hint_labels(tmp_path: Path, as_traces: Any) -> None:
    problem = make_problem()
    traces = as_traces([alone(problem, False), hinted(problem)])
    (trained,), (masked,) = build(tmp_path / "a", traces), build(tmp_path / "b", traces, hint_loss=False)
    assert trained.input_ids == masked.input_ids
    differing = [(a, b) for a, b in zip(trained.labels, masked.labels, strict=True) if a != b]
    assert differing == [(token, IGNORED) for token in encode_bytes(HINT)]
    assert trained.id != masked.id


def test_stripping_and_cutting_are_exact_in_tokens(tmp_path: Path, as_traces: Any) -> None:
    problem = make_problem()
    rollout = hinted(problem, before="Hm, ")
    traces = as_traces([alone(problem, False), rollout])
    assert rollout.trajectory is not None
    spans = rollout.trajectory.spans
    everything = decode_bytes(rollout.trajectory.token_ids or ())
    (stripped,) = build(tmp_path / "strip", traces, strip_hint=True)
    assert stripped.input_ids == tuple(token for span in spans if span.source is not Source.HINT for token in span.ids or ())
    assert stripped.meta["hint_ids"] == []
    (cut,) = build(tmp_path / "cut", traces, keep="from_hint")
    prompt, _, rest = everything.partition("Hm, ")
    assert decode_bytes(cut.input_ids) == prompt + HINT + rest.partition(HINT)[2]
    (masked,) = build(tmp_path / "mask", traces, keep="mask_to_hint")
    assert decode_bytes(masked.input_ids) == everything
    assert decode_trainable(masked, decode_bytes) == decode_trainable(cut, decode_bytes)
    (both,) = build(tmp_path / "both", traces, keep="from_hint", strip_hint=True)
    assert decode_bytes(both.input_ids) == prompt + rest.partition(HINT)[2]


def test_a_hint_that_led_to_no_run_is_removed(tmp_path: Path, as_traces: Any) -> None:
    problem = make_problem()
    rollout = make_rollout(
        Turn(hint="FIRST ", hint_id="one", code="1+", output="bad fence", status=ObservationStatus.INVALID),
        Turn(hint="SECOND ", hint_id="two", code="6*7", output="42"),
        Turn(text="42"),
        problem=problem,
        stage="train-hinted",
    )
    manifest = HintRFT().build(as_traces([alone(problem, False), rollout]), tmp_path / "rows")
    (row,) = Dataset(tmp_path / "rows").rows()
    assert "FIRST" not in decode_bytes(row.input_ids)
    assert "SECOND" in decode_trainable(row, decode_bytes)
    assert row.meta["hint_ids"] == ["two"]
    assert {count.step: count.noted for count in manifest.counts}["modify"] == {"hint-spans-removed": 1}


def test_a_rescue_without_a_run_needs_permission(tmp_path: Path, as_traces: Any) -> None:
    problem = make_problem()
    talked = make_rollout(Turn(hint=HINT, text="It is 42."), problem=problem, stage="train-hinted")
    traces = as_traces([alone(problem, False), talked, hinted(make_problem("b?")), alone(make_problem("b?"), False)])
    assert len(build(tmp_path / "strict", traces)) == 1
    rows = build(tmp_path / "lax", traces, require_tool=False)
    assert len(rows) == 2
    assert sum(HINT in decode_bytes(row.input_ids) for row in rows) == 1


def test_same_traces_same_bytes_and_two_passes(tmp_path: Path, as_traces: Any) -> None:
    problems = [make_problem(f"{number}?", "42") for number in range(8)]
    traces = as_traces([made for problem in problems for made in (alone(problem, False), hinted(problem))])
    HintRFT().build(traces, tmp_path / "a", run="runs/x")
    assert traces.reads == 2
    traces.rollouts.reverse()
    HintRFT().build(traces, tmp_path / "b", run="runs/x")
    for name in ("rows.jsonl", "manifest.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize(("prefer", "kept"), [("shortest", "0")])
def test_the_shortest_can_be_preferred(tmp_path: Path, as_traces: Any, prefer: str, kept: str) -> None:
    problem = make_problem()
    rollouts = [alone(problem, False), hinted(problem), hinted(problem, sample=1, code="print(40 + 2)  # longer")]
    (row,) = build(tmp_path / "rows", as_traces(rollouts), prefer=prefer)
    assert row.meta["trace"].endswith(f"/{kept}")


def with_demonstrations(rollout: Rollout) -> Rollout:
    """The same rollout as one that was shown worked problems first."""
    shown = "<system>Problem: 1 + 1? The answer is 2.</system>"
    rollout.tree.prompt = (Span(Source.PROMPT, shown + rollout.tree.prompt[0].text, encode_bytes(shown + rollout.tree.prompt[0].text)),)
    return rollout


def test_rows_have_the_prompt_without_demonstrations(tmp_path: Path, as_traces: Any) -> None:
    problem = make_problem()
    rollouts = [alone(problem, False), with_demonstrations(hinted(problem))]
    (plain,) = build(tmp_path / "plain", as_traces(rollouts))
    (full,) = build(tmp_path / "full", as_traces(rollouts), plain_prompt=False)
    assert plain.trained_ids == full.trained_ids
    assert decode_bytes(plain.input_ids).startswith(f"<user>{problem.prompt}</user>{HINT}")
    assert "The answer is 2." in decode_bytes(full.input_ids)
    assert plain.id != full.id


def test_forced_words_are_trained_only_when_asked(tmp_path: Path, as_traces: Any) -> None:
    problem = make_problem()
    rollout = hinted(problem)
    last = rollout.tree.nodes[-1]
    forced = Span(Source.FORCED, "The final answer is ", encode_bytes("The final answer is "))
    assert last.step is not None
    rollout.tree.nodes[-1] = last._replace(step=replace(last.step, spans=(forced, *last.step.spans)))
    traces = as_traces([alone(problem, False), rollout])
    (row,) = build(tmp_path / "rows", traces)
    (asked,) = build(tmp_path / "asked", traces, forced_loss=True)
    assert "The final answer is" not in decode_trainable(row, decode_bytes)
    assert "The final answer is The answer is 42." in decode_trainable(asked, decode_bytes)
    assert row.input_ids == asked.input_ids


def test_nothing_to_keep_is_told_apart_from_what_is_broken(tmp_path: Path, as_traces: Any) -> None:
    problem = make_problem()
    with pytest.raises(NothingKept, match="kept none of 1"):
        build(tmp_path / "rows", as_traces([alone(problem, False), hinted(problem, correct=False)]))
