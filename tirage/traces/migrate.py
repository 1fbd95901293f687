"""Numbered upgrades of stored records. Step n turns a record of schema n into one of schema n + 1."""

from collections.abc import Callable, Mapping
from typing import Any

from tirage.core.codec import SCHEMA_VERSION
from tirage.core.errors import DataError

Record = dict[str, Any]
Upgrade = Callable[[Record], Record]

UPGRADES: Mapping[int, Upgrade] = {}
"""Empty while the schema is at 1. An upgrade gets and gives plain JSON data and never looks at core types,
which describe only the newest schema."""


def upgrade(record: Record, *, upgrades: Mapping[int, Upgrade] | None = None, target: int = SCHEMA_VERSION) -> Record:
    """Bring `record` to schema `target`; a record that is there already is returned as it is.

    Raises `DataError` when the record is newer than `target`, has no readable version, or a step is missing.
    """
    steps = UPGRADES if upgrades is None else upgrades
    version = record.get("v")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise DataError(f"record has schema version {version!r}; expected a number from 1 to {target}")
    if version > target:
        raise DataError(f"record has schema version {version}, this tirage reads up to {target}; install the newer tirage that wrote it")
    while version < target:
        step = steps.get(version)
        if step is None:
            raise DataError(f"no upgrade from schema {version} to {version + 1}; read the run with the tirage that wrote it")
        version += 1
        record = {**step(record), "v": version}
    return record
