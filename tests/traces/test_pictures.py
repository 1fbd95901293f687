"""Trees as pictures: every form escapes what models wrote, and the page works in a real browser."""

import io
import json
import math
import re
import shutil
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from rich.console import Console

from tirage.core import Finish, Problem, Rollout, Source, Span, Step, StopReason, Tree, Verdict
from tirage.core.tree import ROOT
from tirage.traces.pictures import draw, tree_data, tree_dot, tree_html, tree_mermaid
from tirage.traces.view import show_tree
from tirage.traces.wire import from_line, to_line

EVIL = '</script><!--<script><img src=x onerror=alert(1)> ]]> $data "q" \\ `t` \x00\x1b[31m \ud800 \u202e\u2028\u2029 | ] } ; #'


def rollout(tree: Tree, chosen: int = 0, **verdicts: bool) -> Rollout:
    tree.chosen = chosen
    judged = {int(name[1:]): Verdict(correct=correct, verifier="test", answer="4") for name, correct in verdicts.items()}
    return Rollout(
        key="search/p/0", stage="search", problem=Problem(prompt="2 + 2?", answer="4"), sample=0, tree=tree, verdicts=judged, model="m"
    )


def step(text: str) -> Step:
    return Step(spans=(Span(Source.POLICY, text),), finish=Finish.STOP)


def small() -> Rollout:
    tree = Tree(problem_id="p", policy_id="m", seed=0, prompt=(Span(Source.PROMPT, "2 + 2?"),))
    tree.add(ROOT, step("think"), prior=0.5)
    tree.add(1, step("four"), stop=StopReason.ANSWERED, move="hint:a")
    tree.add(1, step("five"), stop=StopReason.ANSWERED, sample=1)
    tree.visits[:] = [2, 2, 1, 1]
    tree.value_sum[:] = [1.0, 1.0, 1.0, 0.0]
    tree.values |= {2: 1.0, 3: 0.0}
    tree.notes[3] = "counted wrong"
    return rollout(tree, 2, n2=True, n3=False)


def test_graphviz() -> None:
    assert tree_dot(small()) == (
        'digraph tree {\n  node [shape=box, style="rounded,filled", fillcolor="#f3f4f6", fontname="Helvetica", fontsize=10];\n'
        '  n0 [label="problem\\n2 + 2?", fillcolor="#f3f4f6", penwidth=2.5];\n'
        '  n1 [label="1 N=2 Q=0.50\\nthink", fillcolor="#f3f4f6", penwidth=2.5];\n'
        '  n2 [label="2 N=1 Q=1.00 V=1.00 right\\nfour", fillcolor="#d6f5e3", penwidth=2.5];\n'
        '  n3 [label="3 N=1 Q=0.00 V=0.00 wrong\\nfive", fillcolor="#fde0dc"];\n'
        '  n0 -> n1 [label="", penwidth=2.5];\n  n1 -> n2 [label="hint:a", penwidth=2.5];\n  n1 -> n3 [label=""];\n}\n'
    )


def test_mermaid() -> None:
    lines = tree_mermaid(small()).splitlines()
    assert lines[:3] == ["flowchart TD", '  n0["problem<br/>2 + 2?"]', '  n1["1 N=2 Q=0.50<br/>think"]']
    assert '  n1 -->|"hint:a"| n2' in lines
    assert lines[-5:] == [
        "  classDef right fill:#d6f5e3",
        "  class n2 right",
        "  classDef wrong fill:#fde0dc",
        "  class n3 wrong",
        "  style n2 stroke-width:4px",
    ]


def test_data_holds_what_is_known_of_each_node() -> None:
    data = json.loads(draw(small(), "json"))
    assert data == tree_data(small())
    node = data["nodes"][3]
    assert (node["visits"], node["q"], node["value"], node["note"], node["verdict"]["correct"]) == (1, 0.0, 0.0, "counted wrong", False)
    assert (data["chosen"], data["nodes"][1]["prior"], data["nodes"][2]["move"]) == (2, 0.5, "hint:a")


LITERAL = [
    'say "hi" \\ back\\n \\N \\G',
    "&lt;b&gt; &amp; &#35; #35; <b>x</b> {a|b} [c] (d)",
    "1. list `code` *em* __strong__ %% a;b | c -- d",
    "end",
    "two\nlines",
    "$$x$$ fa:fa-car style a:'b' classDef",
]
"""Texts that mean something to the languages of pictures."""


def literal() -> Rollout:
    tree = Tree(problem_id="p", policy_id="m", seed=0, prompt=(Span(Source.PROMPT, "2 + 2?"),))
    for place, text in enumerate(LITERAL):
        tree.add(ROOT, step(text), sample=place, move=text)
    return rollout(tree)


