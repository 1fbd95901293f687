from pathlib import Path

import pytest

from tirage.core.errors import DataError, TrainingError
from tirage.training.lineage import DatasetLineage, InitLineage, Lineage, read_lineage, weights_sha256, write_lineage


def test_lineage_reads_back(tmp_path: Path) -> None:
    lineage = Lineage(
        checkpoint_sha256="c",
        dataset=DatasetLineage(path="rows", rows_sha256="r", manifest_sha256="m"),
        init_from=InitLineage(model="nano", sha256="i"),
        job={"steps": 3},
    )
    write_lineage(tmp_path, lineage)
    assert read_lineage(tmp_path) == lineage


def test_a_model_from_elsewhere_has_none(tmp_path: Path) -> None:
    assert read_lineage(tmp_path) is None


@pytest.mark.parametrize("text", ["{", "[]", '{"v": 2}'])
def test_a_broken_lineage_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "lineage.json").write_text(text)
    with pytest.raises(DataError, match=r"lineage.json is not a lineage record"):
        read_lineage(tmp_path)


def test_weights_are_named_by_content_and_file(tmp_path: Path) -> None:
    for folder, name, content in (("a", "model", b"1"), ("b", "model", b"1"), ("c", "model", b"2"), ("d", "other", b"1")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{name}.safetensors").write_bytes(content)
    (tmp_path / "b" / "config.json").write_text("{}")
    hashes = [weights_sha256(tmp_path / folder) for folder in "abcd"]
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3
    with pytest.raises(TrainingError, match=r"holds no .safetensors weights"):
        weights_sha256(tmp_path)
