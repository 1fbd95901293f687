"""Words of a command line to problem sets."""

from pathlib import Path

from tirage.core.errors import ConfigError
from tirage.problems import FileSource, GymSource, ProblemSource


def parse_problems(name: str, limit: int | None = None, verifier: str | None = None) -> ProblemSource:
    """The problem source that a command-line word stands for: `nano:SPLIT`, `gym:FAMILY[,FAMILY]` or a file, graded by `verifier`."""
    kind, _, rest = name.partition(":")
    if verifier is not None and kind in ("nano", "gym"):
        raise ConfigError(f"problems {name!r} bring their own verifier; leave --verifier out")
    count = {} if limit is None else {"count": limit}
    if kind == "nano" and rest in ("train", "heldout", "unseen"):
        return GymSource(families="nano", split=rest, **count)
    if kind == "gym" and rest:
        return GymSource(families={family: {} for family in rest.split(",")}, split="", **count)
    path = Path(name)
    if not path.exists():
        raise ConfigError(f"problems {name!r}: no such file; or write nano:train, nano:heldout, nano:unseen, gym:FAMILY")
    return FileSource(path=name, limit=limit, verifier=verifier)
