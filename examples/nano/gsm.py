"""Programs for gsm_symbolic, read off reasoning-gym's own generators.

Each of the ~85 templates is a function `generate_from_variables` whose body computes the answer from the numbers of the
question. This module keeps that arithmetic (a backward slice from the answer), puts the numbers of the question in front
in the order in which the question states them, and renames everything to single letters: a program the model can write.
"""

from __future__ import annotations

import ast
import inspect
import random
import re
import string
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

from reasoning_gym.arithmetic.gsm_symbolic import generators_00_49, generators_50_99

from .families import TRAIN_SEED, Item, _dataset

_SEEN: list[dict[str, Any]] = []


@dataclass(frozen=True)
class Template:
    """The arithmetic of one question template."""

    statements: tuple[ast.stmt, ...]
    answer: ast.expr


@dataclass(frozen=True)
class Worked:
    """One question's arithmetic: input lines, derived lines, the answer expression, and the lines with values put in."""

    inputs: tuple[str, ...]
    derived: tuple[str, ...]
    answer: str
    by_hand: tuple[str, ...]


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Assign) and getattr(statement.targets[0], "id", "") in ("question", "answer_cot", "answer")


@lru_cache(maxsize=1)
def _templates() -> tuple[dict[int, Template], dict[int, Any]]:
    """Templates by number, and generators that also record the arguments of the template they fill."""
    templates: dict[int, Template] = {}
    generators: dict[int, Any] = {}
    for module in (generators_00_49, generators_50_99):
        tree = ast.parse(inspect.getsource(module))
        for outer in tree.body:
            if not (isinstance(outer, ast.FunctionDef) and outer.name.startswith("generate_")):
                continue
            inner = next(n for n in outer.body if isinstance(n, ast.FunctionDef) and n.name == "generate_from_variables")
            returned = next(s for s in inner.body if isinstance(s, ast.Return)).value
            assert isinstance(returned, ast.Dict)
            answer = next(v for k, v in zip(returned.keys, returned.values, strict=True) if getattr(k, "value", "") == "answer")
            if isinstance(answer, ast.Call) and answer.args:
                answer = answer.args[0]
            elif isinstance(answer, ast.JoinedStr):
                answer = next(v.value for v in answer.values if isinstance(v, ast.FormattedValue))
            kept = tuple(s for s in inner.body if isinstance(s, ast.Assign) and not _is_text(s))
            templates[int(outer.name.split("_")[1])] = Template(kept, answer)
            inner.body.insert(0, ast.parse("_SEEN.append(dict(locals()))").body[0])
        namespace: dict[str, Any] = {"_SEEN": _SEEN}
        exec(compile(ast.fix_missing_locations(tree), module.__name__, "exec"), namespace)
        generators.update({int(n.split("_")[1]): f for n, f in namespace.items() if n.startswith("generate_")})
    return templates, generators


def _names(node: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}


def _literal(value: Any, question: str) -> tuple[str, int] | None:
    """How a number of the question is written in the program, and where the question states it (the end if it does not)."""
    if isinstance(value, bool) or not isinstance(value, (int, float, Fraction, str)):
        return None
    candidates: list[tuple[str, str]] = []
    if isinstance(value, str):
        if not re.fullmatch(r"\d+/\d+", value):
            return None
        candidates.append((value, value))
    elif isinstance(value, Fraction):
        candidates.append((str(value), str(value)))
    else:
        if float(value).is_integer():
            candidates += [(str(value), str(value)), (str(int(value)), str(int(value)))]
        else:
            percent = round(value * 100, 6)
            text = str(int(percent)) if percent.is_integer() else str(percent)
            fraction = Fraction(value).limit_denominator(20)
            candidates += [(str(value), str(value)), (f"{value:.2f}", f"{value:.2f}"), (f"{text}%", f"{text} / 100")]
            candidates += [(str(fraction), str(fraction))] if abs(fraction - value) < 1e-9 else []
    for stated, written in candidates:
        found = re.search(rf"(?<![\d.]){re.escape(stated)}(?!\d|\.\d)", question)
        if found:
            return written, found.start()
    words = {2: ("twice", "two", "double"), 3: ("three", "triple"), 4: ("four",), 5: ("five",), 0.5: ("half",), 0.25: ("quarter",)}
    for word in words.get(value, ()) if not isinstance(value, str) else ():
        if word in question:
            return candidates[0][1], question.index(word)
    return (candidates[0][1], len(question)) if candidates else None


class _Rename(ast.NodeTransformer):
    def __init__(self, names: dict[str, str]) -> None:
        self.names = names

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.Name(self.names.get(node.id, node.id), node.ctx)


class _Divide(ast.NodeTransformer):
    """`Fraction(a, b)` is written `a / b`: shorter, and the verified programs show that it is exact enough."""

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id == "Fraction" and len(node.args) == 2:
            return ast.BinOp(node.args[0], ast.Div(), node.args[1])
        return node


