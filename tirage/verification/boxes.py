r"""Answers in `\boxed{}`: the last one, or several that stand side by side as one list."""

import re

_BRACES = re.compile(
    r"\\\\(?!boxed|fbox|framebox)|\\[{}]|(?P<box>\\{1,2}(?:[Bb]oxed|fbox|framebox)\s*\{)|(?P<bare>\\boxed\s+[^\s{}$]+)|[{}]"
)
_BETWEEN = 60
"""Characters that may stand between two boxes of one list."""
_NAME = r"[A-Za-z](?:_\{?\w{1,4}\}?)?\s*=\s*"
_SEPARATED = re.compile(
    rf"(?:(?:,|;|\band\b|\bor\b|&)|\s|\\q?quad|\\[ ,;:!()\[\]]|[$.]|\\text\s*\{{\s*(?:and|or|,|;)\s*\}}|{_NAME}"
    r"|\\text\s*\{\s*for part \(?\w\)?,? (?:and|or)\s*\}|for part \(?\w\)?)*"
)
_SEPARATOR = re.compile(r"[,;&]|(?<![A-Za-z])(?:and|or)(?![A-Za-z])")


def boxed(text: str) -> str | None:
    """Content of the box that closes last; braces are matched, escaped ones ignored. Boxes that form a list are joined by commas."""
    found = boxes(text)
    if not found:
        return None
    contents = [found[-1][2]]
    for before, after in zip(found[-2::-1], found[:0:-1], strict=False):
        between = text[before[1] : after[0]]
        if len(between) > _BETWEEN or not _SEPARATED.fullmatch(between) or not _SEPARATOR.search(between):
            break
        if before[2] and before[2] not in contents:
            contents.insert(0, before[2])
    return ", ".join(contents)


def boxes(text: str) -> list[tuple[int, int, str]]:
    """Start, end and stripped content of the outermost boxes that are not empty, in the order they close."""
    opened: list[tuple[int, int]] = []
    found: list[tuple[int, int, str]] = []
    for match in _BRACES.finditer(text):
        token = match.group()
        if match["box"]:
            opened.append((match.start(), match.end()))
        elif match["bare"]:
            _keep(found, match.start(), match.end(), text[match.start() + len("\\boxed") : match.end()])
        elif token == "{":
            opened.append((-1, -1))
        elif token == "}" and opened:
            start, inside = opened.pop()
            if start >= 0:
                _keep(found, start, match.end(), text[inside : match.start()] if match.start() - inside < 10**6 else "")
    return found


def _keep(found: list[tuple[int, int, str]], start: int, end: int, content: str) -> None:
    """Add a box, in place of those inside it."""
    while found and found[-1][0] > start:
        found.pop()
    content = content.strip()
    if content:
        found.append((start, end, content))
