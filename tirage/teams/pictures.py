"""A topology as a picture: lines of text, Graphviz, Mermaid, and one HTML page.

Names and roles are not trusted: every form escapes them in its own way.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Literal

from tirage.teams.page import topology_html
from tirage.teams.topology import Edge, Topology
from tirage.traces.escaping import for_dot, for_mermaid
from tirage.traces.view import excerpt

TopologyForm = Literal["ascii", "dot", "mermaid", "html", "json"]
TokenLedger = Mapping[Edge, int]
"""Tokens that a speaker's words cost a listener, over all rounds."""
WIDTH = 40
"""Characters of a name or a role."""


def draw(topology: Topology, form: TopologyForm = "ascii", ledger: TokenLedger | None = None) -> str:
    """The picture in one of the forms; `json` is the topology's own data, without the ledger."""
    drawers: dict[TopologyForm, Callable[[Topology, TokenLedger], str]] = {
        "ascii": topology_ascii,
        "dot": topology_dot,
        "mermaid": topology_mermaid,
        "html": topology_html,
        "json": lambda drawn, _: json.dumps(drawn.to_dict(), indent=1) + "\n",
    }
    return drawers[form](topology, ledger or {})


def topology_ascii(topology: Topology, ledger: TokenLedger) -> str:
    """A line per member: its layer, and whom it hears in the round (<) and from the round before (~)."""
    layers = topology.layers()
    counts = (len(topology.members), "member"), (len(topology.spatial) + len(topology.temporal), "edge"), (topology.rounds, "round")
    facts = ", ".join(f"{count} {what}{'' if count == 1 else 's'}" for count, what in counts)
    lines = [f"{excerpt(topology.name, WIDTH)}: {facts}"]
    width = max(len(excerpt(name, WIDTH)) for name in topology.names)
    for number, layer in enumerate(layers, start=1):
        for place, member in enumerate(layer):
            heard = topology.speaks_to(member.name, topology.rounds)
            parts = [
                f"{sign} {', '.join(_heard(speaker, member.name, ledger) for speaker in speakers)}"
                for sign, speakers in (("<", heard.now), ("~", heard.before))
                if speakers
            ]
            line = f"  {number if not place else '':>2}  {excerpt(member.name, WIDTH):<{width}}  {'   '.join(parts)}"
            lines.append(line.rstrip())
    lines.append(f"  {_decision(topology)}")
    if topology.spatial or topology.temporal:
        lines.append("  < hears in the same round" + ("; ~ hears what was said in the round before" if topology.temporal else ""))
    return "\n".join(lines) + "\n"


def topology_dot(topology: Topology, ledger: TokenLedger) -> str:
    """Graphviz: `dot -Tsvg`. Temporal edges are dashed, the decider is bold, edges are as wide as their tokens are many."""
    lines = [
        "digraph team {",
        "  rankdir=LR;",
        '  node [shape=box, style="rounded,filled", fillcolor="#f3f4f6", fontname="Helvetica", fontsize=10];',
    ]
    for index, label, decides in _nodes(topology):
        lines.append(f'  m{index} [label="{for_dot(label)}"{", penwidth=2.5" if decides else ""}];')
    most = max(ledger.values(), default=0)
    for source, target, temporal, tokens in _edges(topology, ledger):
        looks = ["style=dashed, constraint=false"] if temporal else []
        if tokens is not None:
            looks.append(f'label="{tokens}", penwidth={1 + 4 * tokens / max(most, 1):.1f}')
        style = f" [{', '.join(looks)}]" if looks else ""
        lines.append(f"  m{source} -> m{target}{style};")
    return "\n".join([*lines, "}"]) + "\n"


def topology_mermaid(topology: Topology, ledger: TokenLedger) -> str:
    """A Mermaid flowchart; dotted edges reach into the next round."""
    lines = ["flowchart LR"]
    lines += [f'  m{index}["{for_mermaid(label)}"]' for index, label, _ in _nodes(topology)]
    for source, target, temporal, tokens in _edges(topology, ledger):
        label = "" if tokens is None else f"|{tokens}|"
        lines.append(f"  m{source} {'-.->' if temporal else '-->'}{label} m{target}")
    lines += [f"  style m{index} stroke-width:4px" for index, _, decides in _nodes(topology) if decides]
    return "\n".join(lines) + "\n"


def _nodes(topology: Topology) -> Iterator[tuple[int, list[str], bool]]:
    """Place, label and whether it decides, of each member."""
    for index, member in enumerate(topology.members):
        label = [excerpt(member.name, WIDTH), *([excerpt(member.role, WIDTH)] if member.role else [])]
        yield index, label, member.name == topology.decider


def _edges(topology: Topology, ledger: TokenLedger) -> Iterator[tuple[int, int, bool, int | None]]:
    """Places of both ends, whether temporal, and the tokens, of each edge."""
    place = {name: index for index, name in enumerate(topology.names)}
    for temporal, edges in ((False, topology.spatial), (True, topology.temporal)):
        for edge in edges:
            yield place[edge[0]], place[edge[1]], temporal, ledger.get(edge)


def _heard(speaker: str, listener: str, ledger: TokenLedger) -> str:
    tokens = ledger.get((speaker, listener))
    return excerpt(speaker, WIDTH) + ("" if tokens is None else f" ({tokens})")


def _decision(topology: Topology) -> str:
    decider = topology.decider
    return "decided by majority" if decider is None else f"decided by {excerpt(decider, WIDTH)}"
