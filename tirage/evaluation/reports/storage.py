"""Reports on disk: `report.json` is the truth, `report.html` the page made from it."""

import json
import os
import tempfile
from pathlib import Path

from tirage.core.errors import DataError
from tirage.evaluation.reports.html import render_html
from tirage.evaluation.reports.report import Report, from_plain, to_plain

JSON_NAME = "report.json"
HTML_NAME = "report.html"


def write_report(report: Report, folder: str | Path) -> tuple[Path, Path]:
    """Write `report.json` and `report.html` into `folder` (made when absent) and return their paths.

    Each file appears whole or not at all; an older one stays until its successor is complete.
    """
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    plain = to_plain(report)
    data = json.dumps(plain, ensure_ascii=False, indent=2, allow_nan=False) + "\n"
    # From the rounded numbers, so that a page made later from the file is the same page.
    page = render_html(from_plain(plain))
    return _replace(target / JSON_NAME, data), _replace(target / HTML_NAME, page)


def read_report(path: str | Path) -> Report:
    """Read a `report.json`, or the one in a folder. Raises DataError naming the file and what is wrong with it."""
    source = Path(path)
    source = source / JSON_NAME if source.is_dir() else source
    try:
        data = json.loads(source.read_text(encoding="utf-8"))
        return from_plain(data)
    except FileNotFoundError as error:
        raise DataError(f"{source}: no such report; a run writes {JSON_NAME} when it ends") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{source}: not JSON: {error}") from error
    except DataError as error:
        raise DataError(f"{source}: {error}") from error


def _replace(path: Path, text: str) -> Path:
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
            os.fchmod(file.fileno(), 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return path
