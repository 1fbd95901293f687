"""What a published system is built from: models, tools, a sandbox and the settings of the run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from tirage.agents.demonstrations import Demonstrations
from tirage.agents.dialects.base import Dialect, FencedPython
from tirage.agents.elicitation import Elicitation
from tirage.agents.explorer import Agent, Explorer
from tirage.agents.hints import HintPlan
from tirage.agents.model_policy import ModelPolicy
from tirage.agents.policy import Policy
from tirage.agents.search_options import PathLimits, SearchOptions, one_chain
from tirage.agents.valuation import Valuer
from tirage.core.budget import Budget
from tirage.core.hint import Hint
from tirage.core.problem import Problem
from tirage.judging.critic import CHECK, Critic
from tirage.judging.valuers import Judge
from tirage.models.base import Model, Sampling
from tirage.sandbox.base import Sandbox
from tirage.search.base import SearchMaker
from tirage.tools.base import Tool
from tirage.verification.alike import Alike, quickly
from tirage.workflows.agent import Workflow, WorkflowAgent
from tirage.workflows.approval import ApprovalGate
from tirage.workflows.role_models import RoleModels
from tirage.workflows.shots import behind


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentParts:
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
    search_options: SearchOptions = field(default_factory=SearchOptions)
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
        search_options: SearchOptions | None = None,
        tools: Mapping[str, Tool] | None = None,
        answer_of: Callable[[str], str | None] | None = None,
    ) -> Explorer:
        """An explorer over the sandbox; the parts' own search comes before `search`. Raises what making a search raises."""
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
            search_options=search_options or self.search_options,
        )

    def workflow(
        self,
        workflow: Workflow,
        *,
        models: Mapping[str, Model] | None = None,
        agents: Mapping[str, Agent] | None = None,
        budget: Budget | None = None,
        gate: ApprovalGate | None = None,
    ) -> WorkflowAgent:
        """The agent that performs a workflow.

        `models` and `agents`, by role, are as in `RoleModels`; `budget` counts where the parts set none; at `gate` turns wait for a person.
        """
        own = self.search_options.budget
        budget = budget if own == Budget() else own
        role_models = RoleModels(
            model=self.model,
            models=models or {},
            agents=agents or {},
            sampling=self.sampling,
            tools=self.tools,
            sandbox=self.sandbox,
            dialect=self.dialect,
            limits=self.limits if budget is None else self.limits.within(budget),
        )
        return WorkflowAgent(workflow, role_models, budget=budget, gate=gate, alike=self.alike, shots=self.shots)

    def hinted(self) -> dict[str, Agent]:
        """Who draws a workflow's candidates: the policy with its hints, where there are any, else nobody: then the role `solver` does."""
        return {} if self.hints is None else {"solver": self.explorer(search=one_chain)}

    def checker(self) -> Explorer:
        """The agent that checks answers: greedy and without hints."""
        parts = replace(self, sampling=replace(self.sampling, temperature=0.0), hints=None, shots={})
        return Explorer(parts.policy(), tools=self.tools, sandbox=self.sandbox, limits=self.limits, alike=self.alike)

    def critic(self, inner: Valuer | None = None, *, checks: int = 1) -> Critic:
        """A valuer that checks ended paths with code; `inner` values the others."""
        return Critic(self.checker(), template=self.check, checks=checks, inner=inner)
