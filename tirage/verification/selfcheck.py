"""Does a problem set agree with its verifiers? References must pass, damaged ones must fail. Run it before training on a set."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tirage.core.problem import Problem
from tirage.verification.base import Verifier
from tirage.verification.extract import as_response
from tirage.verification.factory import open_verifier

_NUMBER = re.compile(r"\d+")
_NONSENSE = "qzxv nonsense"


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyCheck:
    """One row of the table: the problems of one family under one verifier."""

    family: str
    verifier: str
    """Name and version."""
    problems: int
    without_reference: int
    """Problems with nothing to check; not counted below."""
    passed: int
    """References their verifier accepts."""
    unreadable: int
    """References that equal themselves as text but cannot be read, so that no other way of writing them would pass; not in `passed`."""
    caught: int
    """Problems whose damaged references are all refused (wrong or ungraded, but not correct)."""
    faults: tuple[str, ...]
    """One line per problem that failed, at most ten."""

    @property
    def ok(self) -> bool:
        """Every reference passed and every damage was caught."""
        return self.passed == self.caught == self.problems - self.without_reference


async def check_problems(problems: Iterable[Problem]) -> list[FamilyCheck]:
    """Verify each problem's own reference and damaged versions of it; one row per family and verifier, in order of appearance.

    Raises:
        ConfigError: a problem names an unknown verifier.
    """
    groups: dict[tuple[str, str], list[Problem]] = {}
    for problem in problems:
        groups.setdefault((problem.verifier, problem.family), []).append(problem)
    rows = []
    for name in dict.fromkeys(verifier for verifier, _ in groups):
        verifier = open_verifier(name)
        try:
            for (used, family), members in groups.items():
                if used == name:
                    rows.append(await _check_family(family, members, verifier))
        finally:
            await verifier.close()
    return rows


async def _check_family(family: str, problems: Sequence[Problem], verifier: Verifier) -> FamilyCheck:
    passed = caught = missing = unreadable = 0
    faults: list[str] = []
    for problem in problems:
        if problem.answer is None:
            missing += 1
            continue
        verdict = await verifier.verify(problem, as_response(problem.answer))
        if verdict.correct:
            passed += 1
        else:
            faults.append(f"{problem.id}: its own reference {problem.answer[:60]!r} is refused: {verdict.detail or verdict.answer!r}")
        verdicts = [(wrong, await verifier.verify(problem, as_response(wrong))) for wrong in damaged(problem)]
        slips = [wrong for wrong, verdict in verdicts if verdict.correct]
        ungraded = next((verdict.detail for _, verdict in verdicts if verdict.ungraded and verdict.detail), "")
        if verdict.correct and ungraded:
            passed, unreadable = passed - 1, unreadable + 1
            faults.append(f"{problem.id}: its reference {problem.answer[:60]!r} cannot be compared with other answers: {ungraded}")
        caught += not slips
        faults += [f"{problem.id}: {wrong[:60]!r} is accepted for {problem.answer[:60]!r}" for wrong in slips]
    return FamilyCheck(
        family=family,
        verifier=verifier.name,
        problems=len(problems),
        without_reference=missing,
        passed=passed,
        unreadable=unreadable,
        caught=caught,
        faults=tuple(faults[:10]),
    )


def damaged(problem: Problem) -> list[str]:
    """Answers that must not pass: the first number larger, another choice, and nonsense. Never equal to the reference."""
    answer = problem.answer or ""
    wrong = [_NONSENSE]
    if problem.kind == "choice" or problem.verifier == "choice":
        wrong += [letter for letter in "AB" if letter not in answer.upper()][:1]
    if _NUMBER.search(answer):
        wrong.append(_NUMBER.sub(_larger, answer, count=1))
    return wrong


def _larger(match: re.Match[str]) -> str:
    """One more; for long numbers, where verifiers may rightly look at a few digits only, a digit more in front."""
    digits = match.group()
    return str(int(digits) + 1) if len(digits) <= 3 else "1" + digits
