"""Critic-CoT (Zheng et al. 2024, arXiv 2408.16326): a label per step, as a filter before a vote or as the guide of a refinement."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic import NonNegativeInt, PositiveInt

from tirage.agents.replies import Unreadable, whole
from tirage.core.tree import ROOT, Tree
from tirage.judging.candidate_pool import CheckedCandidate, read_pool, select
from tirage.judging.critic import NANO_CHECK
from tirage.judging.critique_text import Critique, read_check, read_correction, read_critique, split_steps
from tirage.models.profile import profile_of
from tirage.systems.candidates import draw_and_check, put, remark, spelt
from tirage.systems.options import workflow_of
from tirage.systems.parts import AgentParts
from tirage.systems.prompts import prompt
from tirage.systems.spec import SystemSpec
from tirage.verification.ballot import classes
from tirage.verification.reading import answer_of
from tirage.workflows.agent import Workflow, WorkflowAgent
from tirage.workflows.roles import Role
from tirage.workflows.turns import WorkflowRun

SOLVER = Role(
    name="solver",
    template=prompt("critic-cot", "solver"),
    read=whole,
    default="",
    answers=True,
)
CRITIC = Role(
    name="critic",
    template=prompt("critic-cot", "critic"),
    read=read_critique,
    default=Critique(),
)
REFINER = Role(
    name="refiner",
    template=prompt("critic-cot", "refiner"),
    read=read_correction,
    default="",
)
NANO_SOLVER = replace(SOLVER, template="{problem}", tools=("python",))
NANO_CRITIC = replace(CRITIC, template=NANO_CHECK, read=read_check, tools=("python",))
REFINED = "refined"
"""The move of a node that holds a refined solution, the steps before the mistake included."""
UNFILTERED = "fallback=unfiltered"
NEVER_ACCEPTED = "never accepted"
UNDECIDED = "abstained: nothing is called incorrect, and not everything correct before the limit"


@dataclass(frozen=True, slots=True, kw_only=True)
class CriticFilter(Workflow):
    """The workflow that drops what the critic rejects and votes on the rest; or takes what most critiques accept."""

    n: PositiveInt = 16
    """Candidates (the paper: 512 at temperature 0.7)."""
    critiques: PositiveInt = 1
    """Of each candidate; a single one is greedy."""
    rule: Literal["vote", "best"] = "vote"
    """best: the candidate with the greatest share of critiques that accept every step; it ends the drawing when the share is 1."""
    width: PositiveInt = 4
    """Candidates that are drawn and criticised before the next are drawn."""
    solver: Role[str] = SOLVER
    critic: Role[Critique] = CRITIC

    @property
    def id(self) -> str:
        """With what shapes the choice."""
        return f"critic-filter-{self.n}x{self.critiques}-{self.rule}"

    async def run(self, flow: WorkflowRun) -> None:
        """Draw and criticise, then choose among what there is, also when the budget ends it."""
        try:
            for start in range(0, self.n, self.width):
                draws = range(start, min(self.n, start + self.width))
                await draw_and_check(flow, self.solver, self.critic, draws, checks=self.critiques)
                if self.rule == "best" and any(item.reward == 1 for item in self._pool(flow)):
                    break
        finally:
            await self._choose(flow)

    def _pool(self, flow: WorkflowRun) -> list[CheckedCandidate]:
        pool = read_pool(flow.tree, flow.problem, verifier=self.critic.name, find=self._finding)
        return [replace(item, reward=item.checks.count(True) / len(item.checks) if item.checks else None) for item in pool]

    def _finding(self, tree: Tree, node: int) -> bool | None:
        path, first = tree.trajectory(node), tree.conversation(node)[0]
        steps = split_steps(tree.trajectory(first.parent).response)
        try:
            return None if path.error is not None else self.critic.read(path.own_text).finds(len(steps))
        except Unreadable:
            return None

    async def _choose(self, flow: WorkflowRun) -> None:
        tree = flow.tree
        pool = await spelt(flow, self._pool(flow))
        for item in pool:
            if item.reward is not None:
                tree.values[item.node] = item.reward
        chosen, fallback = select(pool, rule="best", filtered=False) if self.rule == "best" else elect(pool)
        if pool:
            tree.chosen = (chosen or pool[0]).node
        if fallback:
            remark(tree, tree.chosen, fallback)


def elect(pool: Sequence[CheckedCandidate]) -> tuple[CheckedCandidate | None, str]:
    """The plurality of what is not rejected, and `UNFILTERED` where it is that of all.

    That is so where nothing is left, and where what is left disagrees and is fewer than min(6, N // 16) (the paper's code).
    """
    left = [item for item in pool if item.survives and item.answer is not None]
    agree = len(set(classes([item.answer for item in left]))) == 1
    filtered = agree or len(left) >= max(1, min(6, len(pool) // 16))
    chosen, _ = select(left if filtered else pool, rule="majority", filtered=False)
    return chosen, "" if filtered or chosen is None else UNFILTERED


@dataclass(frozen=True, slots=True, kw_only=True)
class CriticRefinement(Workflow):
    """The workflow that criticises a solution, refines it from its first wrong step, and starts again where that does not help."""

    rounds: NonNegativeInt = 3
    """Refinements of one sample, d."""
    restarts: PositiveInt = 8
    """Samples, n."""
    solver: Role[str] = SOLVER
    critic: Role[Critique] = CRITIC
    refiner: Role[str] = REFINER

    @property
    def id(self) -> str:
        """With the limits."""
        return f"critic-refine-{self.rounds}x{self.restarts}"

    async def run(self, flow: WorkflowRun) -> None:
        """The first solution that a critique accepts; the first answer where there is none. Who cannot be read has not accepted."""
        tree = flow.tree
        for draw in range(self.restarts):
            turn = await flow.ask(self.solver, draw=draw)
            if tree.chosen == ROOT or answer_of(tree.trajectory(tree.chosen), flow.problem) is None:
                flow.offer(turn)
            accepted = await self._refine(flow, turn.text, turn.node)
            if accepted is not None:
                tree.chosen = accepted
                return
        remark(tree, tree.chosen, NEVER_ACCEPTED)

    async def _refine(self, flow: WorkflowRun, solution: str, node: int) -> int | None:
        """The node of the accepted solution; None when it was rejected to the end, has no answer, or nobody could criticise it."""
        for refined in range(self.rounds + 1):
            answer = answer_of(flow.tree.trajectory(node), flow.problem)
            critique = await flow.ask(self.critic, after=node, solution=solution, answer=answer)
            steps, wrong = split_steps(solution), critique.value.wrong_step
            if wrong is None:
                # A whole critique may leave steps out; of one that a limit cut nobody knows what it was about to say.
                accepted = critique.value.finds(len(steps)) or (bool(critique.value.marks) and not critique.cut)
                if critique.readable and not accepted:
                    remark(flow.tree, critique.node, UNDECIDED)
                return node if answer is not None and accepted else None
            if refined == self.rounds:
                break
            wrong = min(wrong, len(steps))
            kept, words = "".join(steps[: wrong - 1]), critique.value.words.get(wrong, critique.text)
            turn = await flow.ask(
                self.refiner, after=critique.node, kept=kept or "(none)", step=wrong, wrong=steps[wrong - 1].strip(), critique=words
            )
            solution = kept + turn.value
            node = put(flow, REFINED, solution, after=turn.node)
        return None


def build_filter(parts: AgentParts, **options: Any) -> WorkflowAgent:
    """The critic as a filter. `options` are fields of `CriticFilter`; see `build_refinement`."""
    return _build(parts, workflow_of(CriticFilter, options, "critic-filter"))


def build_refinement(parts: AgentParts, **options: Any) -> WorkflowAgent:
    """The critic as a guide; hints among the parts draw the candidates with them. `options` are fields of `CriticRefinement`.

    A model that follows no instructions is asked in the words that `nano` knows; it knows no refining, so what it rejects is drawn again.
    Raises `ConfigError` for an option that there is not.
    """
    workflow = workflow_of(CriticRefinement, options, "critic-refinement")
    return _build(parts, workflow if profile_of(parts.model).instructed else replace(workflow, rounds=0))


def _build(parts: AgentParts, workflow: CriticFilter | CriticRefinement) -> WorkflowAgent:
    asked = workflow if profile_of(parts.model).instructed else replace(workflow, solver=NANO_SOLVER, critic=NANO_CRITIC)
    return parts.workflow(asked, agents=parts.hinted())


FILTER = SystemSpec(
    name="critic-filter",
    paper="2408.16326",
    summary="Critic-CoT: candidates that a critic rejects are dropped, the rest vote",
    build=build_filter,
    sampling={"temperature": 0.7},
    workflow=CriticFilter,
    options=("n", "critiques", "rule", "width"),
    shots=("solver", "critic"),
    until_spent=True,
)


REFINEMENT = SystemSpec(
    name="critic-refinement",
    paper="2408.16326",
    summary="Critic-CoT: a solution corrected from its first wrong step, or begun again",
    build=build_refinement,
    sampling={"temperature": 0.7},
    workflow=CriticRefinement,
    options=("rounds", "restarts"),
    shots=("solver", "critic", "refiner"),
)
SPECS = (FILTER, REFINEMENT)
