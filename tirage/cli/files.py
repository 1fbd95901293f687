"""Files that a command writes where the user says."""

from pathlib import Path

from tirage.core.errors import ConfigError, DataError


def write_picture(picture: str, place: Path, *, force: bool) -> None:
    """Write, replacing what is there only with `force`. Raises `ConfigError` for a place that is taken, `DataError` for the disk's no."""
    if place.exists() and not force:
        raise ConfigError(f"{place} exists; choose another place or say that it may be replaced (--force)")
    try:
        place.write_text(picture, encoding="utf-8")
    except OSError as error:
        raise DataError(f"cannot write {place}: {error.strerror}") from error
