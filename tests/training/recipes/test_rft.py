import random
from pathlib import Path
from typing import Any

import pytest

from tirage.core.errors import ConfigError, TrainingError
from tirage.core.message import ObservationStatus
from tirage.core.rollout import Rollout
from tirage.core.step import Finish, Source, Span, Step
from tirage.core.trajectory import StopReason
from tirage.core.verdict import Verdict
from tirage.testing.builders import Turn, encode_bytes, make_problem, make_rollout
from tirage.training.dataset import Dataset
from tirage.training.filters import HeldOut
from tirage.training.recipes import RFT, RFTConfig, make_recipe

BY_PRODUCT = "x = 6*7\nprint(x)"
BY_SUM = "print(sum(7 for _ in range(6)))"


def solve(sample: int, code: str, text: str, *, correct: bool = True, **more: Any) -> Rollout:
    return make_rollout(
        Turn(text=text, code=code, output="42"), Turn(text="42."), stage="train-unhinted", sample=sample, correct=correct, **more
    )


def group() -> list[Rollout]:
    """Six correct trajectories in two classes of operations, and four wrong ones."""
    right = [
        solve(0, BY_PRODUCT, "I multiply. "),
        solve(1, "y = 6 * 7  # product\nprint(y)", "Let me think about this with some care and many words. "),
        solve(2, "total = 6*7\nprint(total)", "Product it is: "),
        solve(3, BY_SUM, "Adding up seven, again and again, until all six are there. "),
        solve(4, BY_SUM, "Sum. "),
        solve(5, BY_SUM, "I add. "),
    ]
    return right + [solve(sample, BY_PRODUCT, "I guess. ", correct=False) for sample in range(6, 10)]


def test_one_row_per_way_of_solving(tmp_path: Path, as_traces: Any) -> None:
    manifest = RFT().build(as_traces(group()), tmp_path / "rows")
    rows = list(Dataset(tmp_path / "rows").rows())
    assert manifest.rows == len(rows) == 2
    # The shortest first, then of the other class the one farthest from it: the longest here.
    assert {row.meta["trace"].rpartition("/")[2] for row in rows} == {"0", "3"}
    dropped = {count.step: count.dropped for count in manifest.counts}
    assert dropped["score"] == {"incorrect": 4}
    assert dropped["dedupe"] == {"same-signature": 4}


