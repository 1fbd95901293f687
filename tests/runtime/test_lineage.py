import hashlib
import json

import pytest

from tests.traces.rollouts import build
from tirage.core.errors import DataError
from tirage.runtime.lineage import Status, Wanted, why
from tirage.testing.builders import Turn, make_rollout
from tirage.traces import TraceStore
from tirage.training.dataset import MANIFEST, Dataset, RowWriter, encode_row
from tirage.training.lineage import DatasetLineage, InitLineage, Lineage, weights_sha256, write_lineage
from tirage.training.manifest import Manifest, StepCount, TraceDigest, TraceSnapshot
from tirage.training.preference import Pair, PairRecipe
from tirage.training.rows import TokenRow, mask_spans, trained_sources


def _row(rollout, nodes=(1, 2)):
    ids, labels = mask_spans(rollout.tree.trajectory(nodes[-1]).spans, trained_sources(hint_loss=False))
    meta = {"trace": rollout.key, "run": "run", "problem": rollout.problem.id, "nodes": list(nodes), "recipe": "rft"}
    return TokenRow(id=f"row{rollout.sample}", input_ids=ids, labels=labels, meta=meta)


def _dataset(folder, rollouts):
    """One row per rollout, in their order."""
    folder.mkdir()
    digest = TraceDigest()
    with RowWriter(folder) as writer:
        for rollout in rollouts:
            digest.add(rollout)
            row = _row(rollout)
            writer.write(encode_row(row), tokens=len(row.input_ids), trained=len(row.trained_ids))
    count = len(rollouts)
    manifest = Manifest(
        recipe="rft",
        version=1,
        config={"stage": "control", "seed": 0},
        config_hash="made-up",
        rows=count,
        rows_sha256=writer.sha256,
        tokens=writer.tokens,
        tokens_trained=writer.tokens_trained,
        counts=[StepCount(step="read", entered=count, left=count)],
        traces=TraceSnapshot(path="run", sha256=digest.sha256, n=digest.n),
        tokenizer_hash="feedbeef",
    )
    (folder / MANIFEST).write_text(manifest.to_json())


def _checkpoint(folder, dataset, weights, start, start_name):
    """A checkpoint trained from the weights in the folder `start`, which its lineage calls `start_name`."""
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(weights)
    rows = Dataset(dataset)
    hashes = DatasetLineage(path=str(dataset), rows_sha256=rows.manifest.rows_sha256, manifest_sha256=rows.manifest_sha256)
    init = InitLineage(model=start_name, sha256=weights_sha256(start))
    write_lineage(folder, Lineage(checkpoint_sha256=weights_sha256(folder), dataset=hashes, init_from=init, job={"epochs": 1}))


def _base(folder):
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"base")
    return folder


@pytest.fixture
def chain(tmp_path):
    """base <- first <- second, both trained on the same dataset of a run with two stages."""
    with TraceStore(tmp_path / "run") as store:
        for sample in range(3):
            store.append(build(sample, stage="control", hinted=sample == 0))
        store.append(build(7, stage="other"))
        rollouts = list(store.read("control"))
    dataset = tmp_path / "run" / "dataset"
    _dataset(dataset, rollouts)
    base = _base(tmp_path / "base")
    _checkpoint(tmp_path / "first", dataset, b"first", base, f"hf/{base}")
    _checkpoint(tmp_path / "second", dataset, b"second", tmp_path / "first", "../first")
    return tmp_path


def _edit(path, change):
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def test_a_sound_chain_is_followed_to_its_model_calls(chain):
    second, first = why(chain / "second")
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


def test_what_is_detailed_can_be_chosen(chain):
    def rows_of(wanted):
        return [call.row for call in why(chain / "first", wanted)[0].calls]

    assert rows_of(Wanted(limit=1)) == ["row0", "row0"]
    assert rows_of(Wanted(limit=0)) == []
    assert rows_of(Wanted(row="row2")) == ["row2", "row2"]
    assert rows_of(Wanted(trace=build(1, stage="control").key)) == ["row1", "row1"]


def _break_weights(chain):
    (chain / "first" / "model.safetensors").write_bytes(b"changed")


def _break_manifest(chain):
    _edit(chain / "run/dataset/manifest.json", lambda data: data.update(version=2))


def _break_rows(chain):
    with (chain / "run/dataset/rows.jsonl").open("ab") as file:
        file.write(encode_row(TokenRow(id="x", input_ids=(1,), labels=(1,), meta={"trace": "control/none/0", "nodes": [1]})))


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
    generation = why(chain / "first")[0]
    assert [link.kind for link in generation.broken] == kinds
    assert any(detail in link.detail for link in generation.broken)


def test_a_row_with_tokens_that_its_trace_does_not_hold_is_found(chain):
    path = chain / "run/dataset/rows.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[1]["labels"][-1] += 1
    rows[2]["meta"]["nodes"] = [1, 9]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    details = [link.detail for link in why(chain / "first")[0].broken]
    assert any("row 'row1' trains tokens that trace 'control/" in detail for detail in details)
    assert any("has no step 9; it has 3" in detail for detail in details)
    assert any("2 of 3 rows have no trace that holds their tokens" in detail for detail in details)


