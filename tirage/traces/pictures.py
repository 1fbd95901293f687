"""A tree as a picture: plain data, Graphviz, Mermaid, and one HTML page to walk about in.

What models wrote is not trusted: every form escapes it in its own way, and the page shows it as text only.
"""

import json
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from string import Template
from typing import Any, Literal, cast

from tirage.core.rollout import Rollout
from tirage.core.step import Step
from tirage.core.tree import ROOT, Node
from tirage.traces.escaping import for_dot, for_html, for_mermaid
from tirage.traces.view import excerpt, visible
from tirage.traces.wire import without_infinities

Form = Literal["html", "json", "dot", "mermaid"]
LABEL = 60
"""Characters of a step in a node's label, or of a move on an edge."""


def draw(rollout: Rollout, form: Form) -> str:
    """The picture in one of the forms."""
    return {"html": tree_html, "json": tree_json, "dot": tree_dot, "mermaid": tree_mermaid}[form](rollout)


def tree_data(rollout: Rollout) -> dict[str, Any]:
    """Everything about a tree as JSON data; see the keys of `nodes` for what is known of each.

    Numbers that JSON lacks are the strings "NaN", "Infinity" and "-Infinity", as in a stored trace.
    """
    tree, usage = rollout.tree, rollout.tree.usage
    data = {
        "key": rollout.key,
        "problem": rollout.problem.prompt,
        "model": rollout.model,
        "policy": tree.policy_id,
        "ended": tree.ended or "exhausted",
        "chosen": rollout.chosen,
        "usage": {
            "tokens_in": usage.tokens_in,
            "tokens_out": usage.tokens_out,
            "tokens_cached": usage.tokens_cached,
            "tokens_judging": tree.judging.tokens_out,
            "model_calls": usage.model_calls,
            "tool_calls": usage.tool_calls,
            "cost_usd": usage.cost_usd,
            "seconds": rollout.wall_s,
        },
        "nodes": [_node_data(rollout, node) for node in tree.nodes],
    }
    return cast(dict[str, Any], without_infinities(data))


def _node_data(rollout: Rollout, node: Node) -> dict[str, Any]:
    tree, index, step = rollout.tree, node.index, node.step
    visits, verdict = tree.visits[index], rollout.verdicts.get(index)
    data: dict[str, Any] = {
        "index": index,
        "parent": node.parent,
        "depth": node.depth,
        "sample": node.sample,
        "move": node.move,
        "stop": node.stop.value,
        "visits": visits,
        "q": tree.value_sum[index] / visits if visits else None,
        "value": tree.values.get(index),
        "prior": node.prior,
        "note": tree.notes.get(index, ""),
        "error": f"{node.error.boundary}: {node.error.kind}: {node.error.message}" if node.error is not None else "",
        "verdict": None if verdict is None else {"correct": verdict.correct, "answer": verdict.answer, "detail": verdict.detail},
    }
    if step is None:
        return {**data, "spans": [{"source": span.source.value, "text": span.text} for span in tree.prompt]}
    return {
        **data,
        "finish": step.finish.value,
        "ephemeral": step.ephemeral,
        "hint": None if step.hint is None else {"id": step.hint.hint_id, "position": step.hint.position.value, "reason": step.hint.reason},
        "spans": [{"source": span.source.value, "text": span.text} for span in step.spans],
        "calls": [{"name": call.name, "arguments": call.arguments} for call in step.calls],
        "observations": [
            {"status": item.status.value, "text": item.text, "seconds": round(item.duration_s, 4)} for item in step.observations
        ],
        "tokens_in": step.usage.tokens_in,
        "tokens_out": step.usage.tokens_out,
    }


