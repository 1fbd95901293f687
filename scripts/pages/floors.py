"""The floors as a picture, drawn from the imports that the code really makes."""

import ast
from pathlib import Path

import networkx

from scripts.pages.pictures import GREY, INK, svg, words

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "tirage"
ARCHITECTURE = ROOT / "tests" / "test_architecture.py"
WIDTH, STEP, LEFT, HIGH = 940, 74, 60, 40


def floors() -> dict[str, str]:
    """One picture by its place below `docs`."""
    levels = declared()
    return {"images/floors.svg": picture(levels, imports(levels))}


def declared() -> dict[str, int]:
    """The floor of each room, as the architecture test declares it."""
    for node in ast.parse(ARCHITECTURE.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "FLOORS":
            return dict(ast.literal_eval(node.value))
    raise LookupError(f"{ARCHITECTURE} declares no FLOORS")


def imports(levels: dict[str, int]) -> networkx.DiGraph:
    """Which room imports from which; a room's number of files is on its node."""
    graph = networkx.DiGraph()
    for room in levels:
        files = sorted((PACKAGE / room).rglob("*.py"))
        graph.add_node(room, files=sum(path.name != "__init__.py" for path in files))
        for path in files:
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names = [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
                names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                for name in names:
                    other = name.split(".")[1] if name.startswith("tirage.") else ""
                    if other in levels and other != room:
                        graph.add_edge(room, other)
    return graph


def picture(levels: dict[str, int], graph: networkx.DiGraph) -> str:
    """A row for each floor, the highest on top; arrows that others imply are left out, and those of `testing`."""
    shown = {room: floor for room, floor in levels.items() if room != "testing"}
    arrows = networkx.transitive_reduction(graph.subgraph(shown))
    order = sorted(set(shown.values()), reverse=True)
    at: dict[str, tuple[float, float]] = {}
    for row, floor in enumerate(order):
        rooms = [room for room in shown if shown[room] == floor]
        for place, room in enumerate(rooms):
            at[room] = (LEFT + (WIDTH - LEFT) * (place + 0.5) / len(rooms), 24 + STEP * row)
    parts = []
    for room, other in sorted(arrows.edges):
        (x, y), (to_x, to_y) = at[room], at[other]
        start, end = y + HIGH, to_y
        bend = f"M{x:g} {start:g} C{x:g} {start + 30:g} {to_x:g} {end - 30:g} {to_x:g} {end:g}"
        parts.append(f'<path d="{bend}" fill="none" stroke="{INK}" stroke-width="1.2" opacity="0.75"/>')
    for row, floor in enumerate(order):
        parts.append(words(8, 24 + STEP * row + 25, str(floor), size=15, weight="bold"))
    for room, (x, y) in at.items():
        parts.append(f'<rect x="{x - 74:g}" y="{y:g}" width="148" height="{HIGH}" rx="8" fill="{GREY[0]}" stroke="{GREY[1]}"/>')
        parts.append(words(x, y + 18, room, size=14, fill="#1f2328", anchor="middle", weight="bold"))
        parts.append(words(x, y + 33, f"{graph.nodes[room]['files']} files", size=11, fill="#57606a", anchor="middle"))
    about = "The rooms of tirage on their floors; lines lead down to what a room imports, those that others imply are left out"
    return svg(WIDTH + 20, 24 + STEP * len(order), about, parts)
