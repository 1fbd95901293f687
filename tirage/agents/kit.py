"""What a published system is built from: models, tools, a sandbox and the settings of the run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from tirage.agents.approval import Desk
from tirage.agents.cast import Cast
from tirage.agents.critic import CHECK, Critic
from tirage.agents.demonstrations import Demonstrations
from tirage.agents.dialect import Dialect, FencedPython
from tirage.agents.draft import Policy
from tirage.agents.elicitation import Elicitation
from tirage.agents.equipment import PathLimits, Steering
from tirage.agents.explorer import Agent, Explorer, one_chain
from tirage.agents.hints import HintPlan
from tirage.agents.policy import ModelPolicy
from tirage.agents.shots import behind
from tirage.agents.valuers import Judge, Valuer
from tirage.agents.workflow import Play, Workflow
from tirage.core.budget import Budget
from tirage.core.hint import Hint
from tirage.core.problem import Problem
from tirage.models.base import Model, Sampling
from tirage.sandbox.base import Sandbox
from tirage.search.base import SearchMaker
from tirage.tools.base import Tool
from tirage.verification.alike import Alike, quickly


@dataclass(frozen=True, slots=True, kw_only=True)
class Kit:
    """The parts; a system takes those it needs."""

    model: Model
    others: tuple[Model, ...] = ()
    """Further models, in the order in which they were named; see `second`."""
    by_name: Mapping[str, Model] = field(default_factory=dict)
    """The same by the strings that named them."""
    sampling: Sampling
    dialect: Dialect = field(default_factory=FencedPython)
    system: str | None = None
    """System message that explains the dialect, None for none."""
    demonstrations: Demonstrations | None = None
    """Worked problems that the policy is shown before its own."""
    elicitation: Elicitation | None = None
    """How an answer is asked of a path that ended without one; None leaves it without."""
    hints: HintPlan | None = None
    tools: Mapping[str, Tool] = field(default_factory=dict)
    sandbox: Sandbox | None = None
    limits: PathLimits = field(default_factory=PathLimits)
    steering: Steering = field(default_factory=Steering)
    search: SearchMaker | None = None
    """Makes the searches, where the caller settled how; None leaves it to the system."""
    check: str = CHECK
    """How the critic is asked."""
    shots: Mapping[str, str] = field(default_factory=dict)
    """Worked examples by role."""
    verifiers: Callable[[Problem], Judge] | None = None
    """What an oracle asks; None where nobody may see the reference."""
    alike: Alike = quickly
    """Which answers are the same: the verifiers' word, where they are at hand."""

    @property
    def second(self) -> Model:
        """The other model, where two take part; the same one where there is no other."""
        return self.others[0] if self.others else self.model

    def policy(
        self,
        *,
        dialect: Dialect | None = None,
        moves: Sequence[Hint] = (),
        separator: str | None = None,
        more: Mapping[str, Tool] | None = None,
    ) -> ModelPolicy:
        """The model as a policy, in another dialect or with `more` tools if need be."""
        system = behind(self.system, self.shots)
        return ModelPolicy(
            self.model,
            dialect or self.dialect,
            sampling=replace(self.sampling, logprobs=self.model.capabilities.logprobs),
            system=system if self.demonstrations is None else partial(self.demonstrations.messages, system),
            hints=self.hints,
            tools=tuple(tool.spec for tool in {**self.tools, **(more or {})}.values()),
            moves=moves,
            separator=separator,
            elicitation=self.elicitation,
        )

    def explorer(
        self,
        policy: Policy | None = None,
        *,
        search: SearchMaker,
        limits: PathLimits | None = None,
        steering: Steering | None = None,
        tools: Mapping[str, Tool] | None = None,
        answer_of: Callable[[str], str | None] | None = None,
    ) -> Explorer:
        """An explorer over the kit's sandbox; the kit's own search comes before `search`. Raises what making a search raises."""
        make = self.search or search
        make(seed=0)
        return Explorer(
            policy or self.policy(),
            tools=self.tools if tools is None else tools,
            sandbox=self.sandbox,
            search=make,
            answer_of=answer_of,
            alike=self.alike,
            limits=limits or self.limits,
            steering=steering or self.steering,
        )

    def workflow(
        self,
        play: Play,
        *,
        models: Mapping[str, Model] | None = None,
        agents: Mapping[str, Agent] | None = None,
        budget: Budget | None = None,
        desk: Desk | None = None,
    ) -> Workflow:
        """The agent that performs a play.

        `models` and `agents`, by role, are as in `Cast`; `budget` counts where the kit sets no limit; at `desk` turns wait for a person.
        """
        own = self.steering.budget
        budget = budget if own == Budget() else own
        cast = Cast(
            model=self.model,
            models=models or {},
            agents=agents or {},
            sampling=self.sampling,
            tools=self.tools,
            sandbox=self.sandbox,
            dialect=self.dialect,
            limits=self.limits if budget is None else self.limits.within(budget),
        )
        return Workflow(play, cast, budget=budget, desk=desk, alike=self.alike, shots=self.shots)

    def hinted(self) -> dict[str, Agent]:
        """Who draws a play's candidates: the kit's own policy where it gives hints, else nobody, which leaves it to the role `solver`."""
        return {} if self.hints is None else {"solver": self.explorer(search=one_chain)}

    def checker(self) -> Explorer:
        """The agent that checks answers: greedy and without hints."""
        kit = replace(self, sampling=replace(self.sampling, temperature=0.0), hints=None, shots={})
        return Explorer(kit.policy(), tools=self.tools, sandbox=self.sandbox, limits=self.limits, alike=self.alike)

    def critic(self, inner: Valuer | None = None, *, checks: int = 1) -> Critic:
        """A valuer that checks ended paths with code; `inner` values the others."""
        return Critic(self.checker(), template=self.check, checks=checks, inner=inner)
