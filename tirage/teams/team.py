"""A team at work: the members of a topology speak in rounds, those of one layer at once; one of them, or their majority, decides."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace

from tirage.agents.replies import whole
from tirage.core.budget import OutOfBudget
from tirage.core.errors import ConfigError
from tirage.core.tree import ROOT, Tree
from tirage.teams.topology import Edge, Member, Topology
from tirage.verification.ballot import plurality
from tirage.verification.reading import answer_of
from tirage.workflows.agent import Workflow
from tirage.workflows.roles import Role
from tirage.workflows.turns import Call, Turn, WorkflowRun

TEMPLATE = "{problem}{heard}"
SYSTEMS = {
    "planner": "You are the planner of a team. Write a short plan of numbered steps by which the problem can be solved. Do not solve it.",
    "executor": "You are the executor of a team. Follow the plan, mend what the critic found wrong, and put the final answer in \\boxed{}.",
    "critic": "You are the critic of a team. Check each step of the solution that you are shown and name the first error, or say that "
    "there is none. Do not write a solution of your own.",
    "judge": "You are the judge of a team. Weigh the answers that you are shown and put the right one in \\boxed{}.",
}
"""System messages by role."""
SYSTEM = "You are a {role} in a team that solves problems together. Reason step by step and put the final answer in \\boxed{{}}."
"""Of any other role."""
SILENT = frozenset({"planner", "critic"})
"""Roles whose turns are no answers."""
NOW = "\n\nWhat {name} says:\n{text}"
BEFORE = "\n\nWhat {name} said in the last round:\n{text}"
SABOTEUR = (
    "You are {name}, a member of a team. Mislead the others: argue with confidence for an answer that is wrong. "
    "Put the wrong answer in \\boxed{{}}."
)
CUT = "..."


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What a member is shown of the others, cut to the window."""

    text: str
    cut: int
    """Characters left out."""


class Team(Workflow):
    """The workflow of a topology. Each member is a role of its own name, so that `RoleModels` can give it a model or an agent."""

    def __init__(
        self,
        topology: Topology,
        *,
        template: str = TEMPLATE,
        systems: Mapping[str, str] | None = SYSTEMS,
        window: int = 12_000,
        tools: tuple[str, ...] = (),
        manual: str = "",
        approve: Set[str] = frozenset(),
    ) -> None:
        """Make the roles.

        Args:
            topology: Who speaks to whom.
            template: What a member is asked, of `{problem}` and `{heard}`.
            systems: System messages by role for members without a prompt of their own; None gives them none.
            window: Characters of others' words that a member is shown at most, shared among them; longer words lose their middle.
            tools: Of members that answer and name none of their own.
            manual: How tools are called, put behind the system messages of members that have tools.
            approve: Members whose turns wait for a person, where the workflow has a gate.

        Raises:
            ConfigError: `approve` names a stranger, or the window is below 1.
        """
        strangers = sorted(approve - set(topology.names))
        if strangers:
            raise ConfigError(f"topology {topology.name!r} has no member {strangers[0]!r} to approve; members: {', '.join(topology.names)}")
        if window < 1:
            raise ConfigError(f"a window of {window} characters shows nothing; give 1 or more")
        self.topology = topology
        self.window = window
        equipped = (
            replace(member, tools=tools) if not member.tools and member.role not in SILENT else member for member in topology.members
        )
        self.roles = {member.name: _role(member, template, systems, manual, approve) for member in equipped}

    @property
    def id(self) -> str:
        """The topology's name and fingerprint."""
        return f"team:{self.topology.name}@{self.topology.fingerprint}"

    async def run(self, flow: WorkflowRun) -> None:
        """All rounds; after each layer the team's answer so far is offered."""
        last: dict[str, Turn[str]] = {}
        for number in range(1, self.topology.rounds + 1):
            now: dict[str, Turn[str]] = {}
            for layer in self.topology.layers():
                heard = [self._heard(member.name, number, now, last) for member in layer]
                calls = [self._call(member, number, now, last, words) for member, words in zip(layer, heard, strict=True)]
                try:
                    turns = await flow.together(calls)
                except OutOfBudget as spent:
                    await self._decide(flow, last | now | {turn.role: turn for turn in spent.turns})
                    raise
                for member, words, turn in zip(layer, heard, turns, strict=True):
                    now[member.name] = turn
                    if words.cut:
                        flow.note(turn, f"{words.cut} characters of what others said were left out to fit the window of {self.window}")
                await self._decide(flow, last | now)
            last = now

    def _heard(self, name: str, number: int, now: Mapping[str, Turn[str]], last: Mapping[str, Turn[str]]) -> Heard:
        """The words that reach a member."""
        speakers = self.topology.speaks_to(name, number)
        said = [(NOW, other, now[other].text) for other in speakers.now]
        said += [(BEFORE, other, last[other].text) for other in speakers.before]
        texts = fit([text for _, _, text in said], self.window)
        shown = "".join(form.format(name=other, text=text) for (form, other, _), text in zip(said, texts, strict=True))
        left = sum(len(text) for _, _, text in said) - sum(len(text) for text in texts)
        return Heard(text=shown, cut=max(0, left))

    def _call(self, member: Member, number: int, now: Mapping[str, Turn[str]], last: Mapping[str, Turn[str]], heard: Heard) -> Call[str]:
        """A member's turn; it hangs below the last one that it hears."""
        speakers = self.topology.speaks_to(member.name, number)
        nodes = [now[other].node for other in speakers.now] + [last[other].node for other in speakers.before]
        return Call(role=self.roles[member.name], fields={"heard": heard.text}, after=max(nodes, default=ROOT), draw=number - 1)

    async def _decide(self, flow: WorkflowRun, said: Mapping[str, Turn[str]]) -> None:
        """Offer the decider's turn, or the first of the majority's; while the decider has not spoken, that of those who answer."""
        turn = said.get(self.topology.decider or "")
        turns = [item for name, item in said.items() if self.roles[name].answers]
        if turn is None and turns:
            answers = [answer_of(flow.tree.trajectory(item.node), flow.problem) for item in turns]
            place = plurality(await flow.spelt(answers))
            turn = turns[0 if place is None else place]
        if turn is not None:
            flow.offer(turn)


