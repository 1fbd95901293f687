r"""What an answer is made of: lists, tuples, sets, intervals, relations, ratios, matrices; expressions are left as text.

A reader that takes everything or nothing: each part of a text ends up in a node, so that nothing can be overlooked when two answers
are compared.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from tirage.verification.equality.notation import closing


@dataclass(frozen=True, slots=True)
class Leaf:
    """One expression."""

    text: str


@dataclass(frozen=True, slots=True)
class Several:
    """Answers side by side. `how` is the bracket: none for a bare list, `{` for a set, `<` for a vector, else two brackets like `(]`."""

    items: tuple["Node", ...]
    how: str = ""


@dataclass(frozen=True, slots=True)
class Chain:
    r"""Parts joined by relations, e.g. `0 < x \le 5`, `x = 9 \cdot 2 = 18`, `x \in S`."""

    parts: tuple[str, ...]
    relations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Joined:
    """Regions joined by `or` (a union) or `and` (an intersection)."""

    parts: tuple["Node", ...]
    how: Literal["or", "and"]


@dataclass(frozen=True, slots=True)
class Congruence:
    """A residue modulo something."""

    subject: str
    residue: str
    modulus: str


@dataclass(frozen=True, slots=True)
class Ratio:
    """`a:b:c`."""

    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Grid:
    """A matrix by rows."""

    rows: tuple[tuple[str, ...], ...]


Node = Leaf | Several | Chain | Joined | Congruence | Ratio | Grid

_RELATION = re.compile(
    r"\\leq?(?:slant|qq)?(?![A-Za-z])\s?|\\geq?(?:slant|qq)?(?![A-Za-z])\s?|\\neq?(?![A-Za-z])\s?|\\lt(?![A-Za-z])|\\gt(?![A-Za-z])"
    r"|\\approx(?![A-Za-z])|\\simeq(?![A-Za-z])|\\in(?![A-Za-z])|\\notin(?![A-Za-z])|\\equiv(?![A-Za-z])|<=|>=|=<|!=|:=|=|<|>"
)
_SPELLINGS = {"<=": "<=", "=<": "<=", ">=": ">=", "!=": "!=", ":=": "=", "=": "=", "<": "<", ">": ">"}
_COMMANDS = {"le": "<=", "ge": ">=", "ne": "!=", "lt": "<", "gt": ">", "ap": "~", "si": "~", "in": "in", "no": "notin", "eq": "equiv"}
_AND = re.compile(
    r"\s*,?\s*(?:(?<![A-Za-z\\])(?:and|or)(?![A-Za-z])|(?<=[\d)\]}])(?:or|and)(?=[A-Z\d(\[\\])|\\(?:land|wedge|lor|vee)(?![A-Za-z])|&)\s*"
)
_CUP = re.compile(r"\s*(?:\\cup(?![A-Za-z])|(?<=[)\]}])\s*U\s*(?=[(\[{\\]))\s*")
_COMMA = re.compile(r"\s*[,;]\s*")
_COLON = re.compile(r"\s*:\s*")
_MODULUS = re.compile(
    r"(?P<residue>.+?)\s*(?:\\pmod\s*(?:\{(?P<braces>[^{}]+)\}|(?P<sign>\w))|\\?\(?\s*\\?(?:bmod|mod)(?![A-Za-z])\s*(?P<plain>[^()]+?)\s*\)?)"
)
_GRID = re.compile(r"\(?\s*\\begin\{matrix\}(.*)\\end\{matrix\}\s*\)?", re.DOTALL)
_NUMBER_LIST = re.compile(r"-?\d{1,3}(?:,\d{3})+")
_THOUSANDS = re.compile(r"(?<![\d,.])\d{1,3}(?:,\d{3})+(?!\d|,\d)")
_ANGLES = re.compile(r"\\([lr])angle(?![A-Za-z])")
_INEQUALITIES = frozenset({"<", ">", "<=", ">=", "!="})
_NAMED_ARGUMENT = re.compile(r"(?<=[A-Za-z'}])\((?:[^()]|\([^()]*\))*\)|_(?:\{[^{}]*\}|\w)|\\[A-Za-z]+")


@lru_cache(maxsize=256)
def read(text: str, *, as_list: bool = False) -> Node:
    """The structure of a normalised text. `as_list` reads `101,203` as two numbers rather than as one."""
    text = _stripped(text)
    grid = _GRID.fullmatch(text)
    if grid is not None and "\\begin" not in grid[1]:
        rows = [row for row in re.split(r"\\\\", grid[1]) if row.strip()]
        return Grid(tuple(tuple(cell.strip() for cell in row.split("&")) for row in rows))
    return _listed(text, as_list) or _united(text) or _related(text) or _congruent(text) or _rated(text) or _bracketed(text) or Leaf(text)


def _stripped(text: str) -> str:
    """Without inner dollars and outer brackets that group nothing."""
    text = text.replace("$", " ").replace("\\{", "{").replace("\\}", "}").replace("\\lbrace", "{").replace("\\rbrace", "}")
    text = _ANGLES.sub(lambda match: "⟨" if match[1] == "l" else "⟩", text).strip()
    return text


def _splits(text: str, separator: re.Pattern[str]) -> list[tuple[int, int]]:
    """Where `separator` matches outside all brackets."""
    depths, depth = [], 0
    for sign in text:
        depth -= sign in ")]}⟩"
        depths.append(depth)
        depth += sign in "([{⟨"
    return [match.span() for match in separator.finditer(text) if match.end() > match.start() and depths[match.start()] == 0]


def _parts(text: str, spans: Sequence[tuple[int, int]]) -> list[str]:
    starts = [0, *(end for _, end in spans)]
    ends = [*(start for start, _ in spans), len(text)]
    return [text[start:end].strip() for start, end in zip(starts, ends, strict=True)]


def _listed(text: str, as_list: bool) -> Node | None:
    """A bare list, or inequalities joined by words."""
    words = _splits(text, _AND)
    commas = [] if not as_list and _NUMBER_LIST.fullmatch(text) else _commas(text)
    spans = sorted({*words, *(span for span in commas if not any(start <= span[0] < end for start, end in words))})
    if not spans:
        return None
    parts = [part for part in _parts(text, spans) if part]
    if len(parts) < 2:
        return read(parts[0]) if parts and parts[0] != text else None
    nodes = tuple(map(read, parts))
    if words and not commas and all(isinstance(node, Chain) and _INEQUALITIES & set(node.relations) for node in nodes):
        kinds = {text[start:end].strip(" ,") for start, end in words}
        if kinds <= {"or", "\\lor", "\\vee"} or kinds <= {"and", "\\land", "\\wedge"}:
            return Joined(nodes, "or" if kinds & {"or", "\\lor", "\\vee"} else "and")
    return Several(nodes)


def _commas(text: str, *, inside: bool = False) -> list[tuple[int, int]]:
    """Commas that separate; those of thousands do not where the rest shows it."""
    spans = _splits(text, _COMMA)
    spaced = any(text[start:end] != text[start:end].strip() for start, end in spans)
    digits_only = not re.search(r"[^\d,\s.-]", text)
    if not spaced and (inside or digits_only):
        return spans
    thousands = [match.span() for match in _THOUSANDS.finditer(text)]
    return [span for span in spans if not any(start < span[0] < end for start, end in thousands)]


def _united(text: str) -> Node | None:
    spans = _splits(text, _CUP)
    return Joined(tuple(map(read, _parts(text, spans))), "or") if spans else None


def _related(text: str) -> Node | None:
    spans = _splits(text, _RELATION)
    if not spans:
        return None
    relations = tuple(_relation(text[start:end].strip()) for start, end in spans)
    parts = _parts(text, spans)
    if "equiv" in relations:
        return _congruent(text)
    if not parts[0] and relations[0] in ("~", "=") and len(parts) == 2 and parts[1]:
        return read(parts[1])
    if not all(parts):
        return None
    if "~" in relations:
        return _approximated(parts, relations)
    return Chain(tuple(parts), relations)


def _relation(sign: str) -> str:
    return _SPELLINGS.get(sign) or _COMMANDS[sign[1:3]]


def _approximated(parts: list[str], relations: tuple[str, ...]) -> Node:
    r"""What is exact of `x = 1/3 \approx 0.33`; `x \approx 5` gives 5."""
    first = relations.index("~")
    if first == 0 and is_name(parts[0]):
        return Chain((parts[0], parts[-1]), ("=",))
    return Chain(tuple(parts[: first + 1]), relations[:first]) if first else read(parts[0])


def _congruent(text: str) -> Node | None:
    subject, _, rest = text.rpartition("\\equiv")
    match = _MODULUS.fullmatch(rest.strip())
    if match is None or not re.search(r"mod", rest):
        return None
    return Congruence(subject.strip(), match["residue"].strip(), (match["braces"] or match["sign"] or match["plain"]).strip())


def _rated(text: str) -> Node | None:
    spans = _splits(text, _COLON)
    parts = _parts(text, spans)
    return Ratio(tuple(parts)) if spans and all(parts) else None


def _bracketed(text: str) -> Node | None:
    """One pair of brackets around everything."""
    if text.startswith("⟨") and text.find("⟩") == len(text) - 1:
        inside = text[1:-1].strip()
        return Several(tuple(map(read, _parts(inside, _commas(inside, inside=True)))), "<")
    if len(text) < 2 or text[0] not in "([{" or closing(text, 0) != len(text) - 1:
        return None
    inside = text[1:-1].strip()
    how = text[0] + text[-1]
    if how == "{}":
        spans = sorted({*_commas(inside, inside=True), *_splits(inside, _AND)})
        return Several(tuple(read(part) for part in _parts(inside, spans) if part), "{")
    if how not in ("()", "[]", "(]", "[)"):
        return None
    parts = _parts(inside, _commas(inside, inside=True))
    if len(parts) == 1:
        return read(inside) if how in ("()", "[]") else None
    return Several(tuple(map(read, parts)), how)


def is_name(text: str) -> bool:
    """Whether a text names what a value is given for: letters with indices and arguments, e.g. `x_1`, `f(2)`, `(x,y)`, `m+n`, `AB`."""
    bare = _NAMED_ARGUMENT.sub("x", text)
    return any(sign.isalpha() for sign in bare) and not any(sign.isdigit() for sign in bare) and "!" not in bare


def head(name: str) -> str:
    """The name without argument and blanks: `W` for `W(n)`."""
    bare = re.sub(r"(?<=[A-Za-z'}])\((?:[^()]|\([^()]*\))*\)", "", name)
    return re.sub(r"[\s{}]|\\", "", bare)
