"""Which option of several a text names."""

import re

from tirage.verification.equality.notation import normalise

_LEAD = re.compile(
    r"(?:(?:the|correct|best|right|final|most|likely|probably|definitely|clearly|therefore|thus|hence|so|answer|option|options|choice|choices|letter"
    r"|is|are|it's|it|would|be|must|should|both|either|:|=|\*|-)\s*[:\s]\s*)+",
    re.IGNORECASE,
)
_OPEN = r"[(\[{<\"'`]*"
_CLOSE = r"[)\]}>\"'`]*"
_FIRST = re.compile(rf"(?P<open>{_OPEN})(?P<letter>[A-Za-z])(?P<close>{_CLOSE})(?P<rest>(?![\w'’^_=<>*(]|\s+[=<>^*]).*)", re.DOTALL)
_JOINED = re.compile(
    rf"\s*(?P<link>,?\s*(?:and|or|und|&|\+|/)|,)\s*(?:(?:also|maybe|possibly|perhaps|option|choice)\s+)*{_OPEN}(?P<letter>[A-Za-z]){_CLOSE}(?![\w'’])(?P<rest>.*)",
    re.DOTALL,
)
_ARTICLE = re.compile(
    r"\s+(?!(?:because|since|as|over|and|or|not|is|was|are|with|for|but|which|due|rather|instead|only|alone|seems|fits|appears|would|can|has)\b)[a-z]"
)
_LETTER = re.compile(r"\(([A-Z])\)|(?<![A-Za-z0-9'’\\])([A-Z])(?![A-Za-z0-9'’])")
_DENIED = re.compile(
    r"(?:\b(?:not|than|over|unlike|except|neither|nor|exclude|excludes|rules? out|eliminates?"
    r"|eliminating|instead of|rather than)|n't)\s+(?:be\s+)?(?:option\s+|choice\s+)?\(?[A-Z]\)?"
    r"(?:(?:,|\s*,?\s+(?:and|or|nor))\s*\(?[A-Z]\)?(?![A-Za-z]))*(?![A-Za-z])"
    r"|(?<![A-Za-z])\(?[A-Z]\)?(?:(?:,\s*(?:and\s+|or\s+)?|\s+(?:and|or)\s+)\(?[A-Z]\)?)*\s+(?:(?:is|are|was|were|seems?|looks?)\s+(?:all\s+|both\s+|clearly\s+|simply\s+)?"
    r"(?:wrong|incorrect|not|false|unlikely|ruled|out|impossible|a (?:common )?distractor|fails?)|isn't|aren't|fails?\b)"
)

_CUE = re.compile(r"\b(?:is|be|choose|chose|pick|select|option|choice|answer|say|go with|so|therefore|thus|hence)\b[\s:]+", re.IGNORECASE)


def letters(text: str) -> tuple[str, ...]:
    """The options that a stated answer names, upper case and sorted: one for `C. Hepatitis B` or `(c)`, two for `A or C`, else none.

    Options that it denies (`C, not D`) or gives as a reason (`C, because A and B are wrong`) are not named.
    """
    bare = normalise(text).replace("$", " ").replace("**", " ").replace("\\", " ").strip(" .*_:")
    lead = _LEAD.match(bare)
    first = _FIRST.fullmatch(bare[lead.end() :].strip() if lead else bare) or _FIRST.fullmatch(bare)
    if first is None:
        return ()
    letter, rest, marked = first["letter"], first["rest"], bool(first["open"] and first["close"]) or bool(first["close"])
    if letter.islower() and not marked and rest.strip(" .") and rest[0] not in ".:)":
        return ()
    if letter in "AI" and not marked and _ARTICLE.match(rest):
        return ()
    found = [letter.upper()]
    while (another := _JOINED.match(rest)) is not None and _is_named(another):
        found.append(another["letter"].upper())
        rest = another["rest"]
    return tuple(sorted(set(found)))


def _is_named(match: re.Match[str]) -> bool:
    """Whether a further letter is one more answer rather than the subject of a remark (`C, A is wrong`)."""
    if match["letter"].islower() or (match["letter"] in "AI" and _ARTICLE.match(match["rest"])):
        return False
    return match["link"].strip() != "," or not re.match(r"\s+[a-z]", match["rest"])


def letter(text: str) -> str | None:
    """The one option that a short text names; None when it names none or several."""
    named = letters(text)
    return named[0] if len(named) == 1 else None


def last_choice(text: str) -> str | None:
    """The option a response ends on, without any phrase that states it; several of them as they stand."""
    kept = _DENIED.sub(lambda match: " " * len(match[0]), text)
    lines = [line for line in kept[-4000:].splitlines() if line.strip(" .,;")]
    if lines:
        named = letters(lines[-1])
        short = re.match(r"\W*[A-Za-z](?:\W|$)", lines[-1].strip()) is not None
        if named and short and (len(named) > 1 or _stands_first(lines[-1])):
            return " and ".join(named)
        for cue in reversed(list(_CUE.finditer(lines[-1]))):
            named = letters(lines[-1][cue.end() :])
            if named and lines[-1][cue.end() :].strip(" *_$([{\"'`")[:1].isupper():
                return " and ".join(named)
    found = None
    for match in _LETTER.finditer(kept):
        if match[2] != "I" and not (match[2] == "A" and _ARTICLE.match(kept[match.end() : match.end() + 20])):
            found = match[1] or match[2]
    return found


def _stands_first(line: str) -> bool:
    """Whether a line opens with its option as `C.`, `(c)`, `**C**` or is nothing but it."""
    bare = line.strip().strip("*_$ ")
    return re.match(r"\(?\[?[A-Za-z][)\].:,]", bare) is not None or len(bare.strip("()[].:*{}<>\"'` ")) == 1
