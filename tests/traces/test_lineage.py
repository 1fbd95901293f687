import hashlib
import json

import pytest

from tirage.core.errors import DataError
from tirage.core.step import Source
from tirage.traces import TraceStore
from tirage.traces.lineage import Hashes, Status, Wanted, why


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _hash_traces(rollouts) -> str:
    return _sha("".join(sorted(rollout.key for rollout in rollouts)).encode())


HASHES = Hashes(weights=lambda folder: _sha((folder / "model.safetensors").read_bytes()), traces=_hash_traces)


def _row(rollout, nodes=(1, 2)):
    path = rollout.tree.trajectory(nodes[-1])
    labels = [token if source is Source.POLICY else -100 for token, source in zip(path.token_ids, path.token_sources, strict=True)]
    meta = {"trace": rollout.key, "run": "run", "problem": rollout.problem.id, "nodes": list(nodes), "recipe": "rft"}
    return {"id": f"row{rollout.sample}", "input_ids": list(path.token_ids), "labels": labels, "meta": meta}


def _checkpoint(folder, dataset, weights, start):
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(weights)
    lineage = {
        "v": 1,
        "checkpoint_sha256": _sha(weights),
        "dataset": {
            "path": str(dataset),
            "rows_sha256": _sha((dataset / "rows.jsonl").read_bytes()),
            "manifest_sha256": _sha((dataset / "manifest.json").read_bytes()),
        },
        "init_from": start,
        "job": {"epochs": 1},
    }
    (folder / "lineage.json").write_text(json.dumps(lineage))


@pytest.fixture
def chain(tmp_path, make_rollout):
    """base <- first <- second, both trained on the same dataset of a run with two stages."""
    with TraceStore(tmp_path / "run") as store:
        for sample in range(3):
            store.append(make_rollout(sample, stage="control", hinted=sample == 0))
        store.append(make_rollout(7, stage="other"))
        rollouts = list(store.read("control"))
    dataset = tmp_path / "run" / "dataset"
    dataset.mkdir()
    rows = b"".join(json.dumps(_row(rollout)).encode() + b"\n" for rollout in rollouts)
    (dataset / "rows.jsonl").write_bytes(rows)
    manifest = {
        "recipe": "rft",
        "version": 1,
        "config": {"stage": "control", "seed": 0},
        "rows_sha256": _sha(rows),
        "counts": [{"step": "read", "in": 3, "out": 3, "dropped": {}}],
        "traces": {"path": "run", "sha256": _hash_traces(rollouts), "n": 3},
        "tokenizer_hash": "feedbeef",
    }
    (dataset / "manifest.json").write_text(json.dumps(manifest))
    base = tmp_path / "base"
    base.mkdir()
    (base / "model.safetensors").write_bytes(b"base")
    _checkpoint(tmp_path / "first", dataset, b"first", {"model": "hf/" + str(base), "sha256": _sha(b"base")})
    _checkpoint(tmp_path / "second", dataset, b"second", {"model": "../first", "sha256": _sha(b"first")})
    return tmp_path


def _edit(path, change):
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def test_a_sound_chain_is_followed_to_its_model_calls(chain):
    second, first = why(chain / "second", HASHES)
    for generation in (second, first):
        assert generation.broken == []
        assert [link.status for link in generation.links] == [Status.OK] * 6
        assert [link.kind for link in generation.links] == ["checkpoint", "manifest", "rows", "traces", "row", "start"]
    assert (first.recipe, first.rows, len(first.traces), len(first.problems)) == ("rft/1", 3, 3, 1)
    assert (first.stages, first.models, first.model_calls) == ({"control": 3}, {"toy@abc123": 3}, 6)
    call = first.calls[0]
    assert (call.row, call.node, call.hint, call.finish, call.tokens_out) == ("row0", 1, "python-1", "call", 24)
    assert call.text == "```python\nprint(6*7)\n```"
    assert call.correct is True
    assert first.job == {"epochs": 1}


def test_what_is_detailed_can_be_chosen(chain, make_rollout):
    def rows_of(wanted):
        return [call.row for call in why(chain / "first", HASHES, wanted)[0].calls]

    assert rows_of(Wanted(limit=1)) == ["row0", "row0"]
    assert rows_of(Wanted(limit=0)) == []
    assert rows_of(Wanted(row="row2")) == ["row2", "row2"]
    assert rows_of(Wanted(trace=make_rollout(1, stage="control").key)) == ["row1", "row1"]


def _break_weights(chain):
    (chain / "first" / "model.safetensors").write_bytes(b"changed")


def _break_manifest(chain):
    _edit(chain / "run/dataset/manifest.json", lambda data: data.update(version=2))


def _break_rows(chain):
    with (chain / "run/dataset/rows.jsonl").open("ab") as file:
        file.write(b"\n" * 0 + json.dumps({"id": "x", "meta": {"trace": "control/none/0"}}).encode() + b"\n")