def tree_json(rollout: Rollout) -> str:
    """`tree_data` as text. Half of a surrogate pair, which strict parsers refuse even when escaped, is U+FFFD."""
    text = json.dumps(tree_data(rollout), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def tree_dot(rollout: Rollout) -> str:
    """Graphviz: `dot -Tsvg`. Nodes are coloured by verdict, the chosen path is bold."""
    chosen = {node.index for node in rollout.tree.path(rollout.chosen)} | {ROOT}
    lines = ["digraph tree {", '  node [shape=box, style="rounded,filled", fillcolor="#f3f4f6", fontname="Helvetica", fontsize=10];']
    for node in rollout.tree.nodes:
        style = f', fillcolor="{_fill(rollout, node)}"' + (", penwidth=2.5" if node.index in chosen else "")
        lines.append(f'  n{node.index} [label="{for_dot(_label(rollout, node))}"{style}];')
    for node in rollout.tree.nodes[1:]:
        bold = ", penwidth=2.5" if node.index in chosen else ""
        lines.append(f'  n{node.parent} -> n{node.index} [label="{for_dot([excerpt(node.move, LABEL)])}"{bold}];')
    return "\n".join([*lines, "}"]) + "\n"


def tree_mermaid(rollout: Rollout) -> str:
    """A Mermaid flowchart, for pages that draw those; more than 500 edges only where Mermaid's `maxEdges` and `maxTextSize` are raised."""
    lines = ["flowchart TD"]
    for node in rollout.tree.nodes:
        lines.append(f'  n{node.index}["{for_mermaid(_label(rollout, node))}"]')
    for node in rollout.tree.nodes[1:]:
        label = f'|"{for_mermaid([excerpt(node.move, LABEL)])}"|' if node.move else ""
        lines.append(f"  n{node.parent} -->{label} n{node.index}")
    for name, colour in (("right", "#d6f5e3"), ("wrong", "#fde0dc"), ("broken", "#fbd38d")):
        members = ",".join(f"n{node.index}" for node in rollout.tree.nodes if _kind(rollout, node) == name)
        if members:
            lines += [f"  classDef {name} fill:{colour}", f"  class {members} {name}"]
    if rollout.chosen != ROOT:
        lines.append(f"  style n{rollout.chosen} stroke-width:4px")
    return "\n".join(lines) + "\n"


def tree_html(rollout: Rollout) -> str:
    """One page without any request: pan, zoom, walk by mouse or keys, fold, search, compare siblings; plain text without JavaScript."""
    safe = tree_json(rollout).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    title = for_html(f"{visible(rollout.key)}: {excerpt(rollout.problem.prompt)}")
    return _template().substitute(title=title, data=safe, plain="\n".join(for_html(line) for line in _plain(rollout)))


@cache
def _template() -> Template:
    return Template(files("tirage.traces").joinpath("tree.html").read_text(encoding="utf-8"))


def _plain(rollout: Rollout) -> Iterator[str]:
    """The tree as indented lines, depth first, without recursion."""
    todo = [ROOT]
    while todo:
        index = todo.pop()
        node = rollout.tree.nodes[index]
        # Deep trees would otherwise be wider than any page.
        yield f"{'  ' * min(node.depth, 40)}{index}  {' | '.join(_label(rollout, node))}"
        todo.extend(reversed(rollout.tree.children[index]))


def _label(rollout: Rollout, node: Node) -> list[str]:
    """A node in two or three short lines."""
    tree, index = rollout.tree, node.index
    if node.step is None:
        return ["problem", excerpt(rollout.problem.prompt, LABEL)]
    figures = [f"N={tree.visits[index]} Q={tree.value_sum[index] / tree.visits[index]:.2f}"] if tree.visits[index] else []
    if index in tree.values:
        figures.append(f"V={tree.values[index]:.2f}")
    kind = _kind(rollout, node)
    head = " ".join([f"{index}", *figures, *([kind] if kind else [])])
    return [head, excerpt(_said(node.step), LABEL), *([excerpt(node.error.message, LABEL)] if node.error is not None else [])]


def _said(step: Step) -> str:
    seen = f" -> {step.observations[-1].text}" if step.observations else ""
    return f"{step.policy_text}{seen}"


def _kind(rollout: Rollout, node: Node) -> str:
    verdict = rollout.verdicts.get(node.index)
    if node.error is not None:
        return "broken"
    if verdict is None or verdict.correct is None:
        return ""
    return "right" if verdict.correct else "wrong"


def _fill(rollout: Rollout, node: Node) -> str:
    return {"right": "#d6f5e3", "wrong": "#fde0dc", "broken": "#fbd38d", "": "#f3f4f6"}[_kind(rollout, node)]
