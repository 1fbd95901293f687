"""Write requirements/tested.txt: the versions of the direct dependencies in this environment, which the tests ran with.

    make lock

A dependency that is not installed here keeps the line it has; the script fails for one that has none.
"""

import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TESTED = ROOT / "requirements" / "tested.txt"
HEAD = """\
# The versions that the tests run with, written by `make lock`. Use them as constraints:
#     pip install 'tirage[all]' -c requirements/tested.txt
"""
PEERS = "bench"
"""The extra whose packages only benchmarks meet."""


def direct() -> list[str]:
    """The packages that pyproject.toml names, in the spelling of the index, without tirage itself."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [need for name, needs in project["optional-dependencies"].items() if name != PEERS for need in needs]
    names = {re.split(r"[^\w.-]", need, maxsplit=1)[0].lower().replace("_", "-") for need in [*project["dependencies"], *extras]}
    return sorted(names - {"tirage"})


def pinned() -> dict[str, str]:
    """The file as it is, by package."""
    lines = TESTED.read_text(encoding="utf-8").splitlines() if TESTED.exists() else []
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))  # type: ignore[misc]


def main() -> int:
    """Write the file; 1 where a version is unknown."""
    known, lines, unknown = pinned(), [], []
    for name in direct():
        try:
            found = version(name).split("+")[0]
        except PackageNotFoundError:
            found = known.get(name, "")
        (lines if found else unknown).append(f"{name}=={found}" if found else name)
    if unknown:
        print(f"not installed here and not in {TESTED.name}: {', '.join(unknown)}; install them and run this again", file=sys.stderr)
        return 1
    TESTED.parent.mkdir(exist_ok=True)
    TESTED.write_text(HEAD + "\n".join(lines) + "\n", encoding="utf-8")
    print(f"{TESTED.relative_to(ROOT)}: {len(lines)} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
