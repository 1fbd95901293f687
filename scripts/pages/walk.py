"""The walk of one problem from `tirage.solve` to its stored trace, traced on a real call.

    python -m scripts.pages.walk

A file is on the walk when one of its functions is handed the problem or what becomes of it: its tree, a step, a path, a verdict, the
rollout that is stored. `docs/data/walk.json` keeps the files in the order in which they are first reached; `docs/images/walk.svg` is drawn
from it.
"""

import json
import sys
import tempfile
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import tirage
from scripts.pages.floors import declared
from scripts.pages.pictures import GREEN, GREY, INK, svg, words
from tirage.core import Problem, Rollout, Step, Trajectory, Tree, Verdict

ROOT = Path(tirage.__file__).parent
DOCS = Path(__file__).resolve().parents[2] / "docs"
QUESTION = "What is 12 + 30?"
CARRIED = (Problem, Tree, Step, Trajectory, Verdict, Rollout)
COLUMN, ROW, LEFT, TOP = 30, 46, 110, 190


class Walk:
    """Listens to calls, and keeps the files that are handed something of the problem, first calls only."""

    def __init__(self) -> None:
        """Nothing is listened to yet."""
        self.stays: list[dict[str, str]] = []
        self.executed: set[str] = set()
        self._known: set[str] = set()

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        """As `sys.setprofile` calls it."""
        code = frame.f_code
        if event != "call" or not code.co_filename.startswith(f"{ROOT}/") or code.co_name == "<module>":
            return
        name = str(Path(code.co_filename).relative_to(ROOT))
        self.executed.add(name)
        if name in self._known:
            return
        given = [frame.f_locals.get(argument) for argument in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]]
        carried = next((type(value).__name__ for value in given if isinstance(value, CARRIED)), "")
        if carried or code.co_name == "solve":
            self._known.add(name)
            self.stays.append({"file": name, "function": code.co_name, "carries": carried or "question"})


def trace(model: str = "nano") -> dict[str, Any]:
    """Solve one question and follow it; the trace is stored in a folder that is removed afterwards. Needs the extra `local` for nano."""
    walk = Walk()
    with tempfile.TemporaryDirectory() as folder:
        tirage.solve(QUESTION, model=model, run=None)  # imports and class bodies are no part of the walk
        threading.setprofile(walk)
        sys.setprofile(walk)
        try:
            tirage.solve(QUESTION, model=model, run=Path(folder) / "run")
        finally:
            sys.setprofile(None)
            threading.setprofile(None)
    return {"question": QUESTION, "model": model, "executed": len(walk.executed), "stays": walk.stays}


def picture(walk: dict[str, Any]) -> str:
    """The stays from left to right, each at the height of its room."""
    levels = declared()
    rooms = sorted({stay["file"].split("/")[0] for stay in walk["stays"]}, key=lambda room: (-levels.get(room, 0), room))
    height = {room: TOP + ROW * row for row, room in enumerate(rooms)}
    points = [(LEFT + COLUMN * (number + 0.5), height[stay["file"].split("/")[0]]) for number, stay in enumerate(walk["stays"])]
    width = LEFT + COLUMN * len(points) + 130
    parts = [words(8, 22, f"From tirage.solve to the stored trace: {len(points)} files", size=15, weight="bold")]
    for room, y in height.items():
        parts.append(words(8, y + 4, f"{levels.get(room, 0)} {room}", size=13, weight="bold"))
        parts.append(f'<path d="M{LEFT} {y} H{LEFT + COLUMN * len(points)}" stroke="{INK}" stroke-width="1" opacity="0.25"/>')
    line = " L".join(f"{x:g} {y:g}" for x, y in points)
    parts.append(f'<path d="M{line}" fill="none" stroke="{GREEN[1]}" stroke-width="1.6" stroke-linejoin="round"/>')
    for (x, y), stay in zip(points, walk["stays"], strict=True):
        name = stay["file"].partition("/")[2].removesuffix(".py")
        parts.append(f'<path d="M{x:g} {TOP - 24} V{y - 6:g}" stroke="{INK}" stroke-width="0.7" stroke-dasharray="2 3"/>')
        parts.append(f'<circle cx="{x:g}" cy="{y:g}" r="6" fill="{GREY[0]}" stroke="{GREEN[1]}" stroke-width="2"/>')
        parts.append(f'<g transform="translate({x + 4:g} {TOP - 30}) rotate(-55)">{words(0, 0, name, size=12)}</g>')
    about = "The files that one problem passes, in order: " + ", ".join(stay["file"] for stay in walk["stays"])
    return svg(width, TOP + ROW * len(rooms), about, parts)


def main() -> int:
    """Trace, and write the data and the picture."""
    found = trace()
    (DOCS / "data" / "walk.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    (DOCS / "images" / "walk.svg").write_text(picture(found), encoding="utf-8")
    rooms = list(dict.fromkeys(stay["file"].split("/")[0] for stay in found["stays"]))
    print(f"{len(found['stays'])} files are handed the problem, of {found['executed']} that run; rooms: {', '.join(rooms)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
