import json
import sys
from dataclasses import replace

import pytest

from tests.traces.rollouts import build
from tirage.core.errors import ConfigError, DataError, MissingExtra
from tirage.core.step import Source, Span
from tirage.runtime.export import Format, export
from tirage.traces import TraceStore


@pytest.fixture
def rollouts():
    return [build(0, hinted=True), build(1, correct=False), build(2, ids=False), build(3, empty=True)]


def _lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("form", [Format.OPENAI, Format.SHAREGPT])
def test_chat_forms(rollouts, tmp_path, form):
    done = export(iter(rollouts), form, tmp_path / "out.jsonl")
    assert (done.rows, done.skipped) == (3, {"nothing was produced": 1})
    rows = _lines(tmp_path / "out.jsonl")
    assert [row["meta"]["trace"] for row in rows] == [rollout.key for rollout in rollouts[:3]]
    assert [row["meta"]["correct"] for row in rows] == [True, False, True]
    turns = rows[0]["messages"] if form is Format.OPENAI else rows[0]["conversations"]
    assert len(turns) == 2


def test_token_rows_hold_the_exact_ids(rollouts, tmp_path):
    done = export(iter(rollouts), Format.TRL, tmp_path / "out.jsonl")
    assert (done.rows, done.skipped) == (2, {"no token ids": 1, "nothing was produced": 1})
    first = _lines(tmp_path / "out.jsonl")[0]
    assert tuple(first["input_ids"]) == rollouts[0].trajectory.token_ids
    assert {label for label in first["labels"]} & {-100}
    assert sum(label >= 0 for label in first["labels"]) == len("```python\nprint(6*7)\n```The answer is 42.")


def test_tokens_carry_loss_where_the_policy_wrote(rollouts, tmp_path):
    from pyarrow import parquet

    export(iter(rollouts[:1]), Format.PARQUET, tmp_path / "out.parquet")
    (row,) = parquet.read_table(tmp_path / "out.parquet").to_pylist()
    path = rollouts[0].trajectory
    assert len(row["labels"]) == len(row["logprobs"]) == len(row["input_ids"])
    for token, label, logprob, source in zip(row["input_ids"], row["labels"], row["logprobs"], path.token_sources, strict=True):
        assert label == (token if source is Source.POLICY else -100)
        assert logprob == (-0.5 if source is Source.POLICY else None)
    assert bytes(label for label in row["labels"] if label >= 0).decode() == "```python\nprint(6*7)\n```The answer is 42."


def test_hint_loss_adds_exactly_the_hint(rollouts, tmp_path):
    labels = []
    for hint_loss in (False, True):
        export(iter(rollouts[:1]), Format.TRL, tmp_path / "out.jsonl", hint_loss=hint_loss, overwrite=True)
        labels.append(_lines(tmp_path / "out.jsonl")[0]["labels"])
    extra = bytes(with_hint for plain, with_hint in zip(*labels, strict=True) if plain != with_hint).decode()
    assert extra == "Let me use Python. "


def test_every_leaf(rollouts, tmp_path):
    done = export(iter(rollouts), Format.OPENAI, tmp_path / "out.jsonl", leaves=True)
    assert done.rows == 6
    rows = _lines(tmp_path / "out.jsonl")
    assert [(row["meta"]["node"], row["meta"]["correct"]) for row in rows[:2]] == [(2, True), (3, False)]


def test_parquet_columns(rollouts, tmp_path):
    from pyarrow import parquet

    done = export(iter(rollouts), Format.PARQUET, tmp_path / "out.parquet")
    table = parquet.read_table(tmp_path / "out.parquet")
    assert done.rows == table.num_rows == 3
    first, _, third = table.to_pylist()
    path = rollouts[0].trajectory
    assert tuple(first["input_ids"]) == path.token_ids
    assert first["logprobs"].count(None) == first["labels"].count(-100)
    assert [(span["source"], span["text"]) for span in first["spans"]] == [(span.source.value, span.text) for span in path.spans]
    assert [span["node"] for span in first["spans"]] == [0, 1, 1, 1, 1, 1, 2]
    assert first["messages"][1] == {"role": "assistant", "content": path.response, "tool_calls": None, "tool_call_id": None}
    assert (first["family"], first["question"], first["reference"], first["stop"]) == ("product", "What is 6 * 7?", "42", "answered")
    assert third["input_ids"] is None


def test_a_dataset_folder_loads(rollouts, tmp_path):
    datasets = pytest.importorskip("datasets", reason="pip install 'tirage[train]'")
    done = export(iter(rollouts), Format.HF, tmp_path / "set")
    loaded = datasets.load_from_disk(str(tmp_path / "set"))
    assert done.rows == len(loaded) == 3
    assert tuple(loaded[0]["input_ids"]) == rollouts[0].trajectory.token_ids
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set"]


def test_without_datasets_the_extra_is_named(rollouts, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtra, match=r"tirage\[train\]"):
        export(iter(rollouts), Format.HF, tmp_path / "set")
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_only_replaced_when_asked(rollouts, tmp_path):
    out = tmp_path / "out.jsonl"
    out.write_text("precious")
    with pytest.raises(ConfigError, match=r"out\.jsonl exists.*--force"):
        export(iter(rollouts), Format.OPENAI, out)
    assert out.read_text() == "precious"
    assert export(iter(rollouts), Format.OPENAI, out, overwrite=True).rows == 3
    assert len(_lines(out)) == 3


def test_a_dataset_folder_is_replaced_when_asked(rollouts, tmp_path):
    pytest.importorskip("datasets", reason="pip install 'tirage[train]'")
    out = tmp_path / "set"
    out.mkdir()
    (out / "old").write_text("x")
    export(iter(rollouts), Format.HF, out, overwrite=True)
    assert not (out / "old").exists()


def test_a_missing_folder_is_named(rollouts, tmp_path):
    with pytest.raises(ConfigError, match="there is no folder"):
        export(iter(rollouts), Format.OPENAI, tmp_path / "a" / "b.jsonl")


def test_a_failure_leaves_nothing_behind(rollouts, tmp_path):
    def failing():
        yield rollouts[0]
        raise DataError("byte 7")

    for form in Format:
        with pytest.raises(DataError, match="byte 7"):
            export(failing(), form, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_rollouts_are_taken_one_by_one(tmp_path):
    store = TraceStore(tmp_path / "run")
    for sample in range(1200):
        store.append(build(sample, ids=False))
    store.close()
    assert export(store.read(), Format.PARQUET, tmp_path / "out.parquet").rows == 1200


def test_half_a_surrogate_pair_is_still_json(tmp_path):
    rollout = build(ids=False)
    node = rollout.tree.nodes[2]
    rollout.tree.nodes[2] = node._replace(step=replace(node.step, spans=(Span(Source.POLICY, "x\udc80y"),)))
    export([rollout], Format.OPENAI, tmp_path / "out.jsonl")
    assert _lines(tmp_path / "out.jsonl")[0]["messages"][1]["content"].endswith("x\udc80y")
    assert export([rollout], Format.PARQUET, tmp_path / "out.parquet").rows == 1
