"""The map of the code base, enforced: floors, loops, sizes, names and what importing costs."""

import ast
import importlib
import inspect
import subprocess
import sys
import types
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import networkx
import pytest

import tirage

ROOT = Path(tirage.__file__).parent
FLOORS = {
    "core": 0,
    "problems": 1,
    "models": 1,
    "sandbox": 1,
    "search": 1,
    "traces": 1,
    "tools": 2,
    "verification": 2,
    "agents": 3,
    "workflows": 4,
    "judging": 4,
    "teams": 5,
    "systems": 6,
    "rollouts": 7,
    "evaluation": 8,
    "training": 8,
    "runtime": 9,
    "serving": 10,
    "cli": 11,
    "testing": 12,
}
ROOT_MODULES = {"tirage": 10, "tirage.__main__": 12}
"""The public face loads what it offers on demand; `__main__` starts the command line."""
MAY_USE_DOUBLES = {"runtime", "cli", "testing"}
"""Model strings name scripted and replayed models; `tirage sandbox check` runs the conformance suite."""
ROOM = 20
"""Files of a room at most, `__init__` aside."""
ONE_IMPLEMENTATION = {
    "sandbox.box.Holder": "a box and its sessions know each other; the protocol is the half that keeps the imports free of a loop",
    "traces.base.TraceSink": "the runner writes into whatever its caller keeps rollouts in, such as a list in a notebook",
}
"""Protocols that one class of the package implements, and why they are protocols."""
RETIRED = {
    *(
        "Play",
        "PlayAgent",
        "Transcript",
        "Kit",
        "Cast",
        "Growth",
        "Stepper",
        "Steering",
        "Desk",
        "Workbench",
        "Company",
        "Settled",
        "Played",
    ),
    *("Taken", "Equipment", "Parts", "is_nano"),
}
"""Names that this field has another word for; see the vocabulary in CONTRIBUTING."""
BANNED_NAMES = {"utils", "helpers", "common", "misc"}
STANDARD_LIBRARY_ONLY = {"core", "search"}


