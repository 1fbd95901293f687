"""Regions of the real line, however they are written: intervals, unions, inequalities. Runs inside grading workers only."""

from dataclasses import dataclass
from typing import Any

import sympy

from tirage.verification.equality.algebra import Unreadable, equal_text, parse, proportional
from tirage.verification.equality.structure import Chain, Joined, Leaf, Node, Several, is_name, read

_FLIPPED = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}


@dataclass(frozen=True, slots=True)
class Span:
    """An interval by the texts of its ends."""

    low: str
    high: str
    low_open: bool
    high_open: bool


def same_regions(given: Node, wanted: Node) -> bool | None:
    """Intervals, unions and inequalities; None when neither side is a region beyond a mere pair in brackets."""
    if not any(isinstance(node, Joined | Chain) or _is_reals(node) for node in (given, wanted)):
        return None
    mine, theirs = spans(given), spans(wanted)
    if (
        mine is not None
        and theirs is not None
        and len(mine) == len(theirs)
        and all(any(_same_span(one, other) for one in mine) for other in theirs)
    ):
        return True
    right = _region(wanted)
    try:
        left = _region(given)
    except Unreadable:
        return False
    if left is not None and right is not None:
        return _same_sets(left, right)
    return _same_inequality(given, wanted)


def _is_reals(node: Node) -> bool:
    return isinstance(node, Leaf) and node.text.replace(" ", "") in ("\\mathbb{R}", "\\R", "\\Reals")


def _same_span(one: Span, other: Span) -> bool:
    return (
        one.low_open == other.low_open
        and one.high_open == other.high_open
        and equal_text(one.low, other.low)
        and equal_text(one.high, other.high)
    )


def spans(node: Node) -> list[Span] | None:
    """The intervals of a region by their ends; None when it is none, or takes algebra to tell."""
    if _is_reals(node):
        return [Span("-\\infty", "\\infty", True, True)]
    if isinstance(node, Several) and node.how in ("()", "(]", "[)", "[]") and len(node.items) == 2:
        low, high = node.items
        if isinstance(low, Leaf) and isinstance(high, Leaf):
            return [Span(low.text, high.text, node.how[0] == "(", node.how[1] == ")")]
    if isinstance(node, Joined) and node.how == "or":
        found = [spans(part) for part in node.parts]
        return None if any(some is None for some in found) else [span for some in found if some for span in some]
    if isinstance(node, Chain):
        return _chain_spans(node)
    return None


def _chain_spans(chain: Chain) -> list[Span] | None:
    if chain.relations[0] == "in":
        return spans(read(chain.parts[-1])) if len(chain.parts) == 2 else None
    parts, relations = list(chain.parts), list(chain.relations)
    if all(relation in (">", ">=") for relation in relations):
        parts, relations = parts[::-1], [_FLIPPED[relation] for relation in relations[::-1]]
    if not all(relation in ("<", "<=") for relation in relations):
        if relations == ["!="] and is_name(parts[0]):
            return [Span("-\\infty", parts[1], True, True), Span(parts[1], "\\infty", True, True)]
        return None
    if len(parts) == 3 and is_name(parts[1]):
        return [Span(parts[0], parts[2], relations[0] == "<", relations[1] == "<")]
    if len(parts) == 2 and is_name(parts[0]) and not is_name(parts[1]):
        return [Span("-\\infty", parts[1], True, relations[0] == "<")]
    if len(parts) == 2 and is_name(parts[1]) and not is_name(parts[0]):
        return [Span(parts[0], "\\infty", relations[0] == "<", True)]
    return None


def _region(node: Node) -> Any:
    """A set of real numbers; None when it has more than one variable."""
    if isinstance(node, Chain) and node.relations[0] != "in":
        return _solved(node)
    if isinstance(node, Joined):
        parts = [_region(part) for part in node.parts]
        if any(part is None for part in parts):
            return None
        return sympy.Union(*parts) if node.how == "or" else sympy.Intersection(*parts)
    if isinstance(node, Several) and node.how == "{":
        return sympy.FiniteSet(*(parse(item.text) for item in node.items if isinstance(item, Leaf)))
    if isinstance(node, Leaf) and "\\setminus" in node.text:
        whole, _, part = node.text.partition("\\setminus")
        left, right = _region(read(whole.strip())), _region(read(part.strip()))
        return None if left is None or right is None else sympy.Complement(left, right)
    found = spans(node)
    if found is None:
        return None
    return sympy.Union(*(sympy.Interval(parse(span.low), parse(span.high), span.low_open, span.high_open) for span in found))


def _solved(chain: Chain) -> Any:
    """What an inequality in one real variable leaves."""
    sides = [parse(part) for part in chain.parts]
    symbols = set().union(*(side.free_symbols for side in sides))
    if len(symbols) != 1 or "in" in chain.relations:
        return None
    (symbol,) = symbols
    real = sympy.Symbol("t", real=True)
    kinds: dict[str, Any] = {"<": sympy.Lt, ">": sympy.Gt, "<=": sympy.Le, ">=": sympy.Ge, "!=": sympy.Ne, "=": sympy.Eq}
    found: Any = sympy.S.Reals
    for left, right, relation in zip(sides, sides[1:], chain.relations, strict=False):
        link = kinds[relation](left.subs(symbol, real), right.subs(symbol, real))
        try:
            found = sympy.Intersection(found, link.as_set() if not isinstance(link, bool) else sympy.S.Reals if link else sympy.S.EmptySet)
        except (NotImplementedError, TypeError, AttributeError) as error:
            raise Unreadable(str(chain)) from error
    return found


def _same_sets(left: Any, right: Any) -> bool:
    if left == right:
        return True
    return bool(sympy.SymmetricDifference(left, right).doit().is_empty)


def _same_inequality(given: Node, wanted: Node) -> bool:
    """One inequality in several variables each."""
    if not (isinstance(given, Chain) and isinstance(wanted, Chain) and len(given.relations) == len(wanted.relations) == 1):
        return False
    flipped = [_FLIPPED.get(chain.relations[0]) in ("<", "<=") for chain in (given, wanted)]
    signs = [_FLIPPED[chain.relations[0]] if flip else chain.relations[0] for chain, flip in zip((given, wanted), flipped, strict=True)]
    if signs[0] != signs[1]:
        return False
    left, right = (-difference(chain) if flip else difference(chain) for chain, flip in zip((given, wanted), flipped, strict=True))
    return proportional(left, right, positive=signs[0] != "!=")


def difference(chain: Chain) -> Any:
    """Left minus right of a relation with one sign. Raises `Unreadable`."""
    left, right = (parse(part) for part in chain.parts)
    if not (isinstance(left, sympy.Expr) and isinstance(right, sympy.Expr)):
        raise Unreadable(" = ".join(chain.parts))
    return (left - right).doit()