def _break_traces(chain):
    path = chain / "run/traces.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[1:]))


def _break_start(chain):
    (chain / "base/model.safetensors").write_bytes(b"other base")


def _lose_run(chain):
    (chain / "run/traces.jsonl").unlink()


def _lose_rows(chain):
    (chain / "run/dataset/rows.jsonl").unlink()


def _lose_dataset(chain):
    (chain / "run/dataset").rename(chain / "elsewhere")


@pytest.mark.parametrize(
    ("damage", "kinds", "detail"),
    [
        (_break_weights, ["checkpoint"], "written down was"),
        (_break_manifest, ["manifest"], "written down was"),
        (_break_rows, ["rows", "row", "row"], "no rollout 'control/none/0'"),
        (_break_traces, ["traces", "row", "row"], "3 rollouts were read, 2 are left"),
        (_break_start, ["start"], "written down was"),
        (_lose_run, ["traces"], "there is no run 'run'"),
        (_lose_rows, ["rows"], "it is gone"),
        (_lose_dataset, ["manifest"], "it is gone"),
    ],
)
def test_the_broken_link_is_named(chain, damage, kinds, detail):
    damage(chain)
    generation = why(chain / "first", HASHES)[0]
    assert [link.kind for link in generation.broken] == kinds
    assert any(detail in link.detail for link in generation.broken)


def test_a_row_with_tokens_that_its_trace_does_not_hold_is_found(chain):
    path = chain / "run/dataset/rows.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[1]["labels"][-1] += 1
    rows[2]["meta"]["nodes"] = [1, 9]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    details = [link.detail for link in why(chain / "first", HASHES)[0].broken]
    assert any("row 'row1' trains tokens that trace 'control/" in detail for detail in details)
    assert any("has no step 9; it has 3" in detail for detail in details)
    assert any("2 of 3 rows have no trace that holds their tokens" in detail for detail in details)


def test_a_dataset_that_was_rebuilt_since_is_found(chain):
    _edit(chain / "first/lineage.json", lambda data: data["dataset"].update(rows_sha256="0" * 64))
    broken = why(chain / "first", HASHES)[0].broken
    assert len(broken) == 1
    assert "the dataset was rebuilt" in broken[0].detail


def test_a_run_that_grew_is_checked_row_by_row(chain, make_rollout):
    with TraceStore(chain / "run") as store:
        store.append(make_rollout(50, stage="control"))
    generation = why(chain / "first", HASHES)[0]
    assert generation.broken == []
    (link,) = [link for link in generation.links if link.status is Status.UNCHECKED]
    assert (link.kind, link.detail) == ("traces", "the run has grown from 3 to 4 rollouts since; rows are checked one by one")


def test_hashes_that_were_never_written_and_models_from_elsewhere_are_unchecked(chain):
    def forget(data):
        data["checkpoint_sha256"] = ""
        data["init_from"] = {"model": "org/model-7b", "sha256": "f" * 64}

    _edit(chain / "first/lineage.json", forget)
    generation = why(chain / "first", HASHES)[0]
    assert [link.kind for link in generation.links if link.status is Status.UNCHECKED] == ["checkpoint", "start"]
    assert generation.broken == []


def test_everything_moved_together_still_holds(chain):
    moved = chain.with_name(chain.name + "-moved")
    _edit(chain / "first/lineage.json", lambda data: data["dataset"].update(path="../run/dataset"))
    chain.rename(moved)
    generation = why(moved / "first", HASHES)[0]
    assert [link.kind for link in generation.links if link.status is not Status.OK] == ["start"]
    moved.rename(chain)


def test_a_circle_of_checkpoints_ends(chain):
    _edit(chain / "first/lineage.json", lambda data: data.update(init_from={"model": "../second"}))
    assert len(why(chain / "second", HASHES)) == 2


def test_what_is_no_checkpoint_or_no_lineage_is_refused(chain):
    with pytest.raises(DataError, match=r"cannot read .*base/lineage\.json: No such file.*; name the folder of a checkpoint"):
        why(chain / "base", HASHES)
    (chain / "base/lineage.json").write_text("{}")
    with pytest.raises(DataError, match=r"base/lineage\.json: dataset: Field required"):
        why(chain / "base", HASHES)
    (chain / "run/dataset/rows.jsonl").write_text('{"id": 3}\n')
    with pytest.raises(DataError, match=r"rows\.jsonl:1: id: .*string.*; build the dataset again"):
        why(chain / "first", HASHES)


def test_progress_is_told_in_bytes(chain):
    seen = []
    why(chain / "first", HASHES, progress=lambda done, total: seen.append((done, total)))
    assert len(seen) == 3
    assert seen[-1][0] == seen[-1][1] == (chain / "run/dataset/rows.jsonl").stat().st_size
