"""BLEU of two texts: whether long answers, of which no two are written alike, say about the same."""

import math
import re
from collections import Counter
from collections.abc import Sequence

_WORDS = re.compile(r"\w+|[^\w\s]")


def bleu(candidate: str, reference: str, *, order: int = 4) -> float:
    """BLEU of one sentence against one reference, in [0, 1]: words and signs are tokens, case counts.

    BP * exp(mean of ln p_n) over n = 1..`order` (Papineni et al. 2002, section 2.3), unsmoothed: without a shared n-gram it is 0. Texts
    shorter than `order` are compared up to the length of the shorter one. Two empty texts are alike.
    """
    said, wanted = _WORDS.findall(candidate), _WORDS.findall(reference)
    longest = min(order, len(said), len(wanted))
    if not longest:
        return float(said == wanted)
    logs = 0.0
    for n in range(1, longest + 1):
        given = _grams(said, n)
        # p_n: n-grams of the candidate that the reference has too, each counted at most as often as there.
        shared = (given & _grams(wanted, n)).total()
        if not shared:
            return 0.0
        logs += math.log(shared / given.total()) / longest
    # BP = 1 for a candidate that is no shorter than the reference, else exp(1 - r / c).
    return math.exp(logs + min(0.0, 1 - len(wanted) / len(said)))


def _grams(tokens: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(tokens[place : place + n]) for place in range(len(tokens) - n + 1))
