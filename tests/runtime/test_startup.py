"""What a start must not import: every such package costs a first answer tenths of a second."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.command_line import script

NEVER = {
    *("aiohttp", "datasets", "docker", "jsonschema", "jupyter_client", "latex2sympy2_extended", "litellm", "math_verify", "matplotlib"),
    *("mcp", "networkx", "peft", "pyarrow", "reasoning_gym", "renderers", "trl", "zmq"),
}
"""What neither a plain question nor any model in this process needs."""
WITH_WEIGHTS = {"accelerate", "safetensors", "scipy", "sympy", "tokenizers", "torch", "transformers"}
"""What comes with a model of transformers."""
PROGRAM = """
import sys
from tirage.cli.main import main
try:
    main(sys.argv[1:])
finally:
    print(*sys.modules, file=sys.stderr)
"""


def loaded(folder: Path, *arguments: str) -> tuple[str, set[str]]:
    """What a command prints, and the modules that its process has imported by its end."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, cwd=folder, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout, set(done.stderr.split())


def test_help_imports_no_command(tmp_path: Path) -> None:
    said, modules = loaded(tmp_path, "--help")
    assert "Solve one question" in said
    assert not modules & (NEVER | WITH_WEIGHTS | {"numpy", "pydantic", "yaml", "jinja2"})
    rooms = {name.split(".")[1] for name in modules if name.startswith("tirage.")}
    assert rooms == {"cli"}


def test_an_answer_without_weights_imports_nothing_that_reads_any(tmp_path: Path) -> None:
    said, modules = loaded(tmp_path, "solve", "What is 6 * 7?", "-m", script(tmp_path, "\\boxed{42}"))
    assert "answer: 42" in said
    assert not modules & (NEVER | WITH_WEIGHTS)


def test_an_answer_of_nano_imports_torch_and_transformers_at_most(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="install tirage[local]")
    pytest.importorskip("transformers", reason="install tirage[local]")
    said, modules = loaded(tmp_path, "solve", "What is 4839 * 2716?")
    assert "answer: 13142724" in said
    assert {"torch", "transformers"} <= modules
    assert not modules & NEVER