def test_a_dataset_that_was_rebuilt_since_is_found(chain):
    _edit(chain / "first/lineage.json", lambda data: data["dataset"].update(rows_sha256="0" * 64))
    broken = why(chain / "first")[0].broken
    assert len(broken) == 1
    assert "the dataset was rebuilt" in broken[0].detail


def test_a_run_that_grew_is_checked_row_by_row(chain):
    with TraceStore(chain / "run") as store:
        store.append(build(50, stage="control"))
    generation = why(chain / "first")[0]
    assert generation.broken == []
    (link,) = [link for link in generation.links if link.status is Status.UNCHECKED]
    assert (link.kind, link.detail) == ("traces", "the run has grown from 3 to 4 rollouts since; rows are checked one by one")


def test_hashes_that_were_never_written_and_models_from_elsewhere_are_unchecked(chain):
    def forget(data):
        data["checkpoint_sha256"] = ""
        data["init_from"] = {"model": "org/model-7b", "sha256": "f" * 64}

    _edit(chain / "first/lineage.json", forget)
    generation = why(chain / "first")[0]
    assert [link.kind for link in generation.links if link.status is Status.UNCHECKED] == ["checkpoint", "start"]
    assert generation.broken == []


def test_everything_moved_together_still_holds(chain):
    moved = chain.with_name(chain.name + "-moved")
    _edit(chain / "first/lineage.json", lambda data: data["dataset"].update(path="../run/dataset"))
    chain.rename(moved)
    generation = why(moved / "first")[0]
    assert [link.kind for link in generation.links if link.status is not Status.OK] == ["start"]
    moved.rename(chain)


def test_a_circle_of_checkpoints_ends(chain):
    _edit(chain / "first/lineage.json", lambda data: data.update(init_from={"model": "../second", "sha256": ""}))
    assert len(why(chain / "second")) == 2


def test_what_is_no_checkpoint_or_no_lineage_is_refused(chain):
    with pytest.raises(DataError, match=r"there is no .*base/lineage\.json; name the folder of a checkpoint"):
        why(chain / "base")
    (chain / "base/lineage.json").write_text("{}")
    with pytest.raises(DataError, match=r"base/lineage\.json is not a lineage record: checkpoint_sha256: Field required; name"):
        why(chain / "base")
    (chain / "run/dataset/rows.jsonl").write_text('{"id": 3}\n')
    with pytest.raises(DataError, match=r"rows\.jsonl:1: not a training row \(KeyError: 'input_ids'\); rebuild the dataset"):
        why(chain / "first")
    (chain / "run/dataset/rows.jsonl").write_bytes(encode_row(TokenRow(id="x", input_ids=(1,), labels=(1,), meta={"trace": "t"})))
    with pytest.raises(DataError, match=r"rows\.jsonl: row 'x' does not name its trace and nodes \('nodes'\); build the dataset again"):
        why(chain / "first")
    _edit(chain / "run/dataset/manifest.json", lambda data: data.pop("traces"))
    with pytest.raises(DataError, match=r"manifest\.json: traces: Field required; rebuild the dataset"):
        why(chain / "first")


def test_progress_counts_rows(chain):
    seen = []
    why(chain / "first", progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


class RightOverWrong(PairRecipe):
    name = "right-over-wrong"

    def pairs(self, problem, attempts):
        return [Pair(good, bad) for good in attempts for bad in attempts if good.correct and not bad.correct]


@pytest.fixture
def pairs(tmp_path):
    """A checkpoint trained on one pair, whose sides come from two traces."""
    with TraceStore(tmp_path / "run") as store:
        store.append(make_rollout(Turn(text="It is 42."), sample=0))
        store.append(make_rollout(Turn(text="It is 41."), sample=1, correct=False, answer="41"))
        RightOverWrong().build(store, tmp_path / "run/dataset", run="run")
    _checkpoint(tmp_path / "tuned", tmp_path / "run/dataset", b"tuned", _base(tmp_path / "base"), "../base")
    return tmp_path


def test_both_sides_of_a_pair_are_followed(pairs):
    (tuned,) = why(pairs / "tuned")
    assert tuned.broken == []
    assert (tuned.rows, len(tuned.traces), tuned.model_calls) == (1, 2, 2)
    assert [(call.text, call.correct) for call in tuned.calls] == [("It is 42.", True), ("It is 41.", False)]


def test_a_rejected_side_that_its_trace_does_not_hold_is_found(pairs):
    path = pairs / "run/dataset/rows.jsonl"
    row = json.loads(path.read_text())
    row["rejected_labels"][-1] += 1
    path.write_text(json.dumps(row) + "\n")
    assert hashlib.sha256(path.read_bytes()).hexdigest() != Dataset(pairs / "run/dataset").manifest.rows_sha256
    (tuned,) = why(pairs / "tuned")
    assert [link.kind for link in tuned.broken] == ["rows", "row", "row"]
    assert "trains tokens that trace 'sample/" in tuned.broken[1].detail
