r"""Find the final answer in a response. Linear in the response's length, whatever is in it.

The order for mathematics is that of the Qwen2.5-Math evaluation (arXiv 2409.12122): the last ``\boxed{}``, then a phrase such as
"the answer is", then the last number. No answer is `None`, never an empty string. What stands in a block of code is no answer.
"""

import json
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tirage.core.trajectory import StopReason, Trajectory
from tirage.verification.boxes import boxed
from tirage.verification.choice import last_choice, letters
from tirage.verification.fences import fenced_blocks
from tirage.verification.statements import stated, tidy

Method = Literal["boxed", "tag", "phrase", "fenced", "result", "last-number", "choice", "whole"]
MATH_POLICY: tuple[Method, ...] = ("boxed", "tag", "phrase", "result", "last-number")
CHOICE_POLICY: tuple[Method, ...] = ("boxed", "tag", "phrase", "choice")
TEXT_POLICY: tuple[Method, ...] = ("boxed", "tag", "phrase", "result", "whole")
STATED: tuple[Method, ...] = ("boxed", "tag", "phrase")
"""Answers that are called so."""

_PHRASES = re.compile(
    r"""(?P<key>["'](?:final[ _]?)?answer["']\s{0,3}:)"""
    r"|(?i:\banswer(?:\s+to\s[^.\n:=]{0,80}?)?\s{0,3}(?:\bis\b|:|=|→)|\banswer\*\*\s{0,3}:?"
    r"|\bfinal\s+answer\s{0,3}(?=\n))|^\s{0,8}(?:\*\*)?A(?:ns)?:|####|答案(?:是|为)?\s{0,3}[::]?",
    re.MULTILINE,
)
_RESULT = re.compile(r"(?i:\b(?:result|solution|output|total|value|sum|product)\s{0,3}(?:\bis\b|\bequals\b|:|=))\s*(?=\S)")
_WORDS = ("", "text", "txt", "plaintext", "latex", "math", "tex")
"""Languages of blocks that may hold an answer in words or symbols."""
_ANSWER_COMES = re.compile(r"(?i:\banswer\b[^\n]{0,40}|####[^\n]{0,20})\s*$")
_NUMBER = re.compile(r"(?:(?<![\w.)\]}])[-−])?[$€£]?\d[\d,]*(?:\.\d+)?(?:[eE][-+]?\d+)?(?:/\d+)?%?|(?<![\w.])-?\.\d+")
_INLINE = re.compile(r"(?<![\\\d])\$(?=[^\s$])([^$\n]{1,300}?)(?<=[^\s\\])\$(?!\d)|\\\(([^\n]{1,300}?)\\\)|\\\[(.{1,300}?)\\\]", re.DOTALL)
_DISPLAY = re.compile(
    r"\$\$(?P<dollars>.+?)\$\$|\\\[(?P<square>.+?)\\\]|\\begin\{(?P<name>(?:equation|align|aligned|gather|gathered|multline|math|displaymath)\*?)\}"
    r"(?P<inside>.+?)\\end\{(?P=name)\}",
    re.DOTALL,
)
_SENTENCE_END = re.compile(r"\n|[.!?](?=\s+[A-Z])")
_QUOTED = re.compile(r"""\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|([^,}\]\n]+))""")
_NUMBER_WORDS = {
    word: number
    for number, word in enumerate(
        "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen "
        "twenty".split(),
        start=2,
    )
}
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
        policy: any of `boxed` (last ``\boxed{}`` or ``\fbox{}`` whose braces match, or several side by side), `tag` (last
            `<answer>...</answer>`), `phrase` (after the last "answer is", "Answer:", "A:" or "Ans:" at the start of a line, "####", or the
            key "answer" of JSON), `result` (a last sentence with "the result is" and the like), `fenced` (content of the last complete
            ``` block), `last-number`, `choice` (the option it ends on), `whole` (all of it). With `choice`, every method has to find an
            option and gives its letter; with `last-number`, the words around a stated answer are taken off. Only `fenced` looks into
            blocks of code.
    """
    prose = without_code(response)
    for method in policy:
        answer = _METHODS[method](response if method == "fenced" else prose)
        if answer and "choice" in policy:
            answer = " and ".join(letters(answer)) if method != "choice" else answer
        elif answer and method in ("phrase", "result"):
            answer = stated(answer) if "last-number" in policy else tidy(answer)
            if method == "result" and "last-number" in policy and not re.search(r"[\d\\]", answer):
                continue
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


def without_code(text: str) -> str:
    """The text without its fenced blocks; of a block without language right behind "Answer:" the content stays.

    A block that never closes reaches to the end.
    """
    kept, place = [], 0
    for block in fenced_blocks(text):
        before = text[place : block.start]
        answers = block.closed and block.language in _WORDS and _ANSWER_COMES.search(before[-200:]) is not None
        kept += [before, block.code if answers else "\n"]
        place = block.end
    return "".join([*kept, text[place:]])


def _tag(text: str) -> str | None:
    for name in ("answer", "final_answer"):
        end = text.rfind(f"</{name}>")
        start = text.rfind(f"<{name}>", 0, end) if end >= 0 else -1
        if start >= 0:
            return text[start + len(name) + 2 : end].strip()
    return None


def _phrase(text: str) -> str | None:
    last = final_match(_PHRASES, text)
    if last is None:
        return None
    if last["key"]:
        return _json_value(text[last.end() : last.end() + _LINE])
    return _statement(text[last.end() : last.end() + _LINE])


def _statement(text: str) -> str:
    """The sentence or the display that comes next."""
    rest = text.lstrip(" \t:=\n\r→")
    if rest.startswith("**") and (rest.count("**", 0, rest.find("\n") if "\n" in rest else len(rest)) % 2 or not rest[2:].strip(" :*\n")):
        rest = rest[2:].lstrip(" \t:=\n\r")
    rest = rest.lstrip("*") if rest.startswith("***") else rest
    display = _DISPLAY.match(rest)
    if display is not None:
        return _displayed(display["dollars"] or display["square"] or display["inside"])
    end = _SENTENCE_END.search(rest)
    return rest[: end.start() + (rest[end.start()] == "!")] if end else rest


def _displayed(text: str) -> str:
    """The conclusion of displayed mathematics: its last line, alignment marks taken off."""
    if re.search(r"\\begin\{\w*(?:matrix|array|cases)\}", text):
        return text.strip()
    lines = [line for line in re.split(r"\\\\(?:\[[^\]]*\])?", text) if line.strip(" &\n.")]
    return re.sub(r"(?<!\\)&", "", lines[-1] if lines else "").strip().rstrip(".,")


def _json_value(text: str) -> str | None:
    """The value behind a JSON key, read leniently."""
    try:
        value, _ = json.JSONDecoder().raw_decode(text.lstrip())
    except (ValueError, RecursionError):
        found = _QUOTED.match(text)
        return next((group for group in found.groups() if group is not None), "").strip() if found else None
    if isinstance(value, list):
        return ", ".join(item if isinstance(item, str) else json.dumps(item) for item in value)
    return value if isinstance(value, str) else json.dumps(value)


def _result(text: str) -> str | None:
    """A last sentence that says what the result is."""
    tail = text[-_LINE:].rstrip()
    last = final_match(_RESULT, tail)
    if last is None:
        return None
    statement = _statement(tail[last.end() :])
    rest = tail[last.end() :].lstrip(" \t:=\n\r*→")
    return statement if len(rest.strip()) <= len(statement.strip()) + 8 else None


def _fenced(text: str) -> str | None:
    closed = [block for block in fenced_blocks(text) if block.closed]
    return closed[-1].code.strip() if closed else None


def _last_number(text: str) -> str | None:
    """The last number, or the inline formula that it stands in."""
    for window in (text[-2000:], text):
        found = final_match(_NUMBER, window)
        if found is not None and (found.start() > 0 or len(window) == len(text)):
            for formula in _INLINE.finditer(window[-2000:]):
                shift = max(0, len(window) - 2000)
                if formula.start() + shift <= found.start() and found.end() <= formula.end() + shift:
                    inside = next(filter(None, formula.groups()))
                    return tidy(_displayed(inside).rpartition("=")[2]) or found.group().rstrip(",")
            return found.group().rstrip(",")
    return _in_words(text)


def _in_words(text: str) -> str | None:
    """The one number, in words, that a last sentence starts with, from two upwards: `Two people accept it.`."""
    line = text[-_LINE:].rstrip().rpartition("\n")[2]
    words = re.findall(r"[a-z]+", line.lower())
    found = [word for word in words if word in _NUMBER_WORDS]
    return str(_NUMBER_WORDS[found[0]]) if len(found) == 1 and len(words) > 2 and words[0] == found[0] else None


__all__ = [
    "CHOICE_POLICY", "MATH_POLICY", "STATED", "TEXT_POLICY", "Extraction", "Method", "boxed", "conclusion", "extract", "final_answer",
    "final_match", "tidy", "without_code",
]  # fmt: skip
_METHODS: dict[str, Callable[[str], str | None]] = {
    "boxed": boxed,
    "tag": _tag,
    "phrase": _phrase,
    "result": _result,
    "fenced": _fenced,
    "last-number": _last_number,
    "choice": last_choice,
    "whole": str.strip,
}
