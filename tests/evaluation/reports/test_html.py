import re
import shutil
import subprocess
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from tirage.evaluation import Context, Outcome, Report, build_improvement_report, render_html

HOSTILE = "</title><script>alert('x')</script><img src=x onerror=\"alert(1)\">$body${title}&amp;\u202e\x00"
VOID = {"meta", "br", "img", "link", "input", "hr"}


class Page(HTMLParser):
    """Refuses a page whose tags do not nest, and collects what could act or load."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag


def parse(page: str) -> Page:
    parser = Page()
    parser.feed(page)
    parser.close()
    assert parser.open == []
    return parser


@pytest.fixture
def report(condition) -> Report:
    families = ("arith", "date", "far")
    return build_improvement_report(
        {
            name: condition(rate, seed=seed, families=families)
            for seed, (name, rate) in enumerate({"before": 0.1, "hinted": 0.8, "control": 0.4, "after": 0.9}.items())
        },
        unseen=["far"],
        yields={"hinted": condition(0.7, seed=9), "unhinted": condition(0.1, seed=10)},
        datasets={"round 1": {"sampled": 160, "verified": 56, "kept": 40}},
        context=Context(
            title="Report", notes=["The tool habit is designed."], lineage={"checkpoint": "9f21"}, next_command="tirage improve"
        ),
        timing={"training": 57.2},
    )


def test_the_page_shows_what_was_measured(report):
    page = render_html(report)
    for text in (
        "Known families",
        "Unseen families",
        "after vs before",
        "after vs control",
        "The tool habit is designed.",
        "9f21",
        "tirage improve",
        "57.2 s",
        "Where the change comes from",
        "Accuracy against cost",
        "promote",
        "(25 %)",
        report.headline.replace("<", "&lt;"),
    ):
        assert text in page, text


def test_the_page_nests_and_its_pictures_are_xml(report):
    page = render_html(report)
    parsed = parse(page)
    pictures = re.findall(r"<svg class=\"chart\".*?</svg>", page, flags=re.S)
    assert len(pictures) == 6 + 5 + 2  # per part, the second having one family; then yield and funnel
    for picture in pictures:
        root = ElementTree.fromstring(picture)
        assert root.attrib["role"] == "img"
        assert len(root.attrib["aria-label"]) > 20
        assert "nan" not in picture
    heads = [attrs for tag, attrs in parsed.tags if tag == "th"]
    assert heads
    assert all(attrs.get("scope") in ("col", "row") for attrs in heads)
    ids = [attrs["id"] for _, attrs in parsed.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert {attrs["aria-labelledby"] for _, attrs in parsed.tags if "aria-labelledby" in attrs} <= set(ids)


def test_the_page_loads_nothing(report):
    page = render_html(report)
    for tag, attrs in parse(page).tags:
        assert tag not in ("link", "img", "iframe", "object", "base", "image", "use")
        assert not {"src", "href", "xlink:href", "action", "style"} & attrs.keys()
        assert not [name for name in attrs if name.startswith("on")]
    assert "@import" not in page
    assert "url(" not in page
    assert "http" not in page.replace("http-equiv", "")
    assert "default-src 'none'" in page


def test_hostile_text_stays_text():
    made = {
        HOSTILE: [
            Outcome(problem_id=str(i), family=HOSTILE + str(i % 2), tier=HOSTILE, correct=True, used_tool=bool(i % 2)) for i in range(6)
        ],
        "b": [Outcome(problem_id=str(i), family=HOSTILE + str(i % 2), tier=HOSTILE, correct=None if i else False) for i in range(6)],
    }
    context = Context(
        title=HOSTILE,
        subtitle=HOSTILE,
        notes=[HOSTILE],
        lineage={HOSTILE: HOSTILE},
        sections={HOSTILE: {HOSTILE: HOSTILE}},
        next_command=HOSTILE,
    )
    page = render_html(
        build_improvement_report(
            made,
            pairs=[(HOSTILE, "b")],
            yields={HOSTILE: made["b"]},
            datasets={HOSTILE: {HOSTILE: 3}},
            context=context,
            timing={HOSTILE: HOSTILE},
        )
    )
    parsed = parse(page)
    assert [tag for tag, _ in parsed.tags].count("script") == 1
    assert "img" not in {tag for tag, _ in parsed.tags}
    assert page.count("alert(") > 10
    assert "\u202e" not in page
    assert "\x00" not in page
    assert page.count("<!doctype") == 1


@pytest.mark.parametrize(
    "conditions",
    [
        {},
        {"only": []},
        {"only": [Outcome(problem_id="a", correct=None)]},
        {"before": [Outcome(problem_id="a", correct=True)], "after": [Outcome(problem_id="b", correct=True)]},
        {"before": [Outcome(problem_id="a", correct=True)], "after": [Outcome(problem_id="a", correct=False)]},
    ],
)
def test_thin_reports_still_make_a_page(conditions):
    page = render_html(build_improvement_report(conditions, datasets={"empty": {}, "zero": {"sampled": 0, "kept": 0}}))
    parse(page)
    assert "nan" not in page
    assert "None" not in page


def test_several_samples_show_the_estimates(outcomes):
    made = outcomes([[True, False, True, False]] * 8)
    page = render_html(build_improvement_report({"before": made}))
    assert "pass@4" in page
    assert "8 × 4" in page


def test_columns_sort_in_a_real_browser(report, tmp_path):
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no browser; install one with: apt-get install chromium")
    click = """<script>
      const table = document.querySelectorAll("table.sortable")[0];
      table.tHead.rows[0].cells[2].firstElementChild.click();
      document.title = [...table.tBodies[0].rows].map((row) => row.cells[0].textContent).join(" ");
    </script></body>"""
    path = tmp_path / "page.html"
    path.write_text(render_html(report).replace("</body>", click), encoding="utf-8")
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking".split()
    flags += ["--disable-component-update", "--disable-sync", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"]
    done = subprocess.run([browser, *flags, path.as_uri()], capture_output=True, text=True, timeout=120, check=True)
    assert "<title>after hinted control before</title>" in done.stdout
    assert 'aria-sort="descending"' in done.stdout
