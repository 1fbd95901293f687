"""Files that a command writes where the user says."""

from pathlib import Path
from typing import Any

from tirage.core.errors import ConfigError, DataError
from tirage.runtime.config_files import config_hash
from tirage.runtime.runs import RUNS


def run_folder(run: Path | None, kind: str, *parts: Any) -> Path:
    """The run folder that the user names, or one whose name is the same for the same configuration (`parts`), so that it resumes."""
    return run if run is not None else RUNS / f"{kind}-{config_hash(*parts)}"


def check_place(place: Path, *, force: bool) -> None:
    """To be asked before long work. Raises `ConfigError` for a place that is taken, and for one in a folder that is not there."""
    if place.is_dir():
        raise ConfigError(f"{place} is a folder; name a file in it")
    if place.exists() and not force:
        raise ConfigError(f"{place} exists; choose another place or say that it may be replaced (--force)")
    if not place.parent.is_dir():
        raise ConfigError(f"cannot write {place}: there is no folder {place.parent}; make it or choose another place")


def write_picture(picture: str, place: Path, *, force: bool) -> None:
    """Write where `check_place` allows it. Raises `DataError` for the disk's no."""
    check_place(place, force=force)
    try:
        place.write_text(picture, encoding="utf-8")
    except OSError as error:
        raise DataError(f"cannot write {place}: {error.strerror}") from error