class _PutValues(ast.NodeTransformer):
    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values

    def visit_Name(self, node: ast.Name) -> ast.expr:
        value = self.values.get(node.id)
        return ast.Constant(_tidy(value)) if isinstance(value, (int, float)) else node


def _tidy(value: Any) -> Any:
    if isinstance(value, float):
        return int(value) if value.is_integer() else round(value, 4)
    return value


def _slice(template: Template) -> list[ast.Assign]:
    """The statements the answer needs, in order."""
    needed = _names(template.answer)
    kept: list[ast.Assign] = []
    for statement in reversed(template.statements):
        assert isinstance(statement, ast.Assign)
        if _names(statement.targets[0]) & needed:
            kept.insert(0, statement)
            needed |= _names(statement.value)
    return kept


def _weekday_hours(arguments: dict[str, Any]) -> tuple[list[ast.Assign], ast.expr]:
    """Template 66 hides its answer among the arguments: the equation is written here."""
    text = "left = (total_hours - 2 * hour1 - hour2 - 2 * hour3) * 60 - min2"
    return [ast.parse(text).body[0]], ast.parse("round(left / min1)", mode="eval").body  # type: ignore[list-item]


@lru_cache(maxsize=4096)
def _work(question_index: int, seed: int, question: str) -> Worked | None:
    templates, generators = _templates()
    size = 2_000_000 if seed >= TRAIN_SEED else 20_000
    number = _dataset("gsm_symbolic", "easy", seed, size).task_indices[question_index]
    _SEEN.clear()
    example = generators[number](random.Random(seed + question_index), 1.0)
    if not question.startswith(example["question"]):
        return None
    arguments = _SEEN[-1]
    if number == 66:
        statements, answer = _weekday_hours(arguments)
    else:
        statements, answer = _slice(templates[number]), templates[number].answer
    if number == 41:
        statements = [s for s in statements if "fraction_word" not in ast.unparse(s) and "Fraction" not in ast.unparse(s)]
        arguments["fraction_val"] = {"half": "1/2", "one-half": "1/2"}.get(arguments["fraction"], arguments["fraction"])
    if number == 52:
        statements = statements[1:]
        arguments["alphabet_count"] = arguments["alphabets"][1]
    if number == 69:
        statements = statements[1:] if "eval" in ast.unparse(statements[0]) else statements
        arguments["frac_num"] = arguments["fraction"]
    if number == 95:
        arguments["days"] = 7 if arguments["time_period"] == "week" else 30
        answer = ast.parse("(n1 + n2 + n3) * days", mode="eval").body
        statements = []
    if number == 85:
        arguments["conversion"] = 3 if arguments["unit1"] == "feet" and arguments["unit2"] == "yards" else 1
        statements = statements[1:]
    return _render(question, arguments, statements, answer)


def _render(question: str, arguments: dict[str, Any], statements: list[ast.Assign], answer: ast.expr) -> Worked | None:
    statements = [_Divide().visit(ast.parse(ast.unparse(s)).body[0]) for s in statements]
    used = set().union(*(_names(s.value) for s in statements), _names(answer))
    literals: dict[str, tuple[str, int]] = {}
    for name in used & set(arguments):
        literal = _literal(arguments[name], question)
        if literal is None:
            return None
        literals[name] = literal
    ordered = sorted(literals, key=lambda n: (literals[n][1], n))
    derived = [s.targets[0].id for s in statements if isinstance(s.targets[0], ast.Name)]
    names: dict[str, str] = {}
    for name in ordered + derived:
        names.setdefault(name, string.ascii_lowercase[len(names)])
    inputs = tuple(f"{names[n]} = {literals[n][0]}" for n in ordered)
    rename = _Rename(names)
    lines = tuple(ast.unparse(rename.visit(ast.parse(ast.unparse(s)).body[0])) for s in statements)
    final = ast.unparse(rename.visit(ast.parse(ast.unparse(answer), mode="eval").body))
    values: dict[str, Any] = {}
    hand: list[str] = []
    try:
        for line in inputs:
            exec(line, values)
        for line in lines:
            target, right = line.split(" = ", 1)
            exec(line, values)
            shown = ast.unparse(_PutValues(values).visit(ast.parse(right, mode="eval").body))
            if shown != str(_tidy(values[target])):
                hand.append(f"{shown} = {_tidy(values[target])}")
        if not re.fullmatch(r"[a-z]", final):
            shown = ast.unparse(_PutValues(values).visit(ast.parse(final, mode="eval").body))
            hand.append(f"{shown} = {_tidy(eval(final, values))}")
    except Exception:
        return None
    return Worked(inputs, lines, final, tuple(hand))


def worked(item: Item, seed: int) -> Worked | None:
    """The arithmetic of a drawn question, or None where it cannot be read off (two or three templates)."""
    return _work(item.index, seed, item.question)
