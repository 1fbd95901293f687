"""A topology as one HTML page: time runs from left to right, by layers within a round and from round to round."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from string import Template

from tirage.teams.topology import Edge, Member, Topology
from tirage.traces.escaping import for_html
from tirage.traces.view import excerpt

BOX = (156, 52)
"""Width and height of a member, in pixels."""
GAP = (110, 26)
"""Between layers, and between the members of one."""
MARGIN = 40
"""Around a round."""
LINE = 22
"""Characters of a name or role that fit into a box."""
WIDEST = 9.0
"""Of an edge, in pixels."""
SMALLEST = 0.7
"""Share of its size that a picture is shrunk to before it scrolls."""

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class _Panel:
    """One drawn round: where its members' boxes begin, and where it ends."""

    label: str
    left: float
    width: float
    places: Mapping[str, Point]
    columns: Mapping[str, int]


def topology_html(topology: Topology, ledger: Mapping[Edge, int]) -> str:
    """One page without script or request: who speaks to whom in which round, tokens per edge where the ledger has them."""
    page = Template(_template())
    edges = len(topology.spatial) + len(topology.temporal)
    facts = [
        f"{len(topology.members)} member{'' if len(topology.members) == 1 else 's'}",
        f"{edges} edge{'' if edges == 1 else 's'}",
        f"{topology.rounds} round{'' if topology.rounds == 1 else 's'}",
        f"decided by {topology.decider or 'majority'}",
        *([f"{sum(ledger.values()):,} tokens between members"] if ledger else []),
        f"fingerprint {topology.fingerprint}",
    ]
    return page.substitute(
        title=for_html(excerpt(topology.name)),
        facts="".join(f"<li>{for_html(excerpt(fact))}</li>" for fact in facts),
        picture=_svg(topology, ledger),
        key="".join(f"<li>{line}</li>" for line in _key(topology, ledger)),
        rows="".join(_row(topology, member, ledger) for member in topology.members),
        later="<th>hears from the round before</th>" if topology.temporal else "",
    )


@cache
def _template() -> str:
    return files("tirage.teams").joinpath("page.html").read_text(encoding="utf-8")


def _panels(topology: Topology) -> list[_Panel]:
    """The first round, and the later ones as one, for they are alike; a single panel when no round hears another."""
    layers = topology.layers()
    tallest = max(len(layer) for layer in layers)
    columns = {member.name: column for column, layer in enumerate(layers) for member in layer}
    spans = [columns[listener] - columns[speaker] for speaker, listener in topology.spatial]
    spans += [columns[listener] + len(layers) - columns[speaker] for speaker, listener in topology.temporal]
    top = 56 + _arc(max(spans, default=0)) * 0.75
    width = len(layers) * BOX[0] + (len(layers) - 1) * GAP[0] + 2 * MARGIN
    last = "round 2" if topology.rounds == 2 else f"rounds 2 to {topology.rounds}, each"
    labels = ["round 1", last] if topology.temporal else ["round 1" if topology.rounds == 1 else f"rounds 1 to {topology.rounds}, each"]
    panels = []
    for number, label in enumerate(labels):
        left = number * (width + GAP[0])
        places = {}
        for column, layer in enumerate(layers):
            rise = (tallest - len(layer)) * (BOX[1] + GAP[1]) / 2
            for row, member in enumerate(layer):
                places[member.name] = (left + MARGIN + column * (BOX[0] + GAP[0]), top + rise + row * (BOX[1] + GAP[1]))
        panels.append(_Panel(label, left, width, places, {name: column + number * len(layers) for name, column in columns.items()}))
    return panels


def _svg(topology: Topology, ledger: Mapping[Edge, int]) -> str:
    panels = _panels(topology)
    low = max(y for _, y in panels[0].places.values()) + BOX[1] + MARGIN
    width = panels[-1].left + panels[-1].width
    parts = [
        f'<rect class="panel" x="{panel.left}" y="1" width="{panel.width}" height="{low - 2:.0f}" rx="12"/>'
        f'<text class="round" x="{panel.left + 16}" y="26">{for_html(panel.label)}</text>'
        for panel in panels
    ]
    most = max(ledger.values(), default=0)
    drawn: list[tuple[Edge, _Panel, _Panel, bool]] = [(edge, panel, panel, False) for panel in panels for edge in topology.spatial]
    drawn += [(edge, panels[0], panels[-1], True) for edge in topology.temporal]
    labels = []
    for edge, start, end, temporal in drawn:
        tokens = ledger.get(edge)
        path, middle = _path(edge, start, end, _along(topology, edge[0]))
        wide = 1.6 if tokens is None else 1.2 + (WIDEST - 1.2) * tokens / max(most, 1)
        kind = "temporal" if temporal else "spatial"
        hint = f"{edge[0]} to {edge[1]}{', next round' if temporal else ''}{'' if tokens is None else f', {tokens} tokens in all'}"
        parts.append(f'<path class="edge {kind}" d="{path}" stroke-width="{wide:.1f}"><title>{for_html(excerpt(hint, 120))}</title></path>')
        parts.append(_head(edge, end, wide, kind))
        # The rounds of a panel share their edges' tokens, so each number stands once.
        if tokens is not None and start is panels[0] and (not temporal or edge not in topology.spatial):
            labels.append(f'<text class="tokens" x="{middle[0]:.0f}" y="{middle[1]:.0f}">{tokens:,}</text>')
    boxes = [_box(member, place, member.name == topology.decider) for panel in panels for member, place in _placed(topology, panel)]
    size = f'viewBox="0 0 {width:.0f} {low:.0f}" width="{width:.0f}" style="min-width:{width * SMALLEST:.0f}px"'
    return f'<svg {size} role="img" aria-label="who speaks to whom">{"".join([*parts, *boxes, *labels])}</svg>'


