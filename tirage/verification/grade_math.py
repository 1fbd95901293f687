"""Mathematical equality through math-verify. Runs inside grading workers only: sympy may hang or eat memory."""

import logging
from typing import Any

from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify

logging.getLogger("math_verify").setLevel(logging.CRITICAL)
_TARGETS = (LatexExtractionConfig(), ExprExtractionConfig())


def grade_math(request: dict[str, Any]) -> bool:
    """Whether `request["answer"]` equals `request["gold"]`, both final answers without markers.

    math-verify's own timeouts are off: they rely on a signal handler, which C code can ignore; the worker's timer cannot.

    Raises:
        ValueError: the reference cannot be parsed, so nothing can be said.
    """
    gold = _parse(request["gold"])
    if all(isinstance(item, str) for item in gold):
        raise ValueError(f"the reference {request['gold'][:80]!r} cannot be parsed as mathematics")
    answer = _parse(request["answer"])
    return bool(answer) and bool(verify(gold, answer, timeout_seconds=None))


def _parse(text: str) -> list[Any]:
    parsed: list[Any] = parse(f"${text}$", _TARGETS, parsing_timeout=None)
    return parsed
