"""Write the made parts of the documentation, or name those that are out of date.

    python -m scripts.pages [--check]

Tables of options come from the specs of systems and strategies, the command and configuration references from the command line and the
schema, pictures from `docs/data` and from the imports. Transcripts need a model and are made apart: `python -m scripts.pages.transcripts`.
"""

import argparse
import sys
from pathlib import Path

from scripts.pages.commands import command_reference
from scripts.pages.configuration import configuration_reference
from scripts.pages.floors import floors
from scripts.pages.options import option_tables
from scripts.pages.pictures import pictures

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"


def made() -> dict[str, str]:
    """Every made file below `docs`, with its text as the code is now."""
    return {**option_tables(), **command_reference(), **configuration_reference(), **floors(), **pictures(DOCS / "data")}


def stale() -> list[str]:
    """The made files that differ from what the code gives, or are missing."""
    return [name for name, text in made().items() if not (DOCS / name).is_file() or (DOCS / name).read_text(encoding="utf-8") != text]


def main() -> int:
    """Write or check; with `--check` 1 where a file is out of date."""
    parser = argparse.ArgumentParser(description="Write the made parts of the documentation.")
    parser.add_argument("--check", action="store_true", help="write nothing; name what is out of date")
    if parser.parse_args().check:
        names = stale()
        print("\n".join(f"docs/{name} is out of date; run: make pages" for name in names) or "all made pages are up to date")
        return 1 if names else 0
    for name, text in made().items():
        path = DOCS / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    print(f"wrote {len(made())} files below docs/")
    return 0


if __name__ == "__main__":
    sys.exit(main())
