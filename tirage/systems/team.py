"""A topology of agents as a system: a stock one, one from a file, or one that was learned."""

from collections.abc import Sequence

from tirage.models.profile import profile_of
from tirage.systems.parts import AgentParts
from tirage.systems.spec import SystemSpec
from tirage.teams.learned import LearnedTeam
from tirage.teams.learner import TopologyLearner
from tirage.teams.stock import stock
from tirage.teams.team import SYSTEMS, Team
from tirage.teams.topology import Topology
from tirage.workflows.agent import Workflow, WorkflowAgent
from tirage.workflows.approval import ApprovalGate


def team(
    parts: AgentParts,
    *,
    topology: str | Topology | TopologyLearner = "planner-executor-critic",
    members: int | None = None,
    rounds: int | None = None,
    window: int = 12_000,
    gate: ApprovalGate | None = None,
    approve: Sequence[str] = (),
) -> WorkflowAgent:
    """A topology, a stock one by name, or one that was learned; members that answer have the tools.

    `gate`: where the turns of the members in `approve` wait for a person. Raises `ConfigError` as `Topology` does.
    """

    def workflow_of(shape: Topology) -> Team:
        return Team(
            shape,
            systems=SYSTEMS if profile_of(parts.model).instructed else None,
            window=window,
            tools=tuple(parts.tools),
            manual=parts.system or "",
            approve=frozenset(approve),
        )

    opened = stock(topology, members, rounds=rounds) if isinstance(topology, str) else topology
    workflow: Workflow
    if isinstance(opened, Topology):
        shape, workflow = opened, workflow_of(opened)
    else:
        shape, workflow = opened.team, LearnedTeam(opened, workflow_of)
    own = {member.name: member.model for member in shape.members if member.model}
    missing = [name for name in own.values() if name not in parts.by_name]
    if missing:
        raise ValueError(f"member model {missing[0]!r} is not open; name it among agent.models")
    return parts.workflow(workflow, models={member: parts.by_name[name] for member, name in own.items()}, gate=gate)


SPEC = SystemSpec(
    name="team",
    paper="",
    summary="a topology of agents at work: planner-executor-critic, or another by topology=NAME or FILE",
    build=team,
    from_python=("gate", "approve"),
)
