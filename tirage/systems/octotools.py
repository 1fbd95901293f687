"""OctoTools (Lu et al. 2025, arXiv 2502.11271, section 3): plan, act and check over tools that cards describe. Nothing is trained.

One problem costs 1 model call for the analysis, 3 for each step (action, command, check), 1 for the solution. Commands are run by the
framework. The paper's time limit is the budget's `wall_s`.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, PositiveFloat, PositiveInt

from tirage.agents.replies import Unreadable, as_json, json_objects, one_of, unfenced, whole
from tirage.systems.options import workflow_of
from tirage.systems.parts import AgentParts
from tirage.systems.prompts import prompt
from tirage.systems.spec import SystemSpec
from tirage.tools.base import Tool, ToolSpec
from tirage.tools.cards import card_of, render
from tirage.tools.python import clip
from tirage.workflows.agent import Workflow, WorkflowAgent
from tirage.workflows.roles import Role
from tirage.workflows.tool_runner import encoded, only_text
from tirage.workflows.turns import Turn, WorkflowRun

MOST_CHARS = 100_000
"""Of a result in the memory."""
NO_COMMAND = "No command was given."
Output = Literal["base", "final", "direct"]


def _as_text(value: object) -> str:
    """Models write lists and objects where a text is due."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


LooseText = Annotated[str, BeforeValidator(_as_text)]


class Analysis(BaseModel):
    """The plan at a high level."""

    concise_summary: LooseText = ""
    required_skills: LooseText = ""
    relevant_tools: LooseText = ""
    additional_considerations: LooseText = ""


class NextAction(BaseModel):
    """The plan of one step."""

    justification: LooseText = ""
    context: LooseText = ""
    """Everything that the tool has to know: tools cannot read the memory."""
    sub_goal: LooseText = ""
    tool_name: str


class Command(BaseModel):
    """What a tool is called with."""

    analysis: LooseText = ""
    explanation: LooseText = ""
    command: str | dict[str, Any] | list[dict[str, Any]]
    """Arguments of one call or of several, or the one text that the tool requires (the code, for `python`)."""


class MemoryCheck(BaseModel):
    """Whether the memory is enough to answer."""

    analysis: LooseText = ""
    stop_signal: bool


def read_check(text: str) -> MemoryCheck:
    """A JSON object, else the word behind the last "conclusion:", else the last "stop" or "continue" anywhere."""
    try:
        return as_json(MemoryCheck)(text)
    except Unreadable:
        pass
    try:
        word = one_of("stop", "continue", label="conclusion")(text)
    except Unreadable:
        word = one_of("stop", "continue")(text)
    return MemoryCheck(analysis=text, stop_signal=word == "stop")