def test_order_of_traces_leaves_no_mark(tmp_path: Path, as_traces: Any) -> None:
    problems = [make_problem(f"{number} times 7?", "42") for number in range(5)]
    rollouts = [
        make_rollout(
            Turn(text=f"{word} ", code=f"print({sample % 3})", output="42"), Turn(text="42"), problem=problem, sample=sample, stage="s"
        )
        for problem in problems
        for sample, word in enumerate(("one", "two", "three", "four", "five", "six"))
    ]
    recipe = RFT(RFTConfig(stage="s", per_problem=2))
    recipe.build(as_traces(rollouts), tmp_path / "a", run="r")
    random.Random(0).shuffle(rollouts)
    recipe.build(as_traces(rollouts), tmp_path / "b", run="r")
    for name in ("rows.jsonl", "manifest.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert Dataset(tmp_path / "a").manifest.rows == 10


def test_the_seed_changes_what_a_cap_keeps(tmp_path: Path, as_traces: Any) -> None:
    rollouts = [solve(sample, f"print({sample}+40)", "I compute. ") for sample in range(12)]
    kept = []
    for seed in range(4):
        RFT(RFTConfig(per_problem=1, seed=seed)).build(as_traces(rollouts), tmp_path / str(seed))
        kept.append(next(Dataset(tmp_path / str(seed)).rows()).id)
    assert len(set(kept)) > 1


def test_counts_add_up_over_every_reason(tmp_path: Path, as_traces: Any) -> None:
    heldout = make_problem("secret?", "1")
    rollouts = [
        *group(),
        solve(20, BY_PRODUCT, "", problem=heldout),
        solve(21, BY_PRODUCT, "la la " * 20),
        solve(22, "1/0", "x").__class__(
            **_fields(make_rollout(Turn(code="1/0", status=ObservationStatus.ERROR), Turn(text="42"), sample=22))
        ),
        make_rollout(Turn(text="42"), sample=23, stage="train-unhinted", correct=None),
        solve(24, BY_PRODUCT, "", stop=StopReason.LENGTH),
        solve(25, BY_PRODUCT, "", stop=StopReason.CALLS),
        make_rollout(Turn(text="It is 42."), sample=26, stage="train-unhinted"),
        make_rollout(Turn(text="other stage"), sample=27, stage="elsewhere"),
    ]
    recipe = RFT(RFTConfig(require_tool=True, per_problem=1))
    manifest = recipe.build(as_traces(rollouts), tmp_path / "rows", heldout=HeldOut(["Secret?"]))
    dropped = {count.step: count.dropped for count in manifest.counts}
    assert dropped["decontaminate"] == {"held-out": 1}
    assert dropped["score"] == {"failed-execution": 1, "incorrect": 4, "length": 1, "repetition": 1, "unfinished": 1, "ungraded": 1}
    assert dropped["filter"] == {"no-tool": 1}
    assert dropped["cap"] == {"over-cap": 1}
    assert manifest.heldout is not None
    assert manifest.heldout["n"] == 1
    assert manifest.traces.n == len(rollouts) - 1
    assert Dataset(tmp_path / "rows").check() == []


def _fields(rollout: Rollout) -> dict[str, Any]:
    names = Rollout.__dataclass_fields__
    return {name: getattr(rollout, name) for name in names} | {"stage": "train-unhinted"}


def test_every_end_of_a_tree_competes(tmp_path: Path, as_traces: Any) -> None:
    rollout = make_rollout(Turn(text="6*7=42"), stage="train-unhinted")
    tree = rollout.tree
    for text, right in (("7+7+7+7+7+7=42", True), ("6+7=13", False)):
        step = Step(spans=(Span(Source.POLICY, text, encode_bytes(text)),), finish=Finish.STOP)
        node = tree.add(0, step, stop=StopReason.ANSWERED)
        rollout.verdicts[node.index] = Verdict(correct=right, verifier="made-up/1", answer="42" if right else "13")  # type: ignore[index]
    assert RFT().build(as_traces([rollout]), tmp_path / "all").rows == 2
    assert RFT(RFTConfig(paths="chosen")).build(as_traces([rollout]), tmp_path / "chosen").rows == 1


def test_near_duplicates_go_also_when_their_operations_differ(tmp_path: Path, as_traces: Any) -> None:
    words = " ".join(f"word{number}" for number in range(60))
    rollouts = [
        make_rollout(Turn(text=f"{words} {last}=42"), sample=sample, stage="train-unhinted") for sample, last in enumerate(("6*7", "7*6"))
    ]
    manifest = RFT().build(as_traces(rollouts), tmp_path / "rows")
    assert {count.step: count.dropped for count in manifest.counts}["near-duplicates"] == {"near-duplicate": 1}


def test_nothing_left_is_an_error_that_says_why(tmp_path: Path, as_traces: Any) -> None:
    with pytest.raises(TrainingError, match=r"rft kept none of 1 trajectories .*score: incorrect 1"):
        RFT().build(as_traces([solve(0, BY_PRODUCT, "", correct=False)]), tmp_path / "rows")
    with pytest.raises(TrainingError, match="no traces in the stage"):
        RFT().build(as_traces([]), tmp_path / "rows")
    assert list(tmp_path.iterdir()) == []


def test_text_only_traces_are_refused(tmp_path: Path, as_traces: Any) -> None:
    with pytest.raises(TrainingError, match=r"no tokenizer hash.*back end that returns ids"):
        RFT().build(as_traces([make_rollout(stage="train-unhinted", ids=False)]), tmp_path / "rows")
    assert list(tmp_path.iterdir()) == []


def test_settings_are_strict() -> None:
    with pytest.raises(ConfigError, match=r"recipe rft: hint_los: .*settings: .*hint_loss"):
        make_recipe("rft", {"hint_los": True})
    with pytest.raises(
        ConfigError, match=r"recipe 'raft' is not known \(did you mean 'rft'\?\); known: critique, hint-rft, rft, or module:attribute"
    ):
        make_recipe("raft")
