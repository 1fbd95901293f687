"""The answer of a path: read once, by whoever settles it, and the same for display, votes and grading."""

from collections.abc import Mapping

from tirage.core.problem import Problem
from tirage.core.trajectory import Trajectory
from tirage.verification.extract import CHOICE_POLICY, MATH_POLICY, TEXT_POLICY, Method, conclusion, extract

POLICIES: Mapping[str, tuple[Method, ...]] = {"choice": CHOICE_POLICY, "exact": TEXT_POLICY, "gym": TEXT_POLICY}
"""Where verifiers look for an answer, by name; the others as for mathematics."""


def answer_in(text: str, problem: Problem) -> str | None:
    """The final answer in a policy's text, found as the problem's verifier finds it; None when there is none."""
    return extract(text, POLICIES.get(problem.verifier, MATH_POLICY)).answer


def answer_of(path: Trajectory | None, problem: Problem) -> str | None:
    """The answer of a path: what its agent reads where it reads in its own way, else what the problem's verifier will grade."""
    if path is None:
        return None
    return answer_in(conclusion(path), problem) if path.answer is None else path.answer or None
