"""Training in this process, on a tiny Llama; `test_job` covers the process around it."""

import json
import math
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tirage.training.dataset import Dataset
from tirage.training.job_folder import FailureKind, JobFolder, JobState
from tirage.training.lineage import read_lineage, weights_sha256
from tirage.training.metrics import read_metrics
from tirage.training.rows import IGNORED
from tirage.training.sft_main import BUSY, main
from tirage.training.spec import SFTSpec

torch = pytest.importorskip("torch", reason="pip install 'tirage[train]'")
pytest.importorskip("trl", reason="pip install 'tirage[train]'")
pytestmark = pytest.mark.filterwarnings("ignore")  # TRL, peft and transformers warn about each other

Train = Callable[..., JobFolder]


@pytest.fixture
def train(tmp_path: Path, tiny_llama: Path, rescued: Path) -> Train:
    """Runs a job here and now; keyword arguments are settings of the specification."""

    def run(name: str = "job", **settings: Any) -> JobFolder:
        folder = JobFolder(tmp_path / name)
        folder.create()
        spec = SFTSpec(
            **{"dataset": rescued, "init_from": tiny_llama, "device": "cpu", "threads": 1, "batch_size": 8, "epochs": 1} | settings
        )
        init = weights_sha256(spec.init_from)
        folder.open_job(spec, spec.identity(rows_sha256=Dataset(spec.dataset).manifest.rows_sha256, init_sha256=init), 1)
        status = main(str(folder.path))
        assert (status == 0) == (folder.checkpoint.exists())
        return folder

    return run


def weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    found: dict[str, Any] = load_file(folder / "model.safetensors")
    return found


def failure(folder: JobFolder) -> tuple[FailureKind | None, str]:
    record = folder.read()
    assert record is not None
    assert record.state is JobState.FAILED
    return record.failure, record.message


def rewrite(dataset: Path, to: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Path:
    shutil.copytree(dataset, to)
    lines = (to / "rows.jsonl").read_text().splitlines()
    (to / "rows.jsonl").write_text("".join(json.dumps(change(json.loads(line))) + "\n" for line in lines))
    return to


def test_the_loss_is_that_of_the_recorded_labels(train: Train, tiny_llama: Path, rescued: Path) -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_llama)
    losses: list[Any] = []
    for row in Dataset(rescued).rows():
        logits = model(torch.tensor([row.input_ids])).logits[0, :-1]
        labels = torch.tensor(row.labels[1:])
        losses += torch.nn.functional.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="none")[labels != IGNORED].tolist()
    folder = train(batch_size=24)
    (step,) = read_metrics(folder.metrics)
    assert step.loss == pytest.approx(sum(losses) / len(losses), rel=1e-5)
    assert step.lr == pytest.approx(5e-4)


def test_micro_batches_do_not_change_the_result(train: Train) -> None:
    whole, split, fine = (train(f"micro{count}", micro_batches=count, batch_size=10) for count in (1, 3, 7))
    for other in (split, fine):
        for mine, theirs in zip(read_metrics(whole.metrics), read_metrics(other.metrics), strict=True):
            assert mine.loss == pytest.approx(theirs.loss, rel=1e-5)
        for name, tensor in weights(whole.checkpoint).items():
            assert torch.allclose(tensor, weights(other.checkpoint)[name], atol=1e-4), name


