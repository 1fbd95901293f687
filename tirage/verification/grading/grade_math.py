"""Mathematical equality. Runs inside grading workers only: sympy may hang or eat memory."""

from typing import Any

from tirage.verification.equality.algebra import Unreadable
from tirage.verification.equality.compare import same
from tirage.verification.equality.notation import normalise


def grade_math(request: dict[str, Any]) -> bool:
    """Whether `request["answer"]` equals `request["gold"]`, both final answers without markers.

    Raises:
        ValueError: the reference cannot be read, so nothing can be said.
    """
    try:
        return same(normalise(request["answer"]), normalise(request["gold"]))
    except Unreadable as error:
        raise ValueError(f"the reference {request['gold'][:80]!r} cannot be parsed as mathematics") from error