def test_graphviz_shows_labels_as_they_were_written() -> None:
    program = shutil.which("dot")
    if program is None:
        pytest.skip("no Graphviz; install it with: apt-get install graphviz")
    svg = subprocess.run([program, "-Tsvg"], input=tree_dot(literal()).encode(), capture_output=True, check=True).stdout
    name = "{http://www.w3.org/2000/svg}"
    groups = [
        (group.get("class"), [text.text for text in group.iter(f"{name}text")]) for group in ElementTree.fromstring(svg).iter(f"{name}g")
    ]
    shown = [text.replace("\n", " ") for text in LITERAL]
    assert [lines for kind, lines in groups if kind == "edge"] == [[text] for text in shown]
    assert [lines for kind, lines in groups if kind == "node"][1:] == [[str(place), text] for place, text in enumerate(shown, start=1)]


def test_mermaid_labels_are_quoted_and_hold_entities_for_what_mermaid_would_act_on() -> None:
    lines = tree_mermaid(literal()).splitlines()
    assert lines[3] == '  n2["2<br/>#38;lt#59;b#38;gt#59; #38;amp#59; #38;#35;35#59; #35;35#59; #60;b#62;x#60;/b#62; {a|b} [c] (d)"]'
    edges = [line.removesuffix('"| n' + str(place)) for place, line in enumerate(lines[8:14], start=1)]
    labels = [line.removeprefix('  n0 -->|"') for line in edges]
    assert not any(set('"<>&`') & set(label) or re.search(r"\\\\n|\\$\\$|:fa-|style|classDef", label) for label in labels)
    decoded = [re.sub(r"#(\d+);", lambda code: chr(int(code[1])), label).replace("\u200b", "") for label in labels]
    assert decoded == [text.replace("\n", " ") for text in LITERAL]


def boundless() -> Rollout:
    there = small()
    there.tree.values |= {1: math.inf, 2: math.nan, 3: -math.inf}
    there.tree.value_sum[1] = math.nan
    return there


def strict(text: str) -> Any:
    """JSON as a strict parser reads it."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_numbers_that_json_lacks_leave_as_strings() -> None:
    nodes = strict(draw(boundless(), "json"))["nodes"]
    assert [node["value"] for node in nodes] == [None, "Infinity", "NaN", "-Infinity"]
    assert [node["q"] for node in nodes] == [0.5, "NaN", 1.0, 0.0]


def evil() -> Rollout:
    tree = Tree(problem_id="p", policy_id=EVIL, seed=0, prompt=(Span(Source.PROMPT, EVIL),))
    tree.add(ROOT, replace(step(EVIL), ephemeral=EVIL), move=EVIL)
    tree.add(ROOT, step("<b>"), sample=1, stop=StopReason.ANSWERED)
    tree.notes[1] = EVIL
    return replace(rollout(tree), problem=Problem(prompt=EVIL, answer="1"), key="search/<i>/0")


@pytest.mark.parametrize("form", ["html", "json", "dot", "mermaid"])
def test_hostile_text_stays_text_in_every_form(form: str) -> None:
    picture = draw(evil(), form)  # type: ignore[arg-type]
    picture.encode()
    assert "\x00" not in picture
    assert "\x1b" not in picture
    if form == "html":
        assert picture.count("</script>") == 2
        assert picture.count("<script") == 2
        assert "<!--" not in picture
        assert "<img" not in picture
    if form == "dot":
        # Every quote inside a label is escaped.
        for label in re.findall(r'label="((?:[^"\\]|\\.)*)"', picture):
            assert "\n" not in label
        assert len(re.findall(r'label="((?:[^"\\]|\\.)*)"', picture)) == 5
    if form == "mermaid":
        assert all(line.count('"') in (0, 2) for line in picture.splitlines())
        assert "<img" not in picture


def halves() -> Rollout:
    tree = Tree(problem_id="p", policy_id="m", seed=0, prompt=(Span(Source.PROMPT, "2 + 2?"),))
    tree.add(ROOT, step("a\ud800b"), move="c\udc80d")
    tree.notes[1] = "\ud83d\ude00"
    return replace(rollout(tree, 1), problem=Problem(prompt="e\ud800f"))


@pytest.mark.parametrize("form", ["html", "json", "dot", "mermaid"])
def test_half_of_a_surrogate_pair_is_shown_in_valid_utf8(form: str) -> None:
    picture = draw(halves(), form)  # type: ignore[arg-type]
    picture.encode()
    half, other = ("\ufffd", "\ufffd") if form in ("html", "json") else ("\\ud800", "\\udc80")
    if form == "dot":
        half, other = f"\\{half}", f"\\{other}"
    for text in (f"a{half}b", f"c{other}d", f"e{half}f"):
        assert text in picture.replace("#92;", "\\")
    if form == "json":
        node = json.loads(picture)["nodes"][1]
        assert (node["spans"][0]["text"], node["note"]) == ("a\ufffdb", "\U0001f600")


def deep(depth: int) -> Rollout:
    tree = Tree(problem_id="p", policy_id="m", seed=0, prompt=(Span(Source.PROMPT, "2 + 2?"),))
    for index in range(depth):
        tree.add(index, step(f"s{index}"))
    return rollout(tree, depth)


def wide(nodes: int) -> Rollout:
    tree = Tree(problem_id="p", policy_id="m", seed=0, prompt=(Span(Source.PROMPT, "2 + 2?"),))
    for index in range(nodes):
        tree.add(index // 8, step(f"s{index} " * 20), sample=index % 8)
    return rollout(tree, nodes)


@pytest.mark.parametrize("form", ["html", "json", "dot", "mermaid"])
def test_a_tree_five_thousand_deep_and_one_of_twenty_thousand_nodes(form: str) -> None:
    for big in (deep(5000), wide(20_000)):
        assert len(draw(big, form)) > 100_000  # type: ignore[arg-type]


def test_a_tree_five_thousand_deep_is_stored_and_read_back() -> None:
    there = deep(5000)
    assert from_line(to_line(there)) == there


def test_the_printed_tree_is_not_afraid_of_depth() -> None:
    printed = Console(file=io.StringIO(), width=200)
    printed.print(show_tree(deep(5000), most=6000))
    assert "s4999" in printed.file.getvalue()  # type: ignore[attr-defined]


def browse(tmp_path: Path, picture: str, fragment: str = "") -> str:
    """The page after its script ran, as the browser has it."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no browser; install one with: apt-get install chromium")
    page = tmp_path / "tree.html"
    page.write_text(picture, encoding="utf-8")
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking".split()
    flags += [
        "--disable-component-update",
        "--disable-sync",
        f"--user-data-dir={tmp_path / 'profile'}",
        "--window-size=1500,900",
        "--dump-dom",
    ]
    for _ in range(4):
        done = subprocess.run([browser, *flags, page.as_uri() + fragment], capture_output=True, text=True, timeout=120, check=False)
        if done.returncode >= 0:
            # On a busy machine the browser's own processes die now and then, whatever the page.
            break
    assert "data-ready" in done.stdout, (done.returncode, done.args, done.stderr[-300:])
    return done.stdout


