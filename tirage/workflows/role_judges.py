"""Judges that ask a role: every ruling is a workflow run of its own. They fit the ports of `tirage.judging.judges`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from tirage.agents.explorer import SolveContext
from tirage.agents.replies import Unreadable, number, one_of
from tirage.core.budget import Meter, OutOfBudget
from tirage.core.errors import NoRuling
from tirage.core.problem import Problem
from tirage.core.verdict import Preference
from tirage.workflows.agent import Workflow, WorkflowAgent
from tirage.workflows.role_models import RoleModels
from tirage.workflows.roles import Role
from tirage.workflows.turns import Turn, WorkflowRun

T = TypeVar("T")
_WORDS: Mapping[str, Preference] = {"A": "first", "B": "second", "tie": "tie"}


def read_choice(*words: str) -> Callable[[str], Preference]:
    """Reads the last "Verdict: A", "Verdict: B" or another of `words`, which mean a tie."""
    read = one_of("A", "B", *words, label="Verdict:")
    return lambda text: _WORDS.get(read(text), "tie")


def _read_score(text: str) -> float:
    """Reads the number behind the last "Score:", 0 to 10, as a share."""
    _, label, said = text.rpartition("Score:")
    if not label:
        raise Unreadable("there is no 'Score:'")
    return number(0, 10)(said) / 10


PAIR: Role[Preference] = Role(
    name="judge",
    system="You compare answers. Only what is right and well founded counts. Length, layout, tone, confidence, names, authorities, what "
    "others are said to think, the writer's person or language, and the order of the answers count for nothing.",
    template="Question:\n{problem}\n\nAnswer A:\n{first}\n\nAnswer B:\n{second}\n\nSay briefly what decides, then end with one line: "
    '"Verdict: A", "Verdict: B" or "Verdict: tie".',
    read=read_choice("tie"),
    default="tie",
    decides=True,
    temperature=0.0,
)
_SCALE = ("0: wrong or empty", "3: a serious mistake", "7: right, with gaps", "10: right and well founded")


def scoring(*, best_first: bool = False) -> Role[float | None]:
    """The role that scores one answer. Where its scale begins is a cue of its own: `Mean` over both takes it away."""
    scale = "\n".join(reversed(_SCALE) if best_first else _SCALE)
    return Role(
        name="scorer",
        system="You grade answers. Only what is right and well founded counts, not length, layout, tone or who wrote it.",
        template=f"Question:\n{{problem}}\n\nAnswer:\n{{answer}}\n\nScale:\n{scale}\n\n"
        'Look for mistakes first, then end with one line: "Score: N", N from 0 to 10.',
        read=_read_score,
        default=None,
        decides=True,
        temperature=0.0,
    )


class ModelPairJudge:
    """A pair judge that asks a role; every ruling is a transcript of its own."""

    def __init__(self, role_models: RoleModels, *, role: Role[Preference] = PAIR, meter: Meter | None = None) -> None:
        """`role` is asked with `first` and `second`; `meter` counts all rulings."""
        self._company = role_models
        self._role = role
        self._meter = meter

    async def prefer(self, question: str, first: str, second: str, seed: int) -> Preference:
        """What the role says; a tie where that cannot be read."""
        return await _ruling(self._company, self._role, question, {"first": first, "second": second}, seed, self._meter)


class ModelScoreJudge:
    """A score judge that asks a role; every ruling is a transcript of its own."""

    def __init__(self, role_models: RoleModels, *, role: Role[float | None] | None = None, meter: Meter | None = None) -> None:
        """`role` (`scoring()` by default) is asked with `answer`; `meter` counts all rulings."""
        self._company = role_models
        self._role = role or scoring()
        self._meter = meter

    async def score(self, question: str, answer: str, seed: int) -> float | None:
        """What the role says; None where that cannot be read."""
        return await _ruling(self._company, self._role, question, {"answer": answer}, seed, self._meter)


@dataclass(slots=True)
class _Ruling(Workflow, Generic[T]):
    """The workflow of one question to one role."""

    role: Role[T]
    fields: Mapping[str, Any]
    turn: Turn[T] | None = None
    id: str = "ruling"

    async def run(self, flow: WorkflowRun) -> None:
        self.turn = await flow.ask(self.role, **self.fields)


async def _ruling(role_models: RoleModels, role: Role[T], question: str, fields: Mapping[str, Any], seed: int, meter: Meter | None) -> T:
    asked = _Ruling(role, fields)
    tree = await WorkflowAgent(asked, role_models).solve(Problem(prompt=question), SolveContext(seed=seed, meter=meter))
    if asked.turn is None:
        raise OutOfBudget(tree.ended.removeprefix("budget: "))
    if asked.turn.error is not None:
        raise NoRuling(f"{role.name}: {asked.turn.error.boundary} failed: {asked.turn.error.message}")
    return asked.turn.value