ANALYSER = Role(
    name="analyser",
    template=prompt("octotools", "analyser"),
    read=as_json(Analysis),
    default=Analysis(),
)
PREDICTOR = Role(
    name="predictor",
    template=prompt("octotools", "predictor"),
    read=as_json(NextAction),
    default=NextAction(tool_name=""),
)
COMMANDER = Role(
    name="commander",
    template=prompt("octotools", "commander"),
    read=as_json(Command),
    default=Command(command=""),
)
VERIFIER = Role(
    name="verifier",
    template=prompt("octotools", "verifier"),
    read=read_check,
    default=MemoryCheck(stop_signal=False),
    decides=True,
)
_SOLVED = "Query: {problem}\n\nSteps that were taken:\n{memory}\n\n"
OUTPUTS: dict[str, Role[str]] = {
    "base": Role(name="base", template="{problem}", read=whole, default="", answers=True),
    "final": Role(
        name="reporter",
        template=prompt("octotools", "reporter"),
        read=whole,
        default="",
        answers=True,
    ),
    "direct": Role(
        name="summariser",
        template=prompt("octotools", "summariser"),
        read=whole,
        default="",
        answers=True,
    ),
}
"""The solutions by name: without any tool (for comparison), a long report, a short answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolAction:
    """An entry of the memory."""

    tool: str
    """As it is called; as it was named, where there is none."""
    sub_goal: str
    command: object
    result: str | list[str]


def described(tool: Tool) -> str:
    """The tool's card. Raises `ConfigError` when its author's notes do not fit it."""
    return render(card_of(tool))


def find_tool(name: str, tools: Mapping[str, Tool]) -> str | None:
    """The tool that is meant: the longest whose name is part of `name`, whatever the case; None for none."""
    return max((known for known in tools if known.casefold() in name.casefold()), key=len, default=None)


def arguments_of(command: str | dict[str, Any] | list[dict[str, Any]], spec: ToolSpec) -> list[str]:
    """The arguments of each call that a command asks for, as JSON.

    A text that holds no object which names the tool's one required text is that text itself, out of its fence if it stands in one.
    """
    if isinstance(command, str):
        field = only_text(spec)
        found = [item for item in json_objects(command) if field is None or field in item]
        return [json.dumps(item) for item in found] or [encoded(spec, unfenced(command))]
    return [json.dumps(item) for item in ([command] if isinstance(command, dict) else command)]


@dataclass(frozen=True, slots=True, kw_only=True)
class OctoTools(Workflow):
    """The workflow."""

    max_steps: PositiveInt = 10
    outputs: tuple[Output, ...] = ("direct",)
    """Which of `OUTPUTS` are written, `base` before anything else; the last one is the answer."""
    timeout_s: PositiveFloat = 120.0
    """Seconds of one tool call."""
    describe: Callable[[Tool], str] = described
    """What the roles read about a tool; the commander reads the schema of its arguments too."""

    @property
    def id(self) -> str:
        """With the number of steps."""
        return f"octotools-{self.max_steps}"

    async def run(self, flow: WorkflowRun) -> None:
        """Analyse, then step by step until the verifier says stop, and sum up. Where the calls run short, the last go to summing up."""
        tools = flow.role_models.tools
        cards = "\n\n".join(self.describe(tool) for tool in tools.values())
        if "base" in self.outputs:
            flow.offer(await flow.ask(OUTPUTS["base"]))
        analysis = await flow.ask(ANALYSER, tools=cards)
        plan, after, memory = _shown(analysis.value), analysis.node, list[ToolAction]()
        for step in range(1, self.max_steps + 1):
            if not self._has_room(flow):
                flow.tree.ended = "budget: model_calls"
                break
            planned = await flow.ask(
                PREDICTOR, after=after, analysis=plan, tools=cards, memory=_told(memory), step=step, left=self.max_steps - step
            )
            action, after = await self._act(flow, planned)
            memory.append(action)
            check = await flow.ask(VERIFIER, after=after, analysis=plan, tools=cards, memory=_told(memory))
            after = check.node
            if check.value.stop_signal:
                break
        else:
            flow.tree.ended = "max_steps"
        for name in self.outputs:
            if name != "base":
                flow.offer(await flow.ask(OUTPUTS[name], after=after, memory=_told(memory)))

    def _has_room(self, flow: WorkflowRun) -> bool:
        """Whether the problem's own budget has room for a step and the solution behind it."""
        most, used = flow.meter.budget.model_calls, flow.meter.spent.model_calls
        return most is None or used + 3 + len(set(self.outputs) - {"base"}) <= most

    async def _act(self, flow: WorkflowRun, planned: Turn[NextAction]) -> tuple[ToolAction, int]:
        """The planned action with what came of it, and its last node. A tool that is not there, or no command, is a result too."""
        tools, plan = flow.role_models.tools, planned.value
        name = find_tool(plan.tool_name, tools)
        if name is None:
            known = ", ".join(sorted(tools)) or "none"
            result = f"No result: there is no tool named {plan.tool_name!r}; tools: {known}"
            return ToolAction(tool=plan.tool_name, sub_goal=plan.sub_goal, command=NO_COMMAND, result=result), planned.node
        text_form = "" if (field := only_text(tools[name].spec)) is None else f", or the plain text of {field!r}"
        written = await flow.ask(
            COMMANDER,
            after=planned.node,
            context=plan.context,
            sub_goal=plan.sub_goal,
            tool=self.describe(tools[name]),
            schema=json.dumps(dict(tools[name].spec.parameters), ensure_ascii=False),
            text_form=text_form,
        )
        command, node = written.value.command, written.node
        results: list[str] = []
        for arguments in arguments_of(command, tools[name].spec) if command != "" else ():
            done = await flow.call(name, arguments, after=node, role="executor", timeout_s=self.timeout_s)
            results.append(clip(done.text.strip(), MOST_CHARS)[0])
            node = done.node
        if not results:
            return ToolAction(tool=name, sub_goal=plan.sub_goal, command=NO_COMMAND, result="No result: there was no command."), node
        return ToolAction(tool=name, sub_goal=plan.sub_goal, command=command, result=results[0] if len(results) == 1 else results), node


def build(parts: AgentParts, **options: Any) -> WorkflowAgent:
    """The agent. `options` are fields of `OctoTools`; raises `ConfigError` for one that it does not have."""
    return parts.workflow(workflow_of(OctoTools, options))


def _shown(value: BaseModel) -> str:
    return json.dumps(value.model_dump(), ensure_ascii=False, indent=1)


def _told(memory: Sequence[ToolAction]) -> str:
    """The memory as the roles read it."""
    entries = {
        f"step {number}": {"tool": item.tool, "sub_goal": item.sub_goal, "command": item.command, "result": item.result}
        for number, item in enumerate(memory, start=1)
    }
    return json.dumps(entries, ensure_ascii=False, indent=1) if entries else "none"


SPEC = SystemSpec(
    name="octotools",
    paper="2502.11271",
    summary="OctoTools: analyse, then plan, call and check one tool at a time, and sum up",
    build=build,
    sampling={"max_tokens": 4000},
    workflow=OctoTools,
    options=("max_steps", "outputs", "timeout_s"),
    shots=("predictor", "analyser", "commander", "verifier", "summariser", "reporter"),
    needs_instructions=True,
    calls_own_tools=True,
)
