"""The pictures of the README and the home page, drawn from stored data: a search tree and the figures of a round.

Both are plain SVG whose colours are legible on light and on dark pages. `docs/data/tree.json` is a tree that `tirage search` grew,
`docs/data/round.json` the conditions of a report that `make demo MODEL=smollm2` wrote; each file names the command that made it.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

INK = "#7d8590"
"""Of lines and words on the page itself: in the middle between white and black."""
TOP, HEIGHT = 60, 38
"""Of the rows of leaves."""
GREEN, RED, GREY = ("#dafbe1", "#1a7f37"), ("#ffebe9", "#cf222e"), ("#eaeef2", "#6e7781")
"""Fill and edge of boxes, whose words are dark on any page."""
FONT = "font-family=\"ui-sans-serif, system-ui, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif\""
BOX, GAP, DOT = 190, 16, 34
"""Widths of a thought, of the space before the next one, and of a node that only opens the thinking."""


def pictures(data: Path) -> dict[str, str]:
    """Both pictures by their place below `docs`."""
    tree = json.loads((data / "tree.json").read_text(encoding="utf-8"))
    found = json.loads((data / "round.json").read_text(encoding="utf-8"))
    return {"images/tree.svg": tree_picture(tree), "images/round.svg": round_picture(found)}


def svg(width: float, height: float, about: str, parts: Iterable[str]) -> str:
    """A whole picture; `about` is read to those who cannot see it."""
    size = f'viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" {FONT}>'
    return "\n".join([head, f"<title>{escape(about)}</title>", *parts, "</svg>"]) + "\n"


def words(x: float, y: float, text: str, *, size: int = 13, fill: str = INK, anchor: str = "start", weight: str = "normal") -> str:
    """A line of text whose baseline is at `y`."""
    return f'<text x="{x:g}" y="{y:g}" font-size="{size}" fill="{fill}" text-anchor="{anchor}" font-weight="{weight}">{escape(text)}</text>'


@dataclass(slots=True)
class Thought:
    """A node as it is drawn: the end of thinking is left out, so its parent may be further up."""

    text: str
    value: float | None = None
    answered: bool = False
    chosen: bool = False
    children: list["Thought"] = field(default_factory=list)
    row: float = 0.0


def thoughts(tree: Mapping[str, Any]) -> Thought:
    """The root of what is drawn."""
    path, at = set(), tree["chosen"]
    while at > 0:
        path.add(at)
        at = tree["nodes"][at]["parent"]
    drawn: dict[int, Thought] = {}
    for node in tree["nodes"]:
        text = node["text"].strip()
        if text == "</think>":
            drawn[node["index"]] = drawn[node["parent"]]
            continue
        item = Thought(text=text, value=node["value"], answered=node["stop"] == "answered", chosen=node["index"] in path)
        if node["index"]:
            drawn[node["parent"]].children.append(item)
        drawn[node["index"]] = item
    return drawn[0]


def place(item: Thought, row: float = 0.0) -> float:
    """Give each leaf a row, each other node the middle of its children; the next free row."""
    if not item.children:
        item.row = row
        return row + 1
    for child in item.children:
        row = place(child, row)
    item.row = (item.children[0].row + item.children[-1].row) / 2
    return row


def answer_in(text: str) -> str:
    """What stands in the last box of a text."""
    inner = text.rpartition("\\boxed{")[2]
    return inner.rstrip(".").removesuffix("}")


def tree_picture(tree: Mapping[str, Any]) -> str:
    """The tree from left to right: thoughts, the answers they end in, and what the check by code says of them."""
    root = thoughts(tree)
    root.text = f"{len(tree['nodes'])} nodes, {tree['tokens']:,} tokens"
    rows = place(root)
    parts: list[str] = []
    width = draw(root, 8, parts)
    title = [
        words(8, 22, tree["prompt"], size=15, weight="bold"),
        words(8, 44, "Monte Carlo tree search: each line of thought is a node; the model's own check by code values the answers", size=13),
    ]
    return svg(width, TOP + HEIGHT * rows + 10, f"A search tree: {tree['prompt']}", [*title, *parts])


def draw(item: Thought, x: float, parts: list[str]) -> float:
    """Draw a node at `x` and what is below it; how far to the right it goes."""
    y, dot = centre(item), item.text == "<think>"
    width, rim = (DOT - GAP if dot else BOX), (GREEN[1] if item.chosen else INK)
    most, start = x + width + 8, x + width
    for child in item.children:
        end, colour = start + GAP, GREEN[1] if child.chosen else INK
        curve = f"M{start:g} {y:g} C{start + 10:g} {y:g} {end - 10:g} {centre(child):g} {end:g} {centre(child):g}"
        parts.append(f'<path d="{curve}" fill="none" stroke="{colour}" stroke-width="{2.5 if child.chosen else 1}"/>')
        most = max(most, draw(child, end, parts))
    if dot:
        parts.append(f'<circle cx="{x + width / 2:g}" cy="{y:g}" r="{width / 2:g}" fill="{GREY[0]}" stroke="{rim}" stroke-width="1.5"/>')
        return most
    fill, edge, said = GREY[0], GREY[1], ""
    if item.answered:
        (fill, edge), said = (
            (GREY, "not checked") if item.value is None else (GREEN, "✓ accepted") if item.value > 0.5 else (RED, "✗ rejected")
        )
    outline = f'stroke="{rim if item.chosen else edge}" stroke-width="{2.5 if item.chosen else 1}"'
    parts.append(f'<rect x="{x:g}" y="{y - 15:g}" width="{BOX}" height="30" rx="7" fill="{fill}" {outline}/>')
    text = clipped(answer_in(item.text), 14) if item.answered else clipped(item.text, 28)
    parts.append(words(x + 9, y + 4, text, size=12, fill="#1f2328"))
    if said:
        parts.append(words(x + BOX - 9, y + 4, said, size=12, fill=edge, anchor="end", weight="bold"))
    return most


def centre(item: Thought) -> float:
    """The height at which a node is drawn."""
    return TOP + HEIGHT * item.row + HEIGHT / 2


def clipped(text: str, most: int) -> str:
    """A text that fits its box."""
    return text if len(text) <= most else text[: most - 1] + "…"


NAMES = {
    "before": "before",
    "with hints": "with hints and demonstrations",
    "round 1": "after round 1, neither",
    "control": "control: the same steps, no hints",
    "after": "after round 2, neither",
}


def round_picture(found: Mapping[str, Any]) -> str:
    """A bar for each condition, with its interval."""
    left, right, top, step = 250, 660, 60, 36
    bars: list[str] = []
    for number, row in enumerate(found["conditions"]):
        y = top + step * number
        share, low, high = (left + (right - left) * row[key] for key in ("accuracy", "low", "high"))
        fill = "#2da44e" if row["condition"] in ("after", "round 1") else "#bf8700" if row["condition"] == "with hints" else "#6e7781"
        bars += [
            words(left - 10, y + 17, NAMES[row["condition"]], anchor="end"),
            f'<rect x="{left}" y="{y}" width="{max(share - left, 1):g}" height="24" rx="3" fill="{fill}"/>',
            f'<path d="M{low:g} {y + 12} H{high:g} M{low:g} {y + 7} v10 M{high:g} {y + 7} v10" stroke="{INK}" stroke-width="2"/>',
            words(max(high, share) + 8, y + 17, f"{100 * row['accuracy']:.1f} %", weight="bold"),
        ]
    bottom = top + step * len(found["conditions"])
    axis = [f'<path d="M{left} {top - 6} V{bottom}" stroke="{INK}"/>']
    count = found["conditions"][0]["problems"]
    title = [
        words(8, 22, f"{found['model']}: right answers on {count} held-out problems", size=15, weight="bold"),
        words(8, 42, "greedy, plain prompt but for the second bar; lines are 95 % intervals", size=13),
    ]
    about = "; ".join(f"{NAMES[row['condition']]} {100 * row['accuracy']:.1f} %" for row in found["conditions"])
    return svg(740, bottom + 10, f"Right answers on held-out problems: {about}", [*title, *axis, *bars])
