"""The run folder: its logs hold whole lines, whatever ended the last writer or filled the disk."""

import json
import resource
from pathlib import Path

import pytest

from tirage.core.errors import ConfigError, DataError
from tirage.runtime.config import RunConfig
from tirage.runtime.runs import RunFolder


def lines(path: Path) -> list[str]:
    return [json.loads(line)["key"] for line in path.read_text().splitlines()]


def test_a_torn_last_line_is_cut_off_by_the_next_writer(tmp_path: Path) -> None:
    with RunFolder(tmp_path, RunConfig()) as run:
        run.begun("first")
    log = tmp_path / "begun.jsonl"
    with log.open("a") as file:
        file.write('{"key": "sec')
    with RunFolder(tmp_path, RunConfig()) as run:
        run.begun("third")
    assert lines(log) == ["first", "third"]


def test_a_disk_that_is_full_is_said_so_and_leaves_whole_lines(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with RunFolder(tmp_path, RunConfig()) as run:
        run.begun("fits")
        resource.setrlimit(resource.RLIMIT_FSIZE, (40, hard))
        try:
            with pytest.raises(DataError, match=r"cannot append to .*begun\.jsonl: "):
                run.begun("does not fit any more")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert lines(tmp_path / "begun.jsonl") == ["fits"]
        run.begun("later")
    assert lines(tmp_path / "begun.jsonl") == ["fits", "later"]


def test_times_add_up_over_interruptions(tmp_path: Path) -> None:
    for _ in range(2):
        with RunFolder(tmp_path, RunConfig()) as run, run.timed("before"):
            pass
    with RunFolder(tmp_path, RunConfig()) as run:
        assert run.seconds().keys() == {"before"}
    assert len((tmp_path / "timing.jsonl").read_text().splitlines()) == 2


def test_another_configuration_is_refused_by_the_names_of_its_keys(tmp_path: Path) -> None:
    RunFolder(tmp_path, RunConfig())
    with pytest.raises(ConfigError, match=r"different: seed\)"):
        RunFolder(tmp_path, RunConfig(seed=1))


def test_keys_at_their_defaults_need_not_be_stored(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("model: nano\nseed: 0\n")
    RunFolder(tmp_path, RunConfig())
    (tmp_path / "config.yaml").write_text("model: nano\nsede: 1\n")
    with pytest.raises(ConfigError, match=r"different: .*sede"):
        RunFolder(tmp_path, RunConfig())
