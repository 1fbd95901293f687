"""From a sentence that states an answer to the answer: fillers before it, and clauses that add nothing behind it, are taken off."""

import re

from tirage.verification.equality.equivalence import parse_quantity, quick_equal
from tirage.verification.equality.units import carries_meaning

_EMPHASIS = '*_`" \t\r\n'
_SPECIAL = re.compile(r"<\|[^|<>]{0,40}\|>.*|</?(?:s|answer|final_answer|think)>.*|\[/?INST\].*", re.DOTALL)
_STARS = re.compile(r"^\*\*|\*\*$|(?<![\w\s)}])\*\*|(?<=\s)\*\*(?=\S)|(?<=\S)\*\*(?=[\s.,;:!?])")
_FILLER = re.compile(
    r"(?:(?:approximately|approx\.?|about|around|roughly|nearly|therefore|thus|hence|simply|just|exactly|indeed|clearly|then|now|given by"
    r"|equal to|equals|is|was|that|which is|final answer|the final answer|answer|the answer|→|≈|~|\\approx(?![A-Za-z])|=|:)[\s,:]*)+",
    re.IGNORECASE,
)
_CLAUSE = re.compile(
    r"\s*[,;:.(–—-]*\s*\b(?:because|since|as|so|which|therefore|thus|hence|and not|not|rather than|instead of|in total|in all|altogether"
    r"|overall|i\.e\.|meaning|making|of (?:the|a|an|his|her|its|their|all|them|these|those|it)"
    r"|per (?:\w+ )?person|respectively|(?:every|each) \w+)\b.*",
    re.DOTALL | re.IGNORECASE,
)
_ASIDE = re.compile(r"\s*[,;–—]\s+(?!(?:and|or)\b)[a-z]{2,}(?![\w=(])(?!\s*[=<>]).*", re.DOTALL)
_RESTATED = re.compile(r"(?P<first>.{1,40}?),\s+or\s+(?P<second>.{1,40})", re.DOTALL)
_EXCLAIMED = re.compile(r"(?<=[\d)}$*])!+$")
_MATHS = re.compile(
    r"\$\$?(?P<dollars>(?=\S)[^$]{1,400}?)\$\$?(?!\d)|\\\((?P<round>.{1,400}?)\\\)|\\\[(?P<square>.{1,400}?)\\\]", re.DOTALL
)
_AMOUNT = re.compile(
    r"[-+]?[$€£¥]?\s?[-+]?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:\s?/\s?\d+)?(?:[eE][-+]?\d+)?(?:\s?%)?|(?<![\d.])[-+]?\.\d+"
)
_WORD = re.compile(r"[A-Za-z]+")
_SYMBOLS = re.compile(r"[\\^_=<>{}\[\]|*+/±√]")
_VERB = re.compile(r"^.*\b(?:is|are|equals|be|was)\b\s*(?=\S)", re.DOTALL)


def tidy(text: str) -> str:
    """Strip what surrounds a short answer: spaces, emphasis, quotes, a closing full stop, whole-answer dollar signs, special tokens."""
    text = _SPECIAL.sub("", text).strip(_EMPHASIS).removesuffix(".").strip(_EMPHASIS)
    if len(text) > 1 and text.startswith("$") and text.endswith("$") and "$" not in text.strip("$"):
        text = text.strip("$").strip()
    for left, right in (("\\(", "\\)"), ("\\[", "\\]")):
        if text.startswith(left) and text.endswith(right) and text.count(left) == 1:
            text = text[2:-2].strip()
    return text


def stated(sentence: str, *, strict: bool = False) -> str:
    """The mathematical answer in a stated sentence: `18` for `approximately 18, since 9*2 = 18`, `18 dollars` for `Janet makes 18 dollars`.

    A sentence that gives no single answer comes back as it is, tidied: nothing that could mean something is dropped. `strict` takes an
    amount out of words only where a verb presents it, as is right for what stands in a box.
    """
    text = _EXCLAIMED.sub("", _STARS.sub("", sentence).strip())
    text = tidy(_STARS.sub("", tidy(text)))
    filler = _FILLER.match(text)
    if filler is not None and filler.end() < len(text):
        text = tidy(text[filler.end() :])
    for pattern in (_CLAUSE, _ASIDE):
        match = pattern.search(text)
        if match is not None and _has_maths(text[: match.start()]):
            text = tidy(text[: match.start()])
    twice = _RESTATED.fullmatch(text)
    if twice is not None and quick_equal(twice["second"], twice["first"]):
        text = twice["first"].strip()
    return _out_of_prose(text, strict=strict)


def _has_maths(text: str) -> bool:
    return any(sign.isdigit() for sign in text) or "\\" in text or "$" in text or len(text.strip(_EMPHASIS)) == 1


def _inside(formula: re.Match[str]) -> str:
    return (formula["dollars"] or formula["round"] or formula["square"]).strip()


def _out_of_prose(text: str, *, strict: bool) -> str:
    """The one formula, or the one amount, that words surround."""
    formulas = [match for match in _MATHS.finditer(text) if _inside(match)]
    outside = _MATHS.sub(" ", text)
    if formulas and not any(sign.isdigit() for sign in outside):
        words = _WORD.findall(outside)
        if not words and len(formulas) == 1 and not outside.strip(_EMPHASIS + ".,;:"):
            return _inside(formulas[0])
        if len(formulas) == 1 and not any(map(carries_meaning, words)):
            return _inside(formulas[0])
    verb = _VERB.match(text)
    if verb is not None and _has_maths(text[verb.end() :]) and len(_WORD.findall(text[: verb.end()])) > 1:
        return _out_of_prose(tidy(text[verb.end() :]), strict=strict)
    words = _WORD.findall(text)
    if strict or not words or _SYMBOLS.search(_AMOUNT.sub("", text)) or not any(len(word) > 1 for word in words):
        return text
    amounts = list(_AMOUNT.finditer(text))
    if len(amounts) != 1:
        return text
    before, after = text[: amounts[0].start()], text[amounts[0].end() :]
    if any(map(carries_meaning, [*_WORD.findall(before), *_WORD.findall(after)])) or after[:1].isalpha() or parse_quantity(text):
        return text
    measured = tidy(amounts[0].group().strip() + after)
    return measured if parse_quantity(measured) else amounts[0].group().strip()
