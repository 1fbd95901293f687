"""A package that is installed offers one of each by entry points; all of them are reached by their names."""

import json
from pathlib import Path

import pytest

from tests.extension.pages import FOLDER, read_page, tirage_in

PAGES = sorted(path.stem for path in FOLDER.glob("*.md") if path.stem != "index")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as site-packages would have it: the modules of all pages, and what their package says of itself."""
    folder = tmp_path_factory.mktemp("site")
    pages = [read_page(name) for name in PAGES]
    for page in pages:
        (folder / next(iter(page.files))).write_text(page.code)
    info = folder / "strangers-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: strangers\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("\n".join(page.entries for page in pages))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a user works: problems, replies, and none of the modules."""
    (tmp_path / "problems.jsonl").write_text('{"prompt": "What is 6 times 7?", "answer": "XLII"}\n')
    (tmp_path / "replies.txt").write_text("\\boxed{42}\n\\boxed{XLII}\n\\boxed{41}\n\\boxed{XLII}\n")
    (tmp_path / "review.txt").write_text("\\boxed{42}\nVerdict: sound\n")
    (tmp_path / "notes.txt").write_text("Otters sleep on water.\n")
    return tmp_path


def test_lists_name_what_is_offered(installed: Path, folder: Path) -> None:
    strategies = json.loads(tirage_in(folder, "tirage search --list --json", installed))
    assert strategies["epsilon-greedy"]["options"] == ["width", "epsilon", "patience"]
    assert "worth most" in strategies["epsilon-greedy"]["what"]
    systems = json.loads(tirage_in(folder, "tirage solve --agent list --json", installed))
    assert systems["review"]["about"] == "A draft, reviewed until it is sound."
    assert "moons" in tirage_in(folder, "tirage tools ls", installed)


def test_everything_is_reached_by_its_name(installed: Path, folder: Path) -> None:
    def json_of(command: str) -> dict[str, object]:
        found: dict[str, object] = json.loads(tirage_in(folder, command, installed))
        return found

    assert json_of("tirage solve 'What is 6 plus 7?' -m adder --json")["answer"] == "13"
    assert json_of("tirage solve 'What is 6 times 7?' --agent review -m scripted/review.txt --json")["answer"] == "42"
    search = "tirage search '2 + 2?' --strategy epsilon-greedy --valuer none --budget nodes=2 -m scripted/replies.txt --json"
    assert json_of(search)["trees"]
    rolled = "tirage rollout problems.jsonl -n 4 --verifier roman --set sandbox.backend=prepared -m scripted/replies.txt --run run --json"
    assert json_of(rolled)["done"] == 4
    assert json_of("tirage data build run --recipe short-and-right --out rows --json")["rows"] == 2
    made = json_of("tirage index add notes.sqlite notes.txt --embedder trigrams --json")
    assert made["embedder"] == "trigrams"
    # What is installed was chosen by the user; its name in a file is opened.
    assert "Otters" in tirage_in(folder, "tirage index search notes.sqlite otters --mode vectors", installed)


def test_a_package_that_fails_is_named(installed: Path, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    from tests.extension.pages import run

    site = tmp_path_factory.mktemp("broken")
    info = site / "strangers-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: strangers\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[tirage.strategies]\nlost = no_such_module:Lost\n")
    done = run(folder, "-m", "tirage", "search", "2 + 2?", "--strategy", "lost", "-m", "scripted/replies.txt", path=site)
    assert done.returncode == 2
    assert "strategy 'lost' of strangers does not load" in " ".join(done.stderr.split())
    assert "update or remove it" in " ".join(done.stderr.split())
