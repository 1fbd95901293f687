"""Gate: may a new checkpoint replace the old one? Decided by paired intervals, never by two means side by side."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from tirage.evaluation.figures import band, points
from tirage.evaluation.paired import Paired


class Ruling(StrEnum):
    """What the gate says."""

    PROMOTE = "promote"
    REJECT = "reject"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A ruling with its reason."""

    ruling: Ruling
    reason: str
    """One sentence for people."""


def decide(main: Paired | None, guards: Sequence[Paired] = (), *, margin: float = 0.0) -> Decision:
    """Rule on the second condition of `main`.

    Promote when the whole interval of the difference lies above `margin` and the test agrees; reject when it lies below, or when a guard
    (unseen families, say) is clearly worse; otherwise undecided, with the number of problems that would probably settle it.

    Args:
        main: The comparison that counts; None or one without pairs is undecided.
        guards: Comparisons that must not show a loss.
        margin: Least improvement worth having, as a difference of shares (0.01 is one point).
    """
    if main is None or main.difference is None or main.interval is None or main.p_value is None:
        return Decision(ruling=Ruling.UNDECIDED, reason="nothing was measured on the same problems in both conditions")
    for guard in guards:
        if guard.interval is not None and guard.interval.high < 0:
            return Decision(
                ruling=Ruling.REJECT,
                reason=f"{guard.second} is worse than {guard.first} on guarded problems: {band(guard.interval, signed=True)} points",
            )
    clear = main.p_value < 1 - main.interval.level
    if main.interval.low > margin and clear:
        return Decision(ruling=Ruling.PROMOTE, reason=f"the whole interval of the difference lies above {_edge(margin)}")
    if main.interval.high < margin:
        return Decision(ruling=Ruling.REJECT, reason=f"the whole interval of the difference lies below {_edge(margin)}")
    return Decision(ruling=Ruling.UNDECIDED, reason=f"{main.pairs} paired problems do not settle it{_wanted(main, margin)}")


def _edge(margin: float) -> str:
    return f"{points(margin)} points" if margin else "zero"


def _wanted(main: Paired, margin: float) -> str:
    """Pairs at which an interval of this spread would just miss the margin: widths shrink with the square root of the number."""
    if main.interval is None or main.difference is None:
        return ""
    distance = abs(main.difference - margin)
    half = (main.interval.high - main.interval.low) / 2
    if distance < half / 100:
        return ""
    needed = math.ceil(main.pairs * (half / distance) ** 2)
    return f"; about {needed:,} would, if the difference is real" if needed > main.pairs else ""
