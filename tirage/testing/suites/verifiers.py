"""What every verifier promises.

require(await check_verifier(MyVerifier(), Problem(prompt="What is 6 times 7?", answer="42"), right="It is 42.", wrong="It is 41."))
"""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from tirage.core.problem import Problem
from tirage.core.verdict import Verdict
from tirage.testing.suites.findings import Finding, demand, try_each
from tirage.verification.base import Verifier

ODD = ("", " \n", "\x00\x1b[2J", "\ud800", "\\boxed{", "\\boxed{" * 200, "{" * 5000, "9" * 5000, "nan", "None", "١٢", "<answer>")
"""Responses that no verifier may break on, or take for right."""


@dataclass(frozen=True, slots=True)
class _Case:
    verifier: Verifier
    problem: Problem
    right: str
    wrong: str


async def check_verifier(verifier: Verifier, problem: Problem, *, right: str, wrong: str) -> list[Finding]:
    """Check a verifier on a problem of its kind with a right and a wrong response; the last promise closes it."""
    return await try_each("verifier", _Case(verifier, problem, right, wrong), PROMISES)


async def _judge(case: _Case, response: str, problem: Problem | None = None) -> Verdict:
    verdict = await case.verifier.verify(problem or case.problem, response)
    demand(isinstance(verdict, Verdict), f"it gave a {type(verdict).__name__}, not a Verdict")
    demand(verdict.correct in (True, False, None), f"correct is {verdict.correct!r}")
    demand((verdict.score is None) == (verdict.correct is None), f"correct={verdict.correct} goes with score={verdict.score}")
    demand(verdict.score is None or 0.0 <= verdict.score <= 1.0, f"the score {verdict.score} is not in [0, 1]")
    demand(verdict.correct is not None or verdict.detail, "an ungraded verdict has no detail that says why")
    return verdict


async def _name(case: _Case) -> None:
    name = case.verifier.name
    demand(isinstance(name, str) and re.fullmatch(r"[^/\s]+/\d+", name), f"its name is {name!r}; write NAME/VERSION, such as mine/1")
    verdict = await _judge(case, case.right)
    demand(verdict.verifier == name, f"its verdict is signed {verdict.verifier!r}, not {name!r}")


async def _right(case: _Case) -> None:
    demand((await _judge(case, case.right)).correct is True, f"{case.right!r} is right and was not accepted")


async def _wrong(case: _Case) -> None:
    demand((await _judge(case, case.wrong)).correct is False, f"{case.wrong!r} is wrong and was not rejected")


async def _odd(case: _Case) -> None:
    for response in ODD:
        demand((await _judge(case, response)).correct is not True, f"{response[:40]!r} was accepted")


async def _unanswered(case: _Case) -> None:
    verdict = await _judge(case, case.right, replace(case.problem, answer=None, metadata={}))
    demand(verdict.correct is not True, "without a reference the response was accepted")


async def _equal(case: _Case) -> None:
    for text in ("42", *ODD):
        for other in (case.problem.answer or "42", text):
            found = await case.verifier.equal(text, other)
            demand(found in (True, False, None), f"equal({text[:20]!r}, {other[:20]!r}) is {found!r}")


async def _together(case: _Case) -> None:
    responses = [case.right, case.wrong] * 6
    found = await asyncio.gather(*(_judge(case, response) for response in responses))
    wrong = [verdict for verdict, response in zip(found, responses, strict=True) if verdict.correct is not (response == case.right)]
    demand(not wrong, f"{len(wrong)} of {len(found)} verdicts given at once differ from those given alone")


async def _elsewhere(case: _Case) -> None:
    verdict = await asyncio.to_thread(lambda: asyncio.run(_judge(case, case.right)))
    demand(verdict.correct is True, "from another event loop the right response was not accepted")


async def _closes(case: _Case) -> None:
    await case.verifier.close()
    await case.verifier.close()


PROMISES: dict[str, Callable[[_Case], Any]] = {
    "it has a name with a version, and signs by it": _name,
    "what is right is accepted": _right,
    "what is wrong is rejected": _wrong,
    "no response breaks it, and none that says nothing is accepted": _odd,
    "without a reference nothing is accepted": _unanswered,
    "equal says yes, no, or that nobody can say": _equal,
    "verdicts may be asked for at once": _together,
    "and from another event loop": _elsewhere,
    "closing twice does no harm": _closes,
}
