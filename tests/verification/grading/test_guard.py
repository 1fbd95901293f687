import subprocess
import sys

import pytest

from tirage.verification.grading.guard import vet_expression


@pytest.mark.parametrize(
    "code",
    [
        "Integer (2 )+Integer (3 )*Symbol ('x')",
        "sqrt (Integer (2 ))/Integer (2 )",
        "Function ('f')(Symbol ('x'))",
        "Add(Integer(1), Integer(2), evaluate=False)",
        "Float ('1.5')",
        "-pi *I +E",
    ],
)
def test_mathematics_passes(code):
    vet_expression(code)


@pytest.mark.parametrize(
    "code",
    [
        "__import__ ('os').system ('true')",
        "open ('x')",
        "eval ('1')",
        "Symbol ('x').__class__",
        "(lambda : Integer (1 ))()",
        "[x for x in (1, 2)]",
        "sympify ('1')",
        "S ('1')",
        "lambdify (Symbol ('x'), Integer (1 ))",
        "sqrt ('1')",
        "'text'",
        "Symbol ('x', cls=Function)",
        "Function ('f')('x')",
        "(1, 2)[0]",
        "Integral (Symbol ('x'), Symbol ('x'))",
        "f'{1}'",
    ],
)
def test_everything_else_is_refused(code):
    with pytest.raises(ValueError, match="not allowed"):
        vet_expression(code)


def test_a_callers_own_names_pass():
    vet_expression("C + x", frozenset({"C", "x"}))
    with pytest.raises(ValueError, match="'C'"):
        vet_expression("C + x", frozenset({"x"}))


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_sympys_parser_is_guarded_however_it_was_imported(tmp_path):
    target = tmp_path / "made"
    code = f"""
from sympy.parsing.sympy_parser import parse_expr
import sympy
from tirage.verification.grading.guard import guard_sympy
guard_sympy()
assert parse_expr("2*x + sqrt(4)") == 2 * sympy.Symbol("x") + 2
assert parse_expr("1/3", evaluate=False).doit() == sympy.Rational(1, 3)
for parse in (parse_expr, sympy.parse_expr, sympy.sympify):
    for text in ("open('{target}', 'w')", "().__class__", "eval('1')"):
        try:
            parse(text)
        except (ValueError, sympy.SympifyError, TypeError, AttributeError):
            continue
        raise SystemExit(f"{{parse}} evaluated {{text}}")
"""
    done = run(code)
    assert done.returncode == 0, done.stderr
    assert not target.exists()


def test_the_hook_refuses_processes_sockets_and_writing(tmp_path):
    code = f"""
import os, socket, subprocess
from tirage.verification.grading.guard import refuse_side_effects
refuse_side_effects()
open(os.devnull).close()
for act in (
    lambda: os.system("true"),
    lambda: subprocess.run(["true"]),
    lambda: socket.create_connection(("127.0.0.1", 9)),
    lambda: open("{tmp_path}/made", "w"),
    lambda: os.open("{tmp_path}/made", os.O_CREAT),
    lambda: os.remove("{tmp_path}"),
    lambda: os.fork(),
    lambda: os.kill(1, 0),
):
    try:
        act()
    except PermissionError:
        continue
    raise SystemExit("not refused")
"""
    done = run(code)
    assert done.returncode == 0, done.stderr + done.stdout
    assert not list(tmp_path.iterdir())
