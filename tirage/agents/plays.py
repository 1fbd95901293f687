"""The plays as `--agent` may ask for them: each takes its options by the names of its fields."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

from tirage.agents import art, critic_cot, octotools, socratic, t1
from tirage.agents.approval import Desk
from tirage.agents.kit import Kit
from tirage.agents.teams.learned import LearnedTeam
from tirage.agents.teams.learner import TopologyLearner
from tirage.agents.teams.stock import stock
from tirage.agents.teams.team import SYSTEMS, Team
from tirage.agents.teams.topology import Topology
from tirage.agents.workflow import Play, Workflow
from tirage.models.profile import profile_of


@dataclass(frozen=True, slots=True)
class Played:
    """A builder of a play over a kit."""

    build: Callable[..., Workflow]
    play: type
    options: tuple[str, ...]
    """What the command line can give; the rest is for Python."""

    @property
    def defaults(self) -> dict[str, Any]:
        """What each option is where it is not given."""
        known = {item.name: item.default for item in fields(self.play)}
        return {option: known.get(option) for option in self.options}

    def __call__(self, kit: Kit, **options: Any) -> Workflow:
        """Raises `ConfigError` for an option that the play does not take."""
        return self.build(kit, **options)


OCTOTOOLS = Played(octotools.build, octotools.OctoTools, ("max_steps", "outputs", "timeout_s"))
SOCRATIC = Played(socratic.build, socratic.Socratic, ("questions", "max_turn", "max_depth", "tools"))
ART = Played(art.build, art.Art, ("select", "tasks", "programs", "max_steps", "timeout_s", "edits"))
T1 = Played(t1.build, t1.T1, ("n", "checks", "rule", "reward", "width"))
CRITIC_FILTER = Played(critic_cot.build_filter, critic_cot.CriticFilter, ("n", "critiques", "rule", "width"))
CRITIC_REFINEMENT = Played(critic_cot.build_refinement, critic_cot.CriticRefinement, ("rounds", "restarts"))


def team(
    kit: Kit,
    *,
    topology: str | Topology | TopologyLearner = "planner-executor-critic",
    members: int | None = None,
    rounds: int | None = None,
    window: int = 12_000,
    desk: Desk | None = None,
    approve: Sequence[str] = (),
) -> Workflow:
    """A topology, a stock one by name, or one that was learned; members that answer have the kit's tools.

    `desk`: where the turns of the members in `approve` wait for a person. Raises `ConfigError` as `Topology` does.
    """

    def play_of(shape: Topology) -> Team:
        return Team(
            shape,
            systems=SYSTEMS if profile_of(kit.model).instructed else None,
            window=window,
            tools=tuple(kit.tools),
            manual=kit.system or "",
            approve=frozenset(approve),
        )

    opened = stock(topology, members, rounds=rounds) if isinstance(topology, str) else topology
    play: Play
    if isinstance(opened, Topology):
        shape, play = opened, play_of(opened)
    else:
        shape, play = opened.team, LearnedTeam(opened, play_of)
    own = {member.name: member.model for member in shape.members if member.model}
    missing = [name for name in own.values() if name not in kit.by_name]
    if missing:
        raise ValueError(f"member model {missing[0]!r} is not open; name it among agent.models")
    return kit.workflow(play, models={member: kit.by_name[name] for member, name in own.items()}, desk=desk)