def modules() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def name_of(path: Path) -> str:
    parts = ["tirage", *path.relative_to(ROOT).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Every imported module or name, functions' own imports and typing-only ones included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = name_of(path.parent / "__init__.py").split(".")
            base = ".".join(above[: len(above) - node.level + 1]) + "." if node.level else ""
            yield from ((f"{base}{node.module + '.' if node.module else ''}{alias.name}", node.lineno) for alias in node.names)


def floor_of(module: str) -> tuple[str, int]:
    """Package and floor of a dotted name below `tirage`; a root module is a package of its own."""
    package = module.split(".")[1] if module.count(".") else ""
    return (package, FLOORS[package]) if package in FLOORS else (module, ROOT_MODULES.get(module, ROOT_MODULES["tirage"]))


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_every_module_has_a_floor(path: Path) -> None:
    name = name_of(path)
    assert name in ROOT_MODULES or name.split(".")[1] in FLOORS, f"{name}: give its package a floor"


@pytest.mark.parametrize("package", sorted(set(FLOORS) - {"testing"}))
def test_each_room_says_its_floor(package: str) -> None:
    about = ast.get_docstring(ast.parse((ROOT / package / "__init__.py").read_text(encoding="utf-8"))) or ""
    assert about.startswith(f"Floor {FLOORS[package]}: "), f"{package}: {about.splitlines()[0]!r}"


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_imports_go_down(path: Path) -> None:
    package, mine = floor_of(name_of(path))
    for module, line in imports(path):
        if module.split(".")[0] != "tirage" or module == "tirage.__version__":
            continue
        other, theirs = floor_of(module)
        where = f"{path.relative_to(ROOT)}:{line} imports {module}"
        if other == "testing":
            assert package in MAY_USE_DOUBLES, f"{where}: only {', '.join(sorted(MAY_USE_DOUBLES))} use the doubles"
        elif other != package:
            assert theirs < mine, f"{where}: floor {mine} may not import floor {theirs}"


@pytest.mark.parametrize("room", sorted({path.parent for path in modules()}), ids=lambda room: str(room.relative_to(ROOT.parent)))
def test_rooms_stay_small(room: Path) -> None:
    files = [path for path in room.glob("*.py") if path.name != "__init__.py"]
    assert len(files) <= ROOM, f"{room}: {len(files)} files; split it by concept"


def test_no_import_loops() -> None:
    known = {name_of(path) for path in modules()}
    graph = networkx.DiGraph()
    for path in modules():
        for module, _ in imports(path):
            target = module if module in known else module.rpartition(".")[0]
            if target in known and target != name_of(path) and not name_of(path).startswith(target + "."):
                graph.add_edge(name_of(path), target)
    loops = [sorted(part) for part in networkx.strongly_connected_components(graph) if len(part) > 1]
    assert not loops, loops


def members(node: ast.ClassDef) -> set[str]:
    """Names that a class declares, defines, or sets in `__init__`."""
    found = set()
    for part in node.body:
        if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(part.name)
            if part.name == "__init__":
                stored = [item for item in ast.walk(part) if isinstance(item, ast.Attribute) and isinstance(item.ctx, ast.Store)]
                found |= {item.attr for item in stored}
        elif isinstance(part, ast.AnnAssign | ast.Assign):
            targets = part.targets if isinstance(part, ast.Assign) else [part.target]
            found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return found


def test_protocols_have_several_implementations() -> None:
    classes: dict[str, tuple[set[str], set[str]]] = {}
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                bases = {ast.unparse(base).partition("[")[0].rpartition(".")[2] for base in node.bases}
                classes[f"{name_of(path).removeprefix('tirage.')}.{node.name}"] = (members(node), bases)

    @cache  # classes refer to each other again and again
    def whole(name: str) -> set[str]:
        own, bases = classes[name]
        return own.union(*(whole(other) for other in classes if other != name and other.rpartition(".")[2] in bases))

    protocols = {name for name, (_, bases) in classes.items() if "Protocol" in bases}
    lonely = set()
    for protocol in protocols:
        concrete = [name for name in classes if name not in protocols]
        called = protocol.rpartition(".")[2]
        if sum(called in classes[name][1] or whole(protocol) <= whole(name) for name in concrete) == 1:
            lonely.add(protocol)
    assert lonely == set(ONE_IMPLEMENTATION)


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_no_name_is_retired(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        defined = node.name if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) else None
        read = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else None
        assert not {defined, read} & RETIRED, f"{path.relative_to(ROOT)}:{node.lineno}: {defined or read}"  # type: ignore[attr-defined]


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_sizes_and_names(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert path.stem not in BANNED_NAMES, f"{path}: say what it is about"
    assert len(text.splitlines()) <= 400, f"{path}: split it by concept"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= 60, f"{path}:{node.lineno}: {node.name} has {length} lines"


@pytest.mark.parametrize("package", sorted(STANDARD_LIBRARY_ONLY))
def test_pure_floors_need_only_the_standard_library(package: str) -> None:
    for path in (ROOT / package).rglob("*.py"):
        for module, line in imports(path):
            top = module.split(".")[0]
            assert top == "tirage" or top in sys.stdlib_module_names, f"{path}:{line} imports {module}"


def test_exports_are_sorted() -> None:
    assert list(tirage.__all__) == sorted(tirage.__all__)
    assert all(hasattr(tirage, name) for name in tirage.__all__)


def test_the_face_is_typed_things_only() -> None:
    assert set(tirage.__all__) <= set(dir(tirage))
    offered = [getattr(tirage, name) for name in tirage.__all__ if name != "__version__"]
    assert all(isinstance(item, type | types.FunctionType) for item in offered), "classes and functions"
    assert type(tirage) is types.ModuleType
    assert isinstance(importlib.import_module("tirage.search"), types.ModuleType)
    assert tirage.search is sys.modules["tirage.search"], "tirage.search is the package"
    for name in ("solve", "improve"):
        kinds = {item.kind for item in inspect.signature(getattr(tirage, name)).parameters.values()}
        assert inspect.Parameter.VAR_KEYWORD not in kinds
    with pytest.raises(AttributeError, match="has no attribute 'solv'; it has Agent, "):
        tirage.solv  # noqa: B018


def test_importing_is_light() -> None:
    code = "import sys, tirage; print(' '.join(sys.modules))"
    loaded = set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())
    heavy = {"torch", "transformers", "litellm", "docker", "jupyter_client", "numpy", "sympy", "pyarrow", "networkx", "datasets", "trl"}
    assert not loaded & heavy
    assert not {name for name in loaded if name.startswith("tirage.")}, "what is offered is loaded when it is asked for"
