"""The code of every page runs, what is made of the code is up to date, and every system has its page."""

import importlib
import re
import tomllib
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, ROOT, RUN, blocks, perform

PAGES = [page for page in sorted(DOCS.rglob("*.md")) if "made" not in page.parts and page.parent.name != "extend"]
"""The pages of `docs/extend` are programs of several files, which `tests/extension` runs."""
LIVE = [page for page in PAGES if any(block.kind in RUN and block.why is None and block.title is None for block in blocks(page))]
NEEDS = {"tutorial/train.md": ("trl", "tirage[train]"), "howto/mcp.md": ("mcp", "tirage[mcp]")}


def name_of(page: Path) -> str:
    return page.relative_to(DOCS).as_posix()


@pytest.mark.parametrize("page", LIVE, ids=name_of)
@pytest.mark.timeout(900)
def test_the_code_of_a_page_runs(page: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="pip install 'tirage[local]'")
    module, extra = NEEDS.get(name_of(page), ("", ""))
    if module:
        pytest.importorskip(module, reason=f"pip install '{extra}'")
    assert perform(page, tmp_path) > 0


def test_what_is_not_run_says_why() -> None:
    for page in PAGES:
        for block in blocks(page):
            assert block.why is None or len(block.why) > 5, f"{name_of(page)}, line {block.line}"
            assert block.kind in (*RUN, "text", "json", "yaml", "toml", "mermaid"), f"{name_of(page)}, line {block.line}: {block.kind}"


def test_made_pages_are_up_to_date() -> None:
    stale = importlib.import_module("scripts.pages.__main__").stale()
    assert stale == [], "run: make pages"


def test_every_system_has_a_page_with_options_and_a_transcript() -> None:
    from scripts.pages.options import page_of
    from tirage.systems.registry import shipped

    for name, spec in shipped().items():
        text = (DOCS / "systems" / f"{page_of(name)}.md").read_text(encoding="utf-8")
        assert f"docs/made/options/{name}.md" in text
        assert spec.paper in text
        transcripts = re.findall(r"docs/(made/transcripts/[\w.-]+)", text)
        assert transcripts, name
        assert all((DOCS / place).stat().st_size > 100 for place in transcripts)
        assert re.search(r"^## Measured", text, re.MULTILINE), f"{name}: what was measured, or that nothing was"


def test_every_page_is_in_the_navigation() -> None:
    named = re.findall(r"[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    assert sorted(named) == sorted(set(named)), "twice"
    assert {name_of(page) for page in DOCS.rglob("*.md") if "made" not in page.parts} == set(named)


def test_every_extra_is_explained() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    text = (DOCS / "install.md").read_text(encoding="utf-8")
    assert [name for name in extras if f"`{name}`" not in text] == []


def test_the_tested_versions_are_those_of_all_dependencies() -> None:
    lock = importlib.import_module("scripts.lock")
    assert sorted(lock.pinned()) == lock.direct(), "run: make lock"
