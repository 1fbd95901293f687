"""What a stranger adds in one new file, without a list edited, and reaches from the command line by `module:attribute`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

STRATEGY = '''
from tirage.search.search_base import SearchBase


class BreadthFirst(SearchBase):
    """Level by level."""

    def __init__(self, *, width: int = 2) -> None:
        super().__init__(width=width)
        self.queue = [0]

    def select(self, tree):
        return next((index for index in self.queue if self.frontier.open[index]), None)

    def told(self, tree, node, worth):
        self.queue.append(node.index)
'''
SYSTEM = r"""
from dataclasses import dataclass

from tirage.agents.replies import whole
from tirage.systems.spec import SystemSpec
from tirage.workflows.roles import Role
from tirage.workflows.agent import Workflow

WRITER = Role(name="writer", template="{problem}", read=whole, default="", answers=True)
ASKED = "{problem}\n\nA draft:\n{draft}\n\nWrite it better."
EDITOR = Role(name="editor", template=ASKED, read=whole, default="", answers=True)


@dataclass(frozen=True)
class WriteAndEdit(Workflow):
    rounds: int = 1

    @property
    def id(self):
        return f"write-and-edit-{self.rounds}"

    async def run(self, flow):
        turn = await flow.ask(WRITER)
        flow.offer(turn)
        for _ in range(self.rounds):
            turn = await flow.ask(EDITOR, after=turn.node, draft=turn.text)
            flow.offer(turn)


def build(parts, *, rounds: int = 1):
    return parts.workflow(WriteAndEdit(rounds))


SPEC = SystemSpec(name="write-and-edit", build=build, summary="A draft, then a better one.")
"""
TOOL = '''
from tirage.tools.function import tool


@tool
def double(number: int) -> int:
    """Twice a number."""
    return 2 * number
'''


def lines_of(code: str) -> int:
    return len([line for line in code.splitlines() if line.strip()])


def tirage(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "tirage", *words], cwd=folder, capture_output=True, text=True, check=False)


def scripted(folder: Path, *answers: str) -> str:
    (folder / "script.txt").write_text("\n".join(answers))
    return "scripted/script.txt"


def test_a_strategy_is_one_class_with_two_methods(tmp_path: Path) -> None:
    assert lines_of(STRATEGY) <= 40
    (tmp_path / "mine.py").write_text(STRATEGY)
    model = scripted(tmp_path, *["\\boxed{2}"] * 4)
    strategy = ("search", "1 + 1?", "--strategy", "mine:BreadthFirst", "-m", model)
    done = tirage(tmp_path, *strategy, "-o", "width=3", "--budget", "nodes=3", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["trees"][0]["answer"] == "2"
    wrong = tirage(tmp_path, *strategy, "-o", "witdh=3")
    assert wrong.returncode == 2
    assert "its options: width" in wrong.stderr


def test_a_system_of_two_roles_is_one_file(tmp_path: Path) -> None:
    assert lines_of(SYSTEM) <= 45
    (tmp_path / "mine.py").write_text(SYSTEM)
    system = ("solve", "1 + 1?", "--agent", "mine:SPEC", "-m", scripted(tmp_path, "\\boxed{1}", "\\boxed{2}", "\\boxed{3}"))
    done = tirage(tmp_path, *system, "-o", "rounds=2", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["answer"] == "3"
    wrong = tirage(tmp_path, *system, "-o", "round=2")
    assert wrong.returncode == 2
    assert "its options: rounds" in wrong.stderr


def test_a_tool_is_a_function(tmp_path: Path) -> None:
    assert lines_of(TOOL) <= 10
    (tmp_path / "mine.py").write_text(TOOL)
    listed = tirage(tmp_path, "tools", "ls", "--from", "mine:double", "--json")
    assert listed.returncode == 0, listed.stderr
    assert "double" in listed.stdout
    model = scripted(tmp_path, "<code>print(tools.double(number=21))</code>", "It is \\boxed{42}.")
    done = tirage(tmp_path, "solve", "Twice 21?", "--tools", "mine:double", "--dialect", "tags:retool", "-m", model, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["answer"] == "42"
    assert "<interpreter>\n42\n" in found["response"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("search", "1 + 1?", "--strategy", "absent:Search"), "strategy 'absent:Search' does not load"),
        (("search", "1 + 1?", "--strategy", "mine:NUMBER"), "is no search; give a class with ask and tell"),
        (("solve", "1 + 1?", "--agent", "mine:Absent"), "system 'mine:Absent' does not load"),
        (("solve", "1 + 1?", "--agent", "mine:NUMBER"), "'mine:NUMBER' is of type int; give the module:attribute of a SystemSpec"),
        (("solve", "1 + 1?", "--agent", "broken:SPEC"), "ZeroDivisionError"),
    ],
)
def test_what_is_wrong_is_one_line_with_the_remedy(tmp_path: Path, words: tuple[str, ...], says: str) -> None:
    (tmp_path / "mine.py").write_text("NUMBER = 3\n")
    (tmp_path / "broken.py").write_text("1 / 0\n")
    done = tirage(tmp_path, *words, "-m", scripted(tmp_path, "\\boxed{2}"))
    assert done.returncode == 2
    assert says in " ".join(done.stderr.split())
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