def _placed(topology: Topology, panel: _Panel) -> Iterator[tuple[Member, Point]]:
    for member in topology.members:
        yield member, panel.places[member.name]


def _arc(span: int) -> float:
    """How far an edge over `span` columns bends, so that it passes above those between."""
    return 0.0 if span <= 1 else 44.0 + 24.0 * span


def _along(topology: Topology, speaker: str) -> float:
    """Where on its edges a speaker's numbers stand, in (0, 1): those of one layer beside each other, not on top of each other."""
    layer = next(layer for layer in topology.layers() if topology[speaker] in layer)
    return 0.3 + 0.4 * layer.index(topology[speaker]) / (len(layer) - 1) if len(layer) > 1 else 0.5


def _path(edge: Edge, start: _Panel, end: _Panel, along: float) -> tuple[str, Point]:
    """A cubic curve from the right of the speaker to the left of the listener, and its point at `along`."""
    x1, y1 = start.places[edge[0]][0] + BOX[0], start.places[edge[0]][1] + BOX[1] / 2
    x2, y2 = end.places[edge[1]][0] - 9, end.places[edge[1]][1] + BOX[1] / 2
    bend = _arc(end.columns[edge[1]] - start.columns[edge[0]])
    pull = max((x2 - x1) / 3, 26.0)
    corners = ((x1, y1), (x1 + pull, y1 - bend), (x2 - pull, y2 - bend), (x2, y2))
    weights = ((1 - along) ** 3, 3 * along * (1 - along) ** 2, 3 * along**2 * (1 - along), along**3)
    x, y = (sum(weight * corner[axis] for weight, corner in zip(weights, corners, strict=True)) for axis in (0, 1))
    places = [f"{across:.0f},{down:.0f}" for across, down in corners]
    return f"M{places[0]} C{' '.join(places[1:])}", (x, y + (4 if bend else -6))


def _head(edge: Edge, end: _Panel, wide: float, kind: str) -> str:
    """The arrow head, which does not grow as fast as the line."""
    x, y = end.places[edge[1]][0], end.places[edge[1]][1] + BOX[1] / 2
    half = 4.0 + wide / 2
    return f'<path class="head {kind}" d="M{x - 1:.1f},{y:.1f} l-10,{-half:.1f} v{2 * half:.1f} z"/>'


def _box(member: Member, place: Point, decides: bool) -> str:
    x, y = place
    about = [member.name, member.role, f"model {member.model}" if member.model else "", ", ".join(member.tools), member.prompt]
    role = "" if member.name.startswith(member.role) else member.role
    second = " · ".join(filter(None, (role, "decides" if decides else "")))
    lines = [f'<text class="name" x="{x + 12:.0f}" y="{y + (22 if second else 31):.0f}">{for_html(excerpt(member.name, LINE - 2))}</text>']
    if second:
        lines.append(f'<text class="role" x="{x + 12:.0f}" y="{y + 39:.0f}">{for_html(excerpt(second, LINE + 2))}</text>')
    return (
        f'<g class="member{" decides" if decides else ""}"><title>{for_html(excerpt("; ".join(filter(None, about)), 400))}</title>'
        f'<rect x="{x:.0f}" y="{y:.0f}" width="{BOX[0]}" height="{BOX[1]}" rx="8"/>{"".join(lines)}</g>'
    )


def _key(topology: Topology, ledger: Mapping[Edge, int]) -> Iterator[str]:
    if topology.spatial:
        yield '<span class="line"></span> heard in the same round'
    if topology.temporal:
        yield '<span class="line dashed"></span> heard in the round after'
    if topology.decider is not None:
        yield '<span class="swatch"></span> its last answer is the team’s'
    if ledger:
        yield "numbers and widths: tokens that the words cost the listener, over all rounds"


def _row(topology: Topology, member: Member, ledger: Mapping[Edge, int]) -> str:
    heard = topology.speaks_to(member.name, topology.rounds)

    def listed(speakers: Iterable[str]) -> str:
        tokens = {name: ledger.get((name, member.name)) for name in speakers}
        return ", ".join(name if count is None else f"{name} ({count:,})" for name, count in tokens.items()) or "–"

    cells = [
        member.role or "–",
        member.model or "the team’s",
        ", ".join(member.tools) or "–",
        listed(heard.now),
        *([listed(heard.before)] if topology.temporal else []),
    ]
    return f"<tr><th>{for_html(excerpt(member.name))}</th>{''.join(f'<td>{for_html(excerpt(cell, 300))}</td>' for cell in cells)}</tr>"
