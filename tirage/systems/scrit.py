"""SCRIT (Tang et al. 2025, arXiv 2501.05727): critiques written beside a reference solution, to train a critic that does without one.

The tree has RealCritic's form: the student's solution, then the study of the reference, the critique, and the correction as a node of its
own, judged like any answer. `tirage.training.recipes.critique` keeps what validates itself and leaves the reference out.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tirage.agents.replies import whole
from tirage.core.errors import ConfigError
from tirage.judging.critique_text import Critique, corrected, read_critique
from tirage.systems.candidates import put
from tirage.systems.options import workflow_of
from tirage.systems.parts import AgentParts
from tirage.systems.realcritic import CORRECTED, FORM, GIVEN
from tirage.workflows.agent import Workflow, WorkflowAgent
from tirage.workflows.roles import Role
from tirage.workflows.turns import WorkflowRun

ANALYST = Role(
    name="analyst",
    template=(
        "Study how a problem is solved, so that you can judge other solutions of it.\n\nProblem: {problem}\n\n"
        "Reference solution:\n{reference}\n\n"
        "Name the key concepts, the strategy, and the mistakes that are likely here. Do not judge any other solution yet."
    ),
    read=whole,
    default="",
    sees_key=True,
)
CRITIC = Role(
    name="critic",
    template=(
        "Criticise a student's solution of a problem.\n\nProblem: {problem}\n\nReference solution, for your eyes only:\n{reference}\n\n"
        "What matters here:\n{study}\n\nThe student's solution:\n{solution}\n\n"
        f"{FORM} Argue from the problem: never mention that there is a reference."
    ),
    read=read_critique,
    default=Critique(),
    sees_key=True,
)
_NAMED = (
    r"(?:the|a|this|that|our|my)\s+(?:\w+\s+){0,2}?"
    r"(?:reference|official|provided|model)\s+(?:solution|answer|approach|method|result)s?"
)
_LEAD = re.compile(
    rf"(?:\b(?:according|compared|contrary|in contrast|similar)\s+(?:to|with)|\b(?:as|like|unlike|following|given|matching|from|per)"
    rf"(?:\s+(?:shown|seen|stated|given|done|noted))?(?:\s+(?:in|by))?)\s+{_NAMED}(?:\s+(?:says|shows|states|gives|does|finds))?\s*,?\s*",
    re.IGNORECASE,
)
_NAMES_ONE = re.compile(r"\breference\b|\b(?:official|provided|model)\s+(?:solution|answer)s?\b|\banswer\s+key\b", re.IGNORECASE)
_SENTENCE = re.compile(r"[^.!?\n]*(?:[.!?](?!\s|$)[^.!?\n]*)*[.!?]*[ \t]*\n?")


def scrub(text: str) -> str:
    """The text without phrases that name a reference ("according to the reference solution, "), nor sentences that still do."""
    text = _LEAD.sub(lambda found: "" if found.end() < len(text) else found.group(), text)
    return "".join(part for part in _SENTENCE.findall(text) if not _NAMES_ONE.search(part))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrit(Workflow):
    """The workflow."""

    given: Mapping[str, str] = field(default_factory=dict)
    """The students' solutions by problem id."""
    references: Mapping[str, str] = field(default_factory=dict)
    """Solutions that are known to reach the answer, by problem id; where there is none the reference answer stands in."""
    analyst: Role[str] = ANALYST
    critic: Role[Critique] = CRITIC
    sees_key = True

    @property
    def id(self) -> str:
        """The name."""
        return "scrit"

    async def run(self, flow: WorkflowRun) -> None:
        """Study the reference, criticise, and set the correction apart."""
        problem = flow.tree.problem_id
        if problem not in self.given:
            raise ConfigError(f"there is no solution to criticise for problem {problem}; give one")
        reference = self.references.get(problem, f"The answer is \\boxed{{{flow.key}}}.")
        node = put(flow, GIVEN, self.given[problem])
        flow.tree.chosen = node
        study = await flow.ask(self.analyst, after=node, reference=reference)
        said = await flow.ask(self.critic, after=study.node, reference=reference, study=study.value, solution=self.given[problem])
        correction = corrected(said.text, said.value, cut=said.cut) if said.error is None else None
        flow.tree.chosen = said.node if correction is None else put(flow, CORRECTED, correction, after=said.node)


def build(parts: AgentParts, **options: Any) -> WorkflowAgent:
    """The agent, for making data: it sees references. `options` are fields of `Scrit`; raises `ConfigError` for one that there is not."""
    return parts.workflow(workflow_of(Scrit, options))
