"""A team whose edges were learned: what was frozen decodes them for each problem."""

from collections.abc import Callable

from tirage.teams.learner import TopologyLearner
from tirage.teams.team import Team
from tirage.teams.topology import Topology
from tirage.workflows.agent import Workflow
from tirage.workflows.turns import WorkflowRun


class LearnedTeam(Workflow):
    """The workflow of a topology that depends on the problem."""

    def __init__(self, learner: TopologyLearner, team_of: Callable[[Topology], Team]) -> None:
        """`learner` is frozen here: at work nothing is drawn."""
        learner.freeze()
        self._learner = learner
        self._team_of = team_of

    @property
    def id(self) -> str:
        """The learner's kind."""
        return f"learned-{type(self._learner).__name__.lower()}"

    async def run(self, flow: WorkflowRun) -> None:
        """As the decoded team works."""
        await self._team_of(self._learner.sample(flow.problem.prompt, flow.tree.seed)[0]).run(flow)
