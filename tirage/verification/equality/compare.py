"""Two answers of any structure: lists, tuples, sets, regions, equations, congruences, ratios. Runs inside grading workers only."""

import re
from collections.abc import Sequence
from typing import Any

import sympy

from tirage.verification.equality.algebra import Unreadable, equal_text, parse, proportional
from tirage.verification.equality.regions import difference, same_regions
from tirage.verification.equality.structure import Chain, Congruence, Grid, Leaf, Node, Ratio, Several, head, is_name, read

_ORDERED = frozenset({"()", "<", "(]", "[)", "[]"})
_CLOCK = re.compile(r"0\d|00")
_WORD = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{3,}|\.\.\.|\\[lc]?dots")
_HALF_DAY = re.compile(r"\s?([ap])\.?\s?m\.?$", re.IGNORECASE)


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
    regions = same_regions(given, wanted)
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
    if not isinstance(node, Chain) or not _is_equation(node) or is_name(node.parts[0]):
        return node
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
    right = difference(wanted)
    try:
        left = difference(given)
    except Unreadable:
        return False
    return proportional(left, right) or proportional(_numerator(left), _numerator(right))


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
        return _matched(mine, theirs)
    roots = [{_root(name) for name in some} for some in (names, gold_names) if some]
    if any(len(found) > 1 for found in roots):
        ordered = True
    return all(map(_same, values, gold_values)) if ordered else _matched(values, gold_values)


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


def _matched(mine: Sequence[Node], theirs: Sequence[Node]) -> bool:
    """Whether the entries can be paired off."""
    left = list(mine)
    for wanted in theirs:
        found = next((index for index, node in enumerate(left) if _same(node, wanted)), None)
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
    if (len(mine) > 1 and len(theirs) > 1) or (isinstance(given, Grid) and isinstance(wanted, Grid)):
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
