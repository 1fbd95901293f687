"""Keeps third-party graders from running a policy's text as code. Used inside grading workers only.

sympy's string parser hands its input to `eval`, and several reasoning-gym scorers call `eval` on the answer itself. Two
layers: what they would evaluate is vetted first, and an audit hook refuses what no grader needs (processes, sockets,
changing files). The hook is a second line, not a sandbox: the vetting is what keeps code out.
"""

import ast
import importlib
import os
import sys
from typing import Any

_CONSTRUCTORS = frozenset({"Symbol", "Function", "Integer", "Float", "Rational"})
_FUNCTIONS = frozenset(
    "Abs abs sign sqrt cbrt root exp log ln sin cos tan cot sec csc asin acos atan atan2 acot asec acsc sinh cosh tanh coth sech csch "
    "asinh acosh atanh acoth asech acsch factorial binomial gamma beta zeta erf erfc erfi Ei Si Ci Shi Chi li Li LambertW polylog "
    "fresnels fresnelc Max Min max min floor ceiling round gcd lcm Mod Add Mul Pow pow re im conjugate arg Heaviside "
    "Eq Ne Lt Le Gt Ge And Or Not Tuple FiniteSet Interval Union Matrix".split()
)
_CONSTANTS = frozenset("pi E I oo zoo nan GoldenRatio EulerGamma true false".split())
_NODES = (
    ast.Expression, ast.Call, ast.Name, ast.Load, ast.Constant, ast.BinOp, ast.operator, ast.UnaryOp, ast.unaryop,
    ast.BoolOp, ast.boolop, ast.Compare, ast.cmpop, ast.Tuple, ast.List, ast.Set, ast.keyword,
)  # fmt: skip
_CHANGES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_REFUSED = (
    "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.startfile", "os.remove", "os.rename", "os.rmdir", "os.mkdir",
    "os.link", "os.symlink", "os.truncate", "os.chmod", "os.chown", "os.kill", "os.putenv", "subprocess.", "shutil.", "socket.",
    "ctypes.", "pty.", "mmap.", "signal.pthread_kill", "ftplib.", "http.", "urllib.", "smtplib.", "webbrowser.",
)  # fmt: skip
_LITERAL_SCORERS = ("algorithmic.string_insertion", "algorithmic.spiral_matrix", "algorithmic.binary_matrix", "games.n_queens")


def vet_expression(code: str, local_names: frozenset[str] = frozenset()) -> None:
    """Refuse Python that is more than arithmetic over numbers, symbols and known functions.

    Args:
        code: what sympy's parser made of the text and is about to evaluate.
        local_names: names the caller bound to values of its own.

    Raises:
        ValueError: names the construct that is not allowed.
    """
    strings: set[int] = set()
    for node in ast.walk(ast.parse(code.strip(), mode="eval")):
        if not isinstance(node, _NODES):
            raise ValueError(f"{type(node).__name__} is not allowed in an answer")
        if isinstance(node, ast.Name) and node.id not in _CONSTRUCTORS | _FUNCTIONS | _CONSTANTS | local_names:
            raise ValueError(f"the name {node.id!r} is not allowed in an answer")
        if isinstance(node, ast.keyword) and node.arg != "evaluate":
            raise ValueError(f"the keyword {node.arg!r} is not allowed in an answer")
        if isinstance(node, ast.Call):
            strings |= _named(node)
        if isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes)) and id(node) not in strings:
            raise ValueError("a string is not allowed in an answer")


def _named(call: ast.Call) -> set[int]:
    """Identities of the string constants this call may take: the names of symbols and the digits of numbers."""
    if isinstance(call.func, ast.Name) and call.func.id in _CONSTRUCTORS:
        return {id(argument) for argument in call.args}
    if isinstance(call.func, ast.Name) or (
        isinstance(call.func, ast.Call) and isinstance(call.func.func, ast.Name) and call.func.func.id in {"Function", "Symbol"}
    ):
        return set()
    raise ValueError("calling the result of an expression is not allowed in an answer")


def guard_sympy() -> None:
    """Vet everything that sympy's string parser is about to evaluate, in this process, from now on."""
    parser: Any = importlib.import_module("sympy.parsing.sympy_parser")
    stringify = parser.stringify_expr

    def vetted(text: str, local_dict: dict[str, Any], *rest: Any) -> str:
        code: str = stringify(text, local_dict, *rest)
        vet_expression(code, frozenset(local_dict))
        return code

    parser.stringify_expr = vetted


def guard_gym() -> None:
    """Make the reasoning-gym scorers that evaluate an answer accept Python literals only."""
    for name in _LITERAL_SCORERS:
        module: Any = importlib.import_module(f"reasoning_gym.{name}")
        module.eval = ast.literal_eval


def refuse_side_effects() -> None:
    """Forbid processes, sockets and changes to files for the rest of this process's life."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            mode, flags = arguments[1], arguments[2]
            if (isinstance(mode, str) and set(mode) & set("wax+")) or (isinstance(flags, int) and flags & _CHANGES):
                raise PermissionError(f"a grader may not write files: {arguments[0]!r}")
        elif event.startswith(_REFUSED):
            raise PermissionError(f"a grader may not do {event}")

    sys.addaudithook(hook)