def test_a_checkpoint_is_a_model_folder_with_its_lineage(train: Train, tiny_llama: Path, rescued: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = train(init_name="tiny@0", epochs=2)
    out = folder.checkpoint
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json"):
        assert (out / name).read_bytes() == (tiny_llama / name).read_bytes()
    AutoModelForCausalLM.from_pretrained(out)
    AutoTokenizer.from_pretrained(out)
    lineage = read_lineage(out)
    assert lineage is not None
    assert lineage.checkpoint_sha256 == weights_sha256(out) != weights_sha256(tiny_llama)
    assert lineage.dataset.rows_sha256 == Dataset(rescued).manifest.rows_sha256
    assert (lineage.init_from.model, lineage.init_from.sha256) == ("tiny@0", weights_sha256(tiny_llama))
    assert lineage.job["steps"] == 6
    assert lineage.job["rows"] == 24
    assert lineage.job["last_loss"] < lineage.job["first_loss"]
    assert not folder.steps.exists()


def test_weights_keep_the_type_they_came_in(train: Train, tiny_llama: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    half = tmp_path / "half"
    shutil.copytree(tiny_llama, half)
    AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.bfloat16).save_pretrained(half)
    folder = train(init_from=half, max_steps=1)
    assert {tensor.dtype for tensor in weights(folder.checkpoint).values()} == {torch.bfloat16}


def test_lora_is_merged_with_the_adapter_beside_it(train: Train, tiny_llama: Path) -> None:
    folder = train(lora_rank=4, epochs=2, learning_rate=1e-2)
    adapter = json.loads((folder.checkpoint / "adapter" / "adapter_config.json").read_text())
    assert (adapter["r"], adapter["lora_alpha"]) == (4, 8)
    before, after = weights(tiny_llama), weights(folder.checkpoint)
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert any("q_proj" in name for name in changed)
    assert not any("embed" in name or "norm" in name for name in changed)


def test_an_adapter_alone_on_request(train: Train) -> None:
    folder = train(lora_rank=2, lora_merge=False, max_steps=1)
    assert (folder.checkpoint / "adapter_model.safetensors").exists()
    assert not (folder.checkpoint / "model.safetensors").exists()


def test_max_steps_overrides_epochs(train: Train) -> None:
    metrics = read_metrics(train(max_steps=8, epochs=1).metrics)
    assert [step.step for step in metrics] == list(range(1, 9))
    assert {step.steps for step in metrics} == {8}


def test_rows_that_do_not_fit_are_left_out_and_counted(train: Train, rescued: Path, tmp_path: Path) -> None:
    lengths = sorted(len(row.input_ids) for row in Dataset(rescued).rows())
    limit = lengths[len(lengths) // 2]
    blanked = next(row.id for row in Dataset(rescued).rows() if len(row.input_ids) <= limit)

    def blank(row: dict[str, Any]) -> dict[str, Any]:
        return row | {"labels": [IGNORED] * len(row["labels"])} if row["id"] == blanked else row

    job = (lineage := read_lineage(train(dataset=rewrite(rescued, tmp_path / "rows", blank), max_length=limit).checkpoint)) and lineage.job
    assert job is not None
    too_long = sum(length > limit for length in lengths)
    assert (job["rows"], job["rows_too_long"], job["rows_fully_masked"]) == (24 - too_long - 1, too_long, 1)  # type: ignore[index]


def test_no_row_that_fits_is_a_data_failure(train: Train) -> None:
    kind, message = failure(train(max_length=5))
    assert kind is FailureKind.DATA
    assert "24 longer than max_length=5" in message


def test_an_exploding_run_stops_as_nan(train: Train) -> None:
    kind, message = failure(train(learning_rate=1e30, max_grad_norm=1e30, max_steps=20))
    assert kind is FailureKind.NAN
    assert "lower learning_rate" in message


def test_nan_weights_stop_at_once(train: Train, tiny_llama: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    broken = tmp_path / "broken"
    shutil.copytree(tiny_llama, broken)
    tensors = weights(tiny_llama)
    tensors["model.norm.weight"][0] = math.nan
    save_file(tensors, broken / "model.safetensors", metadata={"format": "pt"})
    folder = train(init_from=broken)
    assert failure(folder)[0] is FailureKind.NAN
    assert len(read_metrics(folder.metrics)) == 1


def test_a_full_disk_is_named(train: Train) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, hard))
    try:
        folder = train()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    kind, message = failure(folder)
    assert kind is FailureKind.DISK
    assert "free space and run the job again" in message


def test_a_folder_without_a_model_is_a_config_failure(train: Train, tiny_llama: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    shutil.copyfile(tiny_llama / "model.safetensors", tmp_path / "empty" / "model.safetensors")
    kind, message = failure(train(init_from=tmp_path / "empty"))
    assert kind is FailureKind.CONFIG
    assert "cannot load a model from" in message


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a CUDA device")
def test_cuda_on_a_machine_without(train: Train) -> None:
    kind, message = failure(train(device="cuda"))
    assert kind is FailureKind.CONFIG
    assert "use device=cpu or auto" in message


def test_one_trainer_per_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = JobFolder(tmp_path / "job")
    folder.create()
    held = folder.hold()
    assert held is not None
    with held:
        assert main(str(folder.path)) == BUSY
    assert "another trainer works in" in capsys.readouterr().err