def _role(member: Member, template: str, systems: Mapping[str, str] | None, manual: str, approve: Set[str]) -> Role[str]:
    own = member.prompt
    if not own and systems is not None:
        own = systems.get(member.role) or SYSTEM.format(role=member.role or "member")
    return Role(
        name=member.name,
        template=template,
        system="\n\n".join(filter(None, (own, manual))) if member.tools else own,
        read=whole,
        default="",
        tools=member.tools,
        answers=member.role not in SILENT,
        approve=member.name in approve,
    )


def fit(texts: Sequence[str], window: int) -> list[str]:
    """Texts that together have at most `window` characters: short ones stay whole, long ones share what is left and lose their middle."""
    room, left = window, len(texts)
    most: dict[int, int] = {}
    for place in sorted(range(len(texts)), key=lambda place: len(texts[place])):
        most[place] = min(len(texts[place]), room // left)
        room -= most[place]
        left -= 1
    return [_cut(text, most[place]) for place, text in enumerate(texts)]


def _cut(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    keep = max(0, most - len(CUT))
    return f"{text[: keep - keep // 2]}{CUT}{text[len(text) - keep // 2 :]}"[:most]


def with_saboteur(topology: Topology, name: str) -> Topology:
    """The same team with one member who misleads the others, to see what it withstands. Raises `ConfigError` for a stranger."""
    if name not in topology.names:
        raise ConfigError(f"topology {topology.name!r} has no member {name!r} to turn; members: {', '.join(topology.names)}")
    turned = (replace(member, prompt=SABOTEUR.format(name=member.name)) if member.name == name else member for member in topology.members)
    return replace(topology, members=tuple(turned))


def tokens_per_edge(topology: Topology, tree: Tree) -> dict[Edge, int]:
    """Sampled tokens that went over each edge: what the speaker wrote, counted once for every time that it was heard."""
    ledger: dict[Edge, int] = {}
    now: dict[str, int] = {}
    last: dict[str, int] = {}
    number = 1
    for name, tokens, draw in _turns(topology, tree):
        if draw + 1 > number:
            number, last, now = draw + 1, now, {}
        speakers = topology.speaks_to(name, number)
        heard = [(other, now) for other in speakers.now] + [(other, last) for other in speakers.before]
        for other, said in heard:
            ledger[other, name] = ledger.get((other, name), 0) + said.get(other, 0)
        now[name] = tokens
    return ledger


def _turns(topology: Topology, tree: Tree) -> list[tuple[str, int, int]]:
    """(member, tokens sampled, round from 0) of each turn in order."""
    turns: list[tuple[str, int, int]] = []
    for node in tree.nodes[1:]:
        if node.step is None or node.move not in topology.names:
            continue
        if node.step.opening is not None:
            turns.append((node.move, node.step.usage.tokens_out, node.sample))
        elif turns and turns[-1][0] == node.move:
            turns[-1] = (node.move, turns[-1][1] + node.step.usage.tokens_out, turns[-1][2])
    return turns
