"""Two answers of any structure: lists, tuples, sets, regions, equations, congruences, ratios. Runs inside grading workers only."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import sympy

from tirage.verification.algebra import Unreadable, equal_text, parse, proportional
from tirage.verification.structure import Chain, Congruence, Grid, Joined, Leaf, Node, Ratio, Several, head, is_name, read

_ORDERED = frozenset({"()", "<", "(]", "[)", "[]"})
_CLOCK = re.compile(r"0\d|00")
_FLIPPED = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}
_WORD = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{3,}|\.\.\.|\\[lc]?dots")
_HALF_DAY = re.compile(r"\s?([ap])\.?\s?m\.?$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Span:
    """An interval by the texts of its ends."""

    low: str
    high: str
    low_open: bool
    high_open: bool


def same(answer: str, gold: str) -> bool:
    """Whether two normalised answers say the same.

    Raises:
        Unreadable: the reference is not understood and is no mere text.
    """
    clock = [_HALF_DAY.search(text) if ":" in text else None for text in (answer, gold)]
    if any(clock):
        if all(clock) and clock[0][1].lower() != clock[1][1].lower():  # type: ignore[index]
            return False
        answer, gold = (_HALF_DAY.sub("", text) for text in (answer, gold))
    given, wanted = read(answer), read(gold)
    if isinstance(given, Several) and isinstance(wanted, Leaf):
        wanted = read(gold, as_list=True)
    elif isinstance(wanted, Several) and isinstance(given, Leaf):
        given = read(answer, as_list=True)
    try:
        return _same(given, wanted)
    except Unreadable:
        if _WORD.search(gold):
            return answer.casefold().replace(" ", "") == gold.casefold().replace(" ", "")
        raise


def _same(given: Node, wanted: Node) -> bool:
    given, wanted = _value_of_steps(given), _value_of_steps(wanted)
    if _is_equation(given) or _is_equation(wanted):
        return _same_equations(given, wanted)
    regions = _same_regions(given, wanted)
    if regions is not None:
        return regions
    if isinstance(given, Grid) or isinstance(wanted, Grid):
        return _same_grids(given, wanted)
    if isinstance(given, Congruence) or isinstance(wanted, Congruence):
        return _same_congruences(given, wanted)
    if isinstance(given, Ratio) or isinstance(wanted, Ratio):
        return _same_ratios(given, wanted)
    if isinstance(given, Several) or isinstance(wanted, Several):
        return _same_lists(given, wanted)
    if isinstance(given, Leaf) and isinstance(wanted, Leaf):
        return equal_text(given.text, wanted.text)
    return False


def _value_of_steps(node: Node) -> Node:
    """The value of `9 * 2 = 18`, provided that every step holds."""
    if not _is_equation(node) or is_name(node.parts[0]):  # type: ignore[union-attr]
        return node
    assert isinstance(node, Chain)
    try:
        values = [parse(part) for part in node.parts]
    except Unreadable:
        return node
    if any(getattr(value, "free_symbols", True) for value in values):
        return node
    holds = all(equal_text(left, right) for left, right in zip(node.parts, node.parts[1:], strict=False))
    return Leaf(node.parts[-1]) if holds else Leaf("?")


def _is_equation(node: Node) -> bool:
    return isinstance(node, Chain) and set(node.relations) <= {"=", "in"}


def named(node: Node) -> tuple[str, Node] | None:
    """Name and value of `x = ... = 5`."""
    if isinstance(node, Chain) and _is_equation(node) and is_name(node.parts[0]):
        return node.parts[0], read(node.parts[-1])
    return None


def _same_equations(given: Node, wanted: Node) -> bool:
    mine, theirs = named(given), named(wanted)
    if _is_equation(given) and _is_equation(wanted):
        if mine and theirs and head(mine[0]) == head(theirs[0]):
            return _same(mine[1], theirs[1])
        return _same_equation(given, wanted)
    if theirs and not _is_equation(given):
        return _same(given, theirs[1])
    if mine and not _is_equation(wanted):
        return _same(mine[1], wanted)
    return False


def _same_equation(given: Node, wanted: Node) -> bool:
    """Two equations with variables, each brought to `expression = 0`."""
    if not (isinstance(given, Chain) and isinstance(wanted, Chain) and given.relations == wanted.relations == ("=",)):
        return False
    right = _difference(wanted)
    try:
        left = _difference(given)
    except Unreadable:
        return False
    return proportional(left, right) or proportional(_numerator(left), _numerator(right))


def _difference(chain: Chain) -> Any:
    left, right = (parse(part) for part in chain.parts)
    if not (isinstance(left, sympy.Expr) and isinstance(right, sympy.Expr)):
        raise Unreadable(" = ".join(chain.parts))
    return (left - right).doit()


def _numerator(expression: Any) -> Any:
    return sympy.together(expression).as_numer_denom()[0]


def _same_lists(given: Node, wanted: Node) -> bool:
    mine, theirs = _items(given), _items(wanted)
    if mine is None or theirs is None or len(mine) != len(theirs):
        return False
    if not theirs:
        return True
    brackets = (given.how if isinstance(given, Several) else "", wanted.how if isinstance(wanted, Several) else "")
    if "[]" in brackets and len(theirs) == 2 and brackets[0] != brackets[1]:
        return False
    if {"(]", "[)"} & set(brackets):
        return brackets[0] == brackets[1] and all(map(_same, mine, theirs))
    ordered = bool(_ORDERED & set(brackets)) and brackets != ("[]", "[]")
    return _same_named_lists(mine, theirs, ordered=ordered)


def _same_named_lists(mine: Sequence[Node], theirs: Sequence[Node], *, ordered: bool) -> bool:
    """Lists whose entries may carry names: by name where both do, by place where names differ on one side only."""
    names, values = _unnamed(mine)
    gold_names, gold_values = _unnamed(theirs)
    if names and gold_names and set(names) == set(gold_names) and len(set(names)) == len(names):
        by_name = dict(zip(names, values, strict=True))
        return all(_same(by_name[name], value) for name, value in zip(gold_names, gold_values, strict=True))
    if names and gold_names and {_root(name) for name in names} != {_root(name) for name in gold_names}:
        return _matched(mine, theirs, _same)
    roots = [{_root(name) for name in some} for some in (names, gold_names) if some]
    if any(len(found) > 1 for found in roots):
        ordered = True
    return all(map(_same, values, gold_values)) if ordered else _matched(values, gold_values, _same)


def _unnamed(nodes: Sequence[Node]) -> tuple[list[str], list[Node]]:
    """Names and values; no names unless the first entry has one. `n = 1, 2, 3` names all three."""
    pairs = [named(node) for node in nodes]
    if pairs[0] is None or any(isinstance(node, Chain) and pair is None for node, pair in zip(nodes, pairs, strict=True)):
        return [], list(nodes)
    first = pairs[0][0]
    return [head(pair[0]) if pair else head(first) for pair in pairs], [
        pair[1] if pair else node for node, pair in zip(nodes, pairs, strict=True)
    ]


def _root(name: str) -> str:
    return name.split("_")[0]


def _matched(mine: Sequence[Node], theirs: Sequence[Node], equal: Callable[[Node, Node], bool]) -> bool:
    """Whether the entries can be paired off."""
    left = list(mine)
    for wanted in theirs:
        found = next((index for index, node in enumerate(left) if equal(node, wanted)), None)
        if found is None:
            return False
        del left[found]
    return True


def _items(node: Node) -> list[Node] | None:
    r"""The entries of a list; `\pm` makes two; the empty set has none."""
    if isinstance(node, Leaf):
        if node.text.replace(" ", "") in ("\\emptyset", "\\varnothing", "{}"):
            return []
        if "\\pm" in node.text or "\\mp" in node.text:
            return [Leaf(node.text.replace("\\pm", "+").replace("\\mp", "-")), Leaf(node.text.replace("\\pm", "-").replace("\\mp", "+"))]
        return [node]
    if isinstance(node, Several):
        if node.how in ("", "{"):
            entries = [_items(item) if isinstance(item, Leaf) else [item] for item in node.items]
            return [entry for found in entries for entry in (found or [])]
        return list(node.items)
    pair = named(node)
    if pair is not None and isinstance(pair[1], Leaf) and "\\pm" in pair[1].text:
        return _items(pair[1])
    return [node]


def _same_grids(given: Node, wanted: Node) -> bool:
    mine, theirs = _cells(given), _cells(wanted)
    if mine is None or theirs is None:
        return False
    if len(mine) > 1 and len(theirs) > 1 or (isinstance(given, Grid) and isinstance(wanted, Grid)):
        return [len(row) for row in mine] == [len(row) for row in theirs] and all(
            _same(read(one), read(other))
            for row, wanted_row in zip(mine, theirs, strict=True)
            for one, other in zip(row, wanted_row, strict=True)
        )
    flat, wanted_flat = ([cell for row in rows for cell in row] for rows in (mine, theirs))
    straight = all(min(len(rows), max(map(len, rows))) == 1 for rows in (mine, theirs))
    return (
        straight
        and len(flat) == len(wanted_flat)
        and all(_same(read(one), read(other)) for one, other in zip(flat, wanted_flat, strict=True))
    )


def _cells(node: Node) -> list[list[str]] | None:
    """Rows of a matrix; a tuple is one row."""
    if isinstance(node, Grid):
        return [list(row) for row in node.rows]
    if isinstance(node, Several) and all(isinstance(item, Several) and item.how in ("[]", "()") for item in node.items):
        rows = [_cells(item) for item in node.items]
        return [row[0] for row in rows if row] if all(rows) else None
    if isinstance(node, Several) and node.how in ("()", "<", "[]") and all(isinstance(item, Leaf) for item in node.items):
        return [[item.text for item in node.items if isinstance(item, Leaf)]]
    return None


def _same_congruences(given: Node, wanted: Node) -> bool:
    if not (isinstance(given, Congruence) and isinstance(wanted, Congruence)):
        return False
    if given.subject and wanted.subject and head(given.subject) != head(wanted.subject):
        return False
    if not equal_text(given.modulus, wanted.modulus):
        return False
    if equal_text(given.residue, wanted.residue):
        return True
    try:
        apart, modulus = parse(given.residue) - parse(wanted.residue), parse(wanted.modulus)
    except Unreadable:
        return False
    return bool(apart.is_Integer and modulus.is_Integer and modulus != 0 and apart % modulus == 0)


def _same_ratios(given: Node, wanted: Node) -> bool:
    """Ratios may be scaled, times of day not; `2:3` is the fraction 2/3 too."""
    mine, theirs = (node.parts if isinstance(node, Ratio) else (node.text,) if isinstance(node, Leaf) else () for node in (given, wanted))
    if not mine or not theirs:
        return False
    if len(mine) == len(theirs) and all(map(equal_text, mine, theirs)):
        return True
    if any(_CLOCK.fullmatch(part) for part in (*mine[1:], *theirs[1:])):
        return False
    try:
        gold = [parse(part) for part in theirs]
        values = [parse(part) for part in mine]
    except Unreadable:
        return False
    if any(not isinstance(value, sympy.Expr) for value in (*gold, *values)):
        return False
    if len(values) == len(gold):
        return all(sympy.simplify(one * gold[0] - other * values[0]) == 0 for one, other in zip(values, gold, strict=True)) and gold[0] != 0
    if {len(values), len(gold)} == {1, 2}:
        pair, (single,) = (values, gold) if len(values) == 2 else (gold, values)
        return bool(pair[1] != 0 and sympy.simplify(pair[0] / pair[1] - single) == 0)
    return False


def _same_regions(given: Node, wanted: Node) -> bool | None:
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
    left, right = (-_difference(chain) if flip else _difference(chain) for chain, flip in zip((given, wanted), flipped, strict=True))
    return proportional(left, right, positive=signs[0] != "!=")