def test_a_browser_draws_the_tree_and_shows_the_node_that_was_asked_for(tmp_path: Path) -> None:
    page = browse(tmp_path, tree_html(small()), "#node=3")
    assert page.count('class="node') == 4
    assert page.count('class="edge') == 3
    side = page[page.index("<aside") :]
    assert "node 3" in side
    assert "counted wrong" in side
    assert "compare with a sibling" in side
    assert "node 2 · chosen" in browse(tmp_path, tree_html(small()))


HANDS = """<script>
const press = (at, key) => at.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
find.value = "five"; find.dispatchEvent(new Event("input")); press(find, "Enter");
const at = [selected, found.textContent]; press(stage, "ArrowLeft"); press(stage, "Enter");
document.body.dataset.done = [...at, selected, marks.textContent.includes("\u25b8 2"), shown.length].join();
press(stage, "Enter"); press(stage, "c");
const choice = document.querySelector("select"); choice.value = "3"; choice.onchange();
</script></body>"""


def test_a_page_is_walked_with_keys_searched_folded_and_compares_siblings(tmp_path: Path) -> None:
    page = browse(tmp_path, tree_html(small()).replace("</body>", HANDS))
    assert 'data-done="3,1 of 1 found,1,true,2"' in page
    assert "node 2 \u00b7 chosen" in page
    assert "<del>\u2212 five</del><ins>+ four</ins>" in page
    assert '<p class="authors"><span class="policy">policy</span></p>' in page


def test_a_browser_shows_numbers_that_json_lacks(tmp_path: Path) -> None:
    page = browse(tmp_path, tree_html(boundless()), "#node=1")
    assert "<dt>mean value Q</dt><dd>NaN</dd><dt>own value</dt><dd>Infinity</dd>" in page
    assert 'width="NaN"' not in page


def test_a_browser_shows_hostile_text_as_text(tmp_path: Path) -> None:
    page = browse(tmp_path, tree_html(evil()), "#node=1")
    assert "<img" not in page
    assert "&lt;/script&gt;&lt;!--&lt;script&gt;&lt;img src=x onerror=alert(1)&gt; ]]&gt; $data" in page
    assert "\u2028\u2029" in page


def test_a_browser_shows_half_of_a_surrogate_pair(tmp_path: Path) -> None:
    assert 'title="policy">a\ufffdb</span>' in browse(tmp_path, tree_html(halves()))


def test_big_trees_open_at_once(tmp_path: Path) -> None:
    picture = tree_html(wide(20_000))
    began = time.monotonic()
    page = browse(tmp_path, picture)
    assert page.count('class="node') < 2000
    # A bound against hanging, not a measurement.
    assert time.monotonic() - began < 60
    assert "node 5000 · chosen" in browse(tmp_path, tree_html(deep(5000)))
