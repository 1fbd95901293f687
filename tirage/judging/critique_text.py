r"""Critiques in words: a label per step, a conclusion, a correction. One form for Critic-CoT, RealCritic and SCRIT.

A critique goes through "Step 1: ... Step 1 is correct.", "Step 2: ... Step 2 is incorrect.", ends its analysis in "Conclusion: correct" or
"Conclusion: incorrect" (for `nano`: "Verdict: ..."), and gives a correction between <correction> and </correction>.
"""

import re
from dataclasses import dataclass, field

from tirage.agents.replies import Unreadable, whole
from tirage.verification.extract import boxed, final_match

_HEADING = re.compile(r"^[ \t#*>-]*Step[ \t]+(\d+)\b", re.IGNORECASE | re.MULTILINE)
_LABEL = re.compile(r"\bStep\s+(\d+)\s+is\W{1,4}(not\s+)?(correct|right|incorrect|wrong)\b", re.IGNORECASE)
_CONCLUSION = re.compile(r"\b(?:Conclusion|Verdict)\W{1,6}(correct|right|incorrect|wrong)\b", re.IGNORECASE)
_OPEN, _CLOSE = "<correction>", "</correction>"
_GOOD = ("correct", "right")


def split_steps(solution: str) -> tuple[str, ...]:
    """The steps of a solution, which joined give it back: from one line "Step k" to the next, or its lines where there are no such."""
    starts = [match.start() for match in _HEADING.finditer(solution)][1:]
    if not starts:
        return tuple(re.findall(r"[^\n]*\S[^\n]*\n*|\n+", solution)) or (solution,)
    return tuple(solution[start:end] for start, end in zip([0, *starts], [*starts, len(solution)], strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Critique:
    """What a critique says."""

    marks: dict[int, int] = field(default_factory=dict)
    """Step, counted from 1, to +1 (correct) or -1 (incorrect); no entry where nothing was concluded."""
    words: dict[int, str] = field(default_factory=dict)
    """What was said about each step."""
    verdict: bool | None = None
    """The conclusion on the whole; None without one."""
    correction: str | None = None
    """Between its delimiters."""

    def labels(self, steps: int) -> tuple[int, ...]:
        """+1, -1 or 0 (nothing concluded) of each of `steps` steps, up to the first -1."""
        found: list[int] = []
        for step in range(1, steps + 1):
            found.append(self.marks.get(step, 0))
            if found[-1] < 0:
                break
        return tuple(found)

    @property
    def wrong_step(self) -> int | None:
        """The first step that is called incorrect; 1 where only the whole is."""
        wrong = min((step for step, mark in self.marks.items() if mark < 0), default=None)
        return 1 if wrong is None and self.verdict is False else wrong

    @property
    def rejects(self) -> bool:
        """Whether something is called incorrect. Where nothing is concluded nothing is rejected."""
        return self.wrong_step is not None

    def finds(self, steps: int) -> bool | None:
        """False where something is called incorrect, None where it neither rejects nor accepts.

        True where the whole is called correct, or each of its `steps` steps.
        """
        if self.rejects:
            return False
        return True if self.verdict is True or set(self.labels(steps)) == {1} else None


def read_critique(text: str) -> Critique:
    """Reads a critique as far as it goes. Raises `Unreadable` without a label, a conclusion and a correction."""
    analysis = text.split(_OPEN, 1)[0]
    found = final_match(_CONCLUSION, analysis) or final_match(_CONCLUSION, text)
    verdict = None if found is None else found[1].lower() in _GOOD
    marks: dict[int, int] = {}
    for match in _LABEL.finditer(analysis):
        good = (match[3].lower() in _GOOD) is (match[2] is None)
        marks[int(match[1])] = 1 if good else -1
    critique = Critique(marks=marks, words=_words(analysis), verdict=verdict, correction=_correction(text))
    if not marks and verdict is None and critique.correction is None:
        raise Unreadable("no step is labelled, and there is no conclusion and no correction")
    return critique


def read_check(text: str) -> Critique:
    """Reads a check by `nano`: its verdict, and the result of its program as the correction of an answer that it calls wrong."""
    found = final_match(_CONCLUSION, text)
    if found is None:
        raise Unreadable("there is no verdict")
    result = re.search(r"The result is (.+)\. The test says", text)
    right = found[1].lower() in _GOOD
    return Critique(verdict=right, correction=f"\\boxed{{{result[1]}}}" if result is not None and not right else None)


def read_correction(text: str) -> str:
    """What stands between the delimiters, else the reply itself. Raises `Unreadable` for an empty one."""
    return _correction(text) or whole(text)


def corrected(text: str, critique: Critique, *, cut: bool = False) -> str | None:
    """The corrected solution: what the delimiters hold, else the last box of the reply; None where there is neither (RealCritic's rule).

    In a reply that a limit `cut` only what is closed counts: its last box may be the answer that it was about to reject.
    """
    if cut and _CLOSE not in text:
        return None
    if critique.correction is not None:
        return critique.correction
    answer = boxed(text)
    return None if answer is None else f"\\boxed{{{answer}}}"


def _words(analysis: str) -> dict[int, str]:
    """The text about each step; several stretches about one step are joined."""
    headings = list(_HEADING.finditer(analysis))
    ends = [match.start() for match in headings[1:]] + [len(analysis)]
    words: dict[int, str] = {}
    for match, end in zip(headings, ends, strict=False):
        words[int(match[1])] = words.get(int(match[1]), "") + analysis[match.start() : end]
    return {step: _CONCLUSION.split(part)[0].strip() for step, part in words.items()}


def _correction(text: str) -> str | None:
    start = text.rfind(_OPEN)
    if start < 0:
        return None
    inner = text[start + len(_OPEN) :].split(_CLOSE, 1)[0].strip()
    return inner or None
