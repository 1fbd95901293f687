"""Tables of options: of the published systems from their specs, of the strategies from their classes."""

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise
from typing import Any

from scripts.pages.tables import table, written
from tirage.search.strategies import STRATEGIES, option_names
from tirage.systems.registry import shipped
from tirage.systems.spec import SystemSpec

DEMONSTRATIONS = "a YAML file with worked examples, shown to the roles"


def option_tables() -> dict[str, str]:
    """One file for each system, one list of the systems, one of the strategies."""
    files = {f"made/options/{name}.md": system_table(spec) for name, spec in shipped().items()}
    files["made/systems.md"] = table(
        ("system", "paper", "in a line"),
        ((f"[`{name}`]({page_of(name)}.md)", paper(spec), spec.summary) for name, spec in shipped().items()),
    )
    rows = (
        (f"`{name}`", about, ", ".join(f"`{option}`" for option in option_names(name)) or "-") for name, (_, about) in STRATEGIES.items()
    )
    files["made/strategies.md"] = table(("strategy", "what it does", "options"), rows)
    return files


def page_of(name: str) -> str:
    """The page of a system: both ways of Critic-CoT share one."""
    return "critic-cot" if name.startswith("critic-") else name


def paper(spec: SystemSpec) -> str:
    """The paper as a link to its abstract; a dash where there is none."""
    return f"[{spec.paper}](https://arxiv.org/abs/{spec.paper})" if spec.paper else "-"


def system_table(spec: SystemSpec) -> str:
    """What a system is and needs, then each option with its default and meaning."""
    facts = [
        ("paper", f"arXiv {paper(spec)}" if spec.paper else "-"),
        ("name", f"`{spec.name}`"),
        ("samples with", ", ".join(f"{key} {value:g}" for key, value in spec.sampling.items()) or "what the model suggests"),
        ("needs a model that follows instructions", "yes" if spec.needs_instructions else "no"),
        ("takes a reward model (`--prm`)", "yes" if spec.takes_reward else "no"),
        ("makes the calls that its models describe", "yes" if spec.calls_own_tools else "no"),
        ("draws until its budget is spent, where their number is not given", "yes" if spec.until_spent else "no"),
        ("roles that can be shown examples", ", ".join(spec.shots) or "-"),
    ]
    said = meanings(spec.workflow) if spec.workflow is not None else arguments(spec.build)
    if spec.shots:
        said = {"demonstrations": DEMONSTRATIONS, **said}
    rows = [(f"`{name}`", written(default), said.get(name, "")) for name, default in spec.defaults.items()]
    lines = table(("", ""), facts)
    return f"{lines}\n{table(('option', 'default', 'what it is'), rows)}" if rows else lines


def meanings(workflow: type) -> dict[str, str]:
    """The docstrings below a dataclass's fields, by field."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(workflow)))
    body = tree.body[0].body  # type: ignore[attr-defined]
    found = {}
    for field, text in pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            found[ast.unparse(field.target)] = str(text.value.value)
    return found


def arguments(build: Callable[..., Any]) -> Mapping[str, str]:
    """What the section `Args` of a function's docstring says, by argument."""
    target = build.func if isinstance(build, partial) else build
    section = re.search(r"^Args:\n((?: {4}.*\n?|\n)+)", inspect.getdoc(target) or "", re.MULTILINE)
    if section is None:
        return {}
    entries = re.findall(r"^ {4}(\w+): ((?:.*)(?:\n {8}.*)*)", section[1], re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}
