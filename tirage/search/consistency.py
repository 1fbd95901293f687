"""rStar's mutual consistency: a second model completes masked traces; answers on which the two agree win (arXiv 2408.06195, section 3.3).

Nothing here sees a gold answer; answers are compared as strings, so give one string per class of equal answers.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Survival = Literal["loose", "middle", "strict", "majority"]

LONGEST_ANSWER = 100
"""Characters; a longer answer is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfidentAnswer:
    """A path of the answer set."""

    answer: str | None
    confidence: float
    """What the path is worth to the search, in [0, 1]."""


def mask_prefixes(words: Sequence[str], count: int = 4, low: float = 0.2, high: float = 0.5) -> list[Sequence[str]]:
    """`count` beginnings of a trace, evenly spaced from the share `low` of its words to `high`, each length rounded up."""
    if count < 1 or not 0 <= low <= high <= 1:
        raise ValueError(f"masks need count >= 1 and 0 <= low <= high <= 1, got count={count}, low={low}, high={high}")
    shares = (low + (high - low) * number / max(1, count - 1) for number in range(count))
    # Rounded first, so that 0.2 + 0.1 is three tenths.
    return [words[: math.ceil(round(share * len(words), 9))] for share in shares]


def discriminate(
    candidates: Sequence[ConfidentAnswer], completions: Sequence[Sequence[str | None]], mode: Survival = "middle"
) -> int | None:
    """Which candidate wins; None when none has an answer.

    Args:
        candidates: The answer set.
        completions: For each candidate, the answers at which the second model arrived from its masked beginnings.
        mode: How many must match the candidate's for it to survive: any, half of them (rounded down, yet at least one), all, or that theirs
            is the most frequent answer.
    """
    valid = [index for index, candidate in enumerate(candidates) if candidate.answer and len(candidate.answer) <= LONGEST_ANSWER]
    survivors = [index for index in valid if _agree(candidates[index].answer, completions[index], mode)]
    voters = survivors or valid
    scores: dict[str | None, float] = {}
    for index in voters:
        answer = candidates[index].answer
        # Section 3.3: the answer's share of confidence, over all voters.
        scores[answer] = scores.get(answer, 0.0) + candidates[index].confidence / len(voters)
    for answer in scores:
        # Its survival rate; where nobody survived, the most confident answer wins.
        scores[answer] += sum(candidates[index].answer == answer for index in survivors) / sum(
            candidates[index].answer == answer for index in valid
        )
    return max(voters, key=lambda index: (scores[candidates[index].answer], candidates[index].confidence), default=None)


def _agree(answer: str | None, completed: Sequence[str | None], mode: Survival) -> bool:
    """Whether the second model confirms an answer."""
    matches = completed.count(answer)
    if mode == "loose":
        return matches > 0
    if mode == "middle":
        return matches >= max(1, len(completed) // 2)
    if mode == "strict":
        return matches == len(completed) > 0
    return matches > 0 and matches == max(completed.count(other) for other in completed if other is not None)
