"""Recipes of preference pairs: what a subclass gets to see, what becomes of its pairs, and what is refused."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tirage.core.errors import DataError, TrainingError
from tirage.core.problem import Problem
from tirage.core.rollout import Rollout
from tirage.testing.builders import END_OF_TURN, Turn, encode_bytes, make_problem, make_rollout
from tirage.training.dataset import Dataset
from tirage.training.filters import HeldOut
from tirage.training.job import _identity
from tirage.training.preference import Attempt, Pair, PairConfig, PairRecipe
from tirage.training.rows import IGNORED
from tirage.training.spec import SFTSpec


class RightOverWrong(PairRecipe):
    name = "right-over-wrong"

    def pairs(self, problem: Problem, attempts: Sequence[Attempt]) -> Iterator[Pair]:
        right = [item for item in attempts if item.correct]
        wrong = [item for item in attempts if not item.correct]
        for chosen in right:
            for rejected in wrong:
                yield Pair(chosen, rejected, margin=0.5)


def attempts(prompt: str = "6 times 7?", *, right: int = 1, wrong: int = 2) -> list[Rollout]:
    problem = make_problem(prompt, "42")
    good = [make_rollout(Turn(text=f"{place}: 42."), problem=problem, sample=place) for place in range(right)]
    bad = [
        make_rollout(Turn(text=f"{place}: 41."), problem=problem, sample=place, correct=False, answer="41")
        for place in range(right, right + wrong)
    ]
    return good + bad


def test_a_row_holds_prompt_and_both_sides_token_by_token(tmp_path: Path, as_traces: Any) -> None:
    manifest = RightOverWrong().build(as_traces(attempts(wrong=1)), tmp_path / "rows", run="runs/r")
    (row,) = Dataset(tmp_path / "rows").pairs()
    assert row.prompt_ids == encode_bytes("<user>6 times 7?</user>")
    assert row.chosen_ids == row.chosen_labels == (*encode_bytes("0: 42."), END_OF_TURN)
    assert row.rejected_ids == (*encode_bytes("1: 41."), END_OF_TURN)
    assert (row.margin, row.q_chosen) == (0.5, None)
    key = attempts()[0].problem.id
    assert (row.meta["trace"], row.meta["nodes"]) == (f"sample/{key}/0", [1])
    assert row.meta["rejected"] == {"trace": f"sample/{key}/1", "nodes": [1]}
    assert (manifest.kind, manifest.rows, manifest.tokens, manifest.tokens_trained) == ("pairs", 1, 23 + 7 + 7, 14)
    assert Dataset(tmp_path / "rows").check() == []


def test_what_tools_wrote_is_not_the_policys_own(tmp_path: Path, as_traces: Any) -> None:
    problem = make_problem()
    turns = (Turn(text="So: ", code="print(42)", output="SECRET"), Turn(text="42."))
    rollouts = [make_rollout(*turns, problem=problem), make_rollout(problem=problem, sample=1, correct=False, answer="41")]
    RightOverWrong().build(as_traces(rollouts), tmp_path / "rows")
    (row,) = Dataset(tmp_path / "rows").pairs()
    own = bytes(label for label in row.chosen_labels if 0 <= label < 256).decode()
    assert own == "So: ```python\nprint(42)\n```\n42."
    assert b"SECRET" in bytes(token for token in row.chosen_ids if token < 256)
    assert IGNORED in row.chosen_labels


def test_counts_add_up_and_say_why(tmp_path: Path, as_traces: Any) -> None:
    rollouts = [*attempts(right=2, wrong=3), make_rollout(problem=make_problem("?"), correct=None, answer=None)]
    twin = make_rollout(Turn(text="1: 42."), problem=rollouts[0].problem, sample=9, correct=False)
    manifest = RightOverWrong(PairConfig(per_problem=3)).build(as_traces([*rollouts, twin]), tmp_path / "rows")
    dropped = {count.step: (count.entered, count.left, count.dropped, count.unit) for count in manifest.counts}
    assert dropped["grade"] == (7, 6, {"ungraded": 1}, "trajectories")
    assert dropped["pair"] == (8, 7, {"same-response": 1}, "pairs")
    assert dropped["cap"] == (7, 3, {"over-cap": 4}, "pairs")
    assert Dataset(tmp_path / "rows").check() == []


def test_order_of_traces_leaves_no_mark_and_heldout_stays_out(tmp_path: Path, as_traces: Any) -> None:
    rollouts = attempts() + attempts("7 times 7?")
    RightOverWrong().build(as_traces(rollouts), tmp_path / "a")
    RightOverWrong().build(as_traces(rollouts[::-1]), tmp_path / "b")
    assert (tmp_path / "a" / "rows.jsonl").read_bytes() == (tmp_path / "b" / "rows.jsonl").read_bytes()
    assert (tmp_path / "a" / "manifest.json").read_bytes() == (tmp_path / "b" / "manifest.json").read_bytes()
    manifest = RightOverWrong().build(as_traces(rollouts), tmp_path / "c", heldout=HeldOut(["7 times 7?"]))
    assert {row.meta["problem"] for row in Dataset(tmp_path / "c").pairs()} == {rollouts[0].problem.id}
    assert manifest.heldout is not None


def test_attempts_with_other_prompts_are_no_pair(tmp_path: Path, as_traces: Any) -> None:
    first, second = attempts(wrong=1)
    second.tree.prompt = make_rollout(problem=make_problem("Other words")).tree.prompt
    with pytest.raises(TrainingError, match=r"made no pair of 2 trajectories \(pair: other-prompt 1\)"):
        RightOverWrong().build(as_traces([first, second]), tmp_path / "rows")
    assert not (tmp_path / "rows").exists()


def test_what_is_no_pair_of_the_attempts_is_refused(tmp_path: Path, as_traces: Any) -> None:
    class Tuples(RightOverWrong):
        def pairs(self, problem: Problem, attempts: Sequence[Attempt]) -> Any:
            return [(attempts[0], attempts[1])]

    with pytest.raises(TrainingError, match=r"give Pair\(chosen, rejected\)"):
        Tuples().build(as_traces(attempts()), tmp_path / "rows")


def test_traces_without_ids_are_refused(tmp_path: Path, as_traces: Any) -> None:
    with pytest.raises(TrainingError, match="no tokenizer hash"):
        RightOverWrong().build(as_traces([make_rollout(ids=False)]), tmp_path / "rows")


def test_pairs_are_not_trained_or_read_as_token_rows(tmp_path: Path, as_traces: Any) -> None:
    RightOverWrong().build(as_traces(attempts()), tmp_path / "rows")
    with pytest.raises(TrainingError, match="holds rows of kind 'pairs', not 'sft'"):
        Dataset(tmp_path / "rows").rows()
    with pytest.raises(TrainingError, match="holds rows of kind 'pairs', not 'sft'"):
        _identity(SFTSpec(dataset=tmp_path / "rows", init_from=tmp_path))


def test_a_broken_row_of_pairs_is_found(tmp_path: Path, as_traces: Any) -> None:
    RightOverWrong().build(as_traces(attempts(wrong=1)), tmp_path / "rows")
    path = tmp_path / "rows" / "rows.jsonl"
    row = json.loads(path.read_text())
    path.write_text(json.dumps({**row, "chosen_labels": [7, *row["chosen_labels"][1:]]}) + "\n")
    assert any("a label of the chosen side differs" in fault for fault in Dataset(tmp_path / "rows").check())
    path.write_text(json.dumps({**row, "rejected_ids": []}) + "\n")
    with pytest.raises(DataError, match="0 rejected ids but 7 labels"):
        list(Dataset(tmp_path / "rows").pairs())
