"""Topologies as pictures: every form escapes names, and the page draws who speaks to whom."""

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from tirage.teams.pictures import TopologyForm, draw
from tirage.teams.stock import SHAPES, stock
from tirage.teams.topology import Member, Topology

EVIL = '</svg><script>alert(1)</script> "q" \\ `t` \x00\x1b[31m\x9b \ud800 \u202e | ] } ; # & $title'
LEDGER = {("planner", "executor"): 1200, ("critic", "planner"): 40}


def test_lines_of_text() -> None:
    assert draw(stock("planner-executor-critic"), "ascii", LEDGER) == (
        "planner-executor-critic: 3 members, 4 edges, 2 rounds\n"
        "   1  planner   ~ critic (40)\n"
        "   2  executor  < planner (1200)   ~ critic\n"
        "   3  critic    < executor\n"
        "  decided by executor\n"
        "  < hears in the same round; ~ hears what was said in the round before\n"
    )
    assert draw(stock("single")) == "single: 1 member, 0 edges, 1 round\n   1  solver\n  decided by majority\n"


def test_graphviz() -> None:
    lines = draw(stock("planner-executor-critic"), "dot", LEDGER).splitlines()
    assert lines[3:] == [
        '  m0 [label="planner\\nplanner"];',
        '  m1 [label="executor\\nexecutor", penwidth=2.5];',
        '  m2 [label="critic\\ncritic"];',
        '  m0 -> m1 [label="1200", penwidth=5.0];',
        "  m1 -> m2;",
        '  m2 -> m0 [style=dashed, constraint=false, label="40", penwidth=1.1];',
        "  m2 -> m1 [style=dashed, constraint=false];",
        "}",
    ]


def test_mermaid() -> None:
    assert draw(stock("planner-executor-critic"), "mermaid", LEDGER).splitlines()[4:] == [
        "  m0 -->|1200| m1",
        "  m1 --> m2",
        "  m2 -.->|40| m0",
        "  m2 -.-> m1",
        "  style m1 stroke-width:4px",
    ]


def test_json_reads_back() -> None:
    assert Topology.from_dict(json.loads(draw(stock("debate"), "json"))) == stock("debate")


def svg(page: str) -> ET.Element:
    return ET.fromstring(re.sub(r"(?s).*(<svg.*</svg>).*", r"\1", page))


def count(page: str, kind: str) -> int:
    return sum(element.get("class") == kind for element in svg(page).iter())


@pytest.mark.parametrize("shape", SHAPES)
def test_the_page_draws_every_edge_of_every_round(shape: str) -> None:
    drawn = stock(shape, 4)
    page = draw(drawn, "html")
    rounds = 2 if drawn.temporal else 1
    assert count(page, "edge spatial") == rounds * len(drawn.spatial)
    assert count(page, "edge temporal") == len(drawn.temporal)
    assert sum("member" in (element.get("class") or "") for element in svg(page).iter("g")) == rounds * 4
    left, top, width, height = (float(number) for number in str(svg(page).get("viewBox")).split())
    for element in svg(page).iter("path"):
        places = [float(number) for pair in re.findall(r"(-?[\d.]+),(-?[\d.]+)", str(element.get("d"))) for number in pair]
        if str(element.get("class")).startswith("edge"):
            assert all(left <= x <= width for x in places[::2])
            # A cubic curve stays within three quarters of its control points' height.
            assert all(top <= 0.25 * places[1] + 0.75 * y <= height for y in places[3:6:2])


def test_the_page_shows_tokens_as_numbers_and_widths() -> None:
    page = draw(stock("planner-executor-critic"), "html", LEDGER)
    labels = [element.text for element in svg(page).iter() if element.get("class") == "tokens"]
    assert sorted(labels) == ["1,200", "40"]
    widths = [float(str(element.get("stroke-width"))) for element in svg(page).iter() if element.get("class") == "edge temporal"]
    assert widths == [1.5, 1.6]
    assert "1,240 tokens between members" in page
    assert "tokens" not in draw(stock("planner-executor-critic"), "html").partition("</style>")[2]


def test_a_member_who_speaks_in_both_ways_is_counted_once() -> None:
    both = replace(stock("chain", 2, rounds=3), temporal=(("solver-1", "solver-2"),))
    page = draw(both, "html", {("solver-1", "solver-2"): 7})
    assert count(page, "tokens") == 1
    assert "rounds 2 to 3, each" in page


@pytest.mark.parametrize("form", ["ascii", "dot", "mermaid", "html", "json"])
def test_hostile_names_stay_text_in_every_form(form: TopologyForm) -> None:
    members = (Member(name=EVIL, role=EVIL, model=EVIL, tools=(EVIL,), prompt=EVIL), Member(name="b"))
    evil = Topology(name=EVIL, members=members, spatial=((EVIL, "b"),), temporal=(("b", EVIL),), rounds=2, decision=EVIL)
    picture = draw(evil, form, {(EVIL, "b"): 3})
    picture.encode()
    assert not {"\x00", "\x1b", "\x9b", "\u202e"} & set(picture)
    if form == "html":
        assert "<script" not in picture
        assert len(list(svg(picture).iter("g"))) == 4
    if form == "dot":
        assert len(re.findall(r'label="((?:[^"\\]|\\.)*)"', picture)) == 3
        assert all(len(re.findall(r'(?<!\\)"', line.replace("\\\\", ""))) % 2 == 0 for line in picture.splitlines())
    if form == "mermaid":
        assert all(line.count('"') in (0, 2) for line in picture.splitlines())
