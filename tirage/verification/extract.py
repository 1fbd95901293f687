r"""Find the final answer in a response. Linear in the response's length, whatever is in it.

The order for mathematics is that of the Qwen2.5-Math evaluation (arXiv 2409.12122): the last ``\boxed{}``, then a phrase such as
"the answer is", then the last number. No answer is `None`, never an empty string.
"""

import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tirage.core.trajectory import StopReason, Trajectory

Method = Literal["boxed", "tag", "phrase", "fenced", "last-number", "choice", "whole"]
MATH_POLICY: tuple[Method, ...] = ("boxed", "tag", "phrase", "last-number")
CHOICE_POLICY: tuple[Method, ...] = ("boxed", "tag", "phrase", "choice")
TEXT_POLICY: tuple[Method, ...] = ("boxed", "tag", "phrase", "whole")
STATED: tuple[Method, ...] = ("boxed", "tag", "phrase")
"""Answers that are called so."""

_BRACES = re.compile(r"\\\\|\\[{}]|(?P<box>\\(?:boxed|fbox)\s*\{)|(?P<bare>\\boxed\s+[^\s{}$]+)|[{}]")
_PHRASES = re.compile(
    r"(?i:\banswer(?:\s+to\s[^.\n:=]{0,80}?)?\s{0,3}(?:\bis\b|:|=)|\banswer\*\*\s{0,3}:?)|^\s{0,8}(?:\*\*)?A(?:ns)?:|####", re.MULTILINE
)
_FENCE = re.compile(r"^ {0,3}```", re.MULTILINE)
_NUMBER = re.compile(r"(?:(?<![\w.)\]}])[-−])?[$€£]?\d[\d,]*(?:\.\d+)?(?:[eE][-+]?\d+)?(?:/\d+)?%?|(?<![\w.])-?\.\d+")
_CHOICE = re.compile(r"\(([A-Z])\)|(?<![A-Za-z0-9'’])([A-Z])(?![A-Za-z0-9'’])")
_SENTENCE_END = re.compile(r"\n|[.!?](?=\s+[A-Z])")
_EMPHASIS = '*_`" \t\r\n'
_LINE = 4000
"""Characters looked at after a phrase."""


@dataclass(frozen=True, slots=True)
class Extraction:
    """A final answer and how it was found."""

    answer: str | None
    """Stripped and never empty; None when no method found anything."""
    how: str
    """The method that found it, or `none`."""


def extract(response: str, policy: tuple[Method, ...] = MATH_POLICY) -> Extraction:
    r"""Try the methods of `policy` in order; the first that finds something wins.

    Args:
        response: the policy's text.
        policy: any of `boxed` (last ``\boxed{}`` or ``\fbox{}`` whose braces match), `tag` (last `<answer>...</answer>`), `phrase` (after
            the last "answer is", "Answer:", "A:" or "Ans:" at the start of a line, or "####"), `fenced` (content of the last complete
            ``` block), `last-number`, `choice` (last lone capital letter), `whole` (all of it).
    """
    for method in policy:
        answer = _METHODS[method](response)
        if answer:
            return Extraction(answer, method)
    return Extraction(None, "none")


def final_answer(response: str) -> str | None:
    """The final answer of a mathematical response; None when there is none."""
    return extract(response).answer


def conclusion(path: Trajectory) -> str:
    """Where to look for the final answer: what the policy said itself; nothing when it gave up, or broke off before it stated any.

    Where the path's agent reads answers in its own way, that answer alone, stated. A path breaks off at the limit of calls or steps, at
    what cannot be read, and with code that was not run.
    """
    if path.answer is not None:
        return as_response(path.answer) if path.answer else ""
    own = path.own
    broken = path.stop in (StopReason.CALLS, StopReason.MALFORMED) or own.unrun
    if path.stop is StopReason.GAVE_UP or (broken and extract(own.text, STATED).answer is None):
        return ""
    return own.text


def as_response(answer: str) -> str:
    """A response that gives `answer` as a model would: boxed, unless its braces do not pair up."""
    depth = 0
    for sign in re.sub(r"\\\\|\\[{}]", "", answer):
        depth += (sign == "{") - (sign == "}")
        if depth < 0:
            return answer
    return answer if depth or answer.endswith("\\") else f"\\boxed{{{answer}}}"


def final_match(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    """The last of the matches that do not overlap, or None."""
    return next(iter(deque(pattern.finditer(text), maxlen=1)), None)


def boxed(text: str) -> str | None:
    """Content of the box that closes last; braces are matched, escaped ones ignored."""
    opened: list[int] = []
    first = last = 0
    for match in _BRACES.finditer(text):
        token = match.group()
        if match["box"]:
            opened.append(match.end())
        elif match["bare"]:
            first, last = match.start() + len("\\boxed"), match.end()
        elif token == "{":
            opened.append(-1)
        elif token == "}" and opened:
            start = opened.pop()
            if start >= 0:
                first, last = start, match.start()
    return text[first:last].strip() or None


def _tag(text: str) -> str | None:
    end = text.rfind("</answer>")
    start = text.rfind("<answer>", 0, end) if end >= 0 else -1
    return text[start + len("<answer>") : end].strip() if start >= 0 else None


def _phrase(text: str) -> str | None:
    last = final_match(_PHRASES, text)
    if last is None:
        return None
    rest = text[last.end() : last.end() + _LINE].lstrip(" \t:*=\n\r")
    end = _SENTENCE_END.search(rest)
    return tidy(rest[: end.start()] if end else rest)


def _fenced(text: str) -> str | None:
    marks = [match.start() for match in _FENCE.finditer(text)]
    if len(marks) < 2:
        return None
    opening = marks[len(marks) - 2 - len(marks) % 2]
    closing = marks[len(marks) - 1 - len(marks) % 2]
    start = text.find("\n", opening, closing)
    return text[start:closing].strip() if start >= 0 else None


def _last_number(text: str) -> str | None:
    for window in (text[-2000:], text):
        found = final_match(_NUMBER, window)
        if found is not None and (found.start() > 0 or len(window) == len(text)):
            return found.group().rstrip(",")
    return None


def _choice(text: str) -> str | None:
    found = None
    for match in _CHOICE.finditer(text):
        letter = match[1] or match[2]
        article = match[2] in ("A", "I") and re.match(r"\s+[a-z]", text[match.end() : match.end() + 20])
        if not article:
            found = letter
    return found


def tidy(text: str) -> str:
    """Strip what surrounds a short answer: spaces, emphasis, quotes, a closing full stop, whole-answer dollar signs."""
    text = text.strip(_EMPHASIS).removesuffix(".").strip(_EMPHASIS)
    if len(text) > 1 and text.startswith("$") and text.endswith("$"):
        text = text.strip("$").strip()
    for left, right in (("\\(", "\\)"), ("\\[", "\\]")):
        if text.startswith(left) and text.endswith(right):
            text = text[2:-2].strip()
    return text


_METHODS: dict[str, Callable[[str], str | None]] = {
    "boxed": boxed,
    "tag": _tag,
    "phrase": _phrase,
    "fenced": _fenced,
    "last-number": _last_number,
    "choice": _choice,
    "whole": str.strip,
}
