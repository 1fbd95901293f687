"""The map of the code base, enforced: floors, loops, sizes, names and what importing costs."""

import ast
import subprocess
import sys
from collections.abc import Iterator
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
    "rollouts": 4,
    "evaluation": 5,
    "training": 5,
    "serving": 6,
    "cli": 6,
}
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


def package_of(module: str) -> str | None:
    """The floor package a dotted name lies in; None for root modules and foreign packages."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[0] == "tirage" and parts[1] in FLOORS else None


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_imports_go_down(path: Path) -> None:
    mine = package_of(name_of(path) + ".x")
    for module, line in imports(path):
        theirs = package_of(module)
        where = f"{path.relative_to(ROOT)}:{line} imports {module}"
        if module.startswith("tirage.testing"):
            assert mine is None or mine == "cli", f"{where}: nothing below the command line imports the doubles"
        if mine is None or theirs is None or mine == theirs:
            if mine is not None and module.startswith("tirage.") and theirs is None and mine != "cli":
                assert module.startswith(("tirage.testing", "tirage.__version__")), f"{where}: a floor imports a root module"
            continue
        assert FLOORS[theirs] < FLOORS[mine], f"{where}: floor {FLOORS[mine]} may not import floor {FLOORS[theirs]}"


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


def test_importing_is_light() -> None:
    code = "import sys, tirage; print(' '.join(sys.modules))"
    loaded = set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())
    heavy = {"torch", "transformers", "litellm", "docker", "jupyter_client", "numpy", "sympy", "pyarrow", "networkx", "datasets", "trl"}
    assert not loaded & heavy
