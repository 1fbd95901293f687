"""A team whose edges were learned: what was frozen decodes them for each problem."""

from collections.abc import Callable

from tirage.agents.teams.learner import TopologyLearner
from tirage.agents.teams.team import Team
from tirage.agents.teams.topology import Topology
from tirage.agents.transcript import Transcript


class LearnedTeam:
    """The play of a topology that depends on the problem."""

    def __init__(self, learner: TopologyLearner, team_of: Callable[[Topology], Team]) -> None:
        """`learner` is frozen here: at work nothing is drawn."""
        learner.freeze()
        self._learner = learner
        self._team_of = team_of
        self.id = f"learned-{type(learner).__name__.lower()}"

    async def play(self, script: Transcript) -> None:
        """As the decoded team plays."""
        await self._team_of(self._learner.sample(script.problem.prompt, script.tree.seed)[0]).play(script)
