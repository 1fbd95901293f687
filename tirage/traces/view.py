"""A rollout for people: what was read and written, by whom, and how the tree grew. Text only, no terminal needed."""

from collections.abc import Iterator

from rich.console import Console, Group, RenderableType
from rich.text import Text

from tirage.core.rollout import Rollout
from tirage.core.step import Source, Span, Step, Usage
from tirage.core.tree import ROOT, Node, Tree
from tirage.core.verdict import Verdict

STYLES = {
    Source.PROMPT: "bright_black",
    Source.POLICY: "",
    Source.HINT: "magenta",
    Source.TOOL: "cyan",
    Source.SCAFFOLD: "bright_black",
    Source.FORCED: "yellow",
}
"""One colour per author; the label beside each span says the same without colour."""
_GUTTER = 8
_EXCERPT = 60
_CONTROLS = [code for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\t\n"]
_UNPRINTABLE = (*range(0x202A, 0x202F), *range(0x2066, 0x206A), *range(0xD800, 0xE000))
"""Overrides of the reading direction, and halves of surrogate pairs."""
_VISIBLE = {code: f"\\x{code:02x}" for code in _CONTROLS} | {code: f"\\u{code:04x}" for code in _UNPRINTABLE}


def show_path(rollout: Rollout, node: int | None = None, *, console: Console | None = None) -> RenderableType:
    """The path to `node` (the chosen one by default): header, every span with its author, verdict and cost.

    What a role was asked stands above its turn. With `console`, long lines are wrapped to its width beside the labels; without, they are
    left alone.
    """
    end = rollout.chosen if node is None else node
    lines: list[Text] = list(_header(rollout, end))
    lines.append(_rule("prompt", None))
    for span in rollout.tree.prompt:
        lines.extend(_span_lines(span, console))
    for place, item in enumerate(rollout.tree.path(end), start=1):
        if item.step is None:
            continue
        lines.append(_rule(" · ".join(filter(None, (f"step {place}, node {item.index}", _role(item)))), item.step))
        for span in (*(item.step.opening.prompt if item.step.opening is not None else ()), *item.step.spans):
            lines.extend(_span_lines(span, console))
        if item.error is not None:
            lines.append(
                Text(f"{'error':>{_GUTTER}} │ {item.error.boundary}: {item.error.kind}: {visible(item.error.message)}", style="red")
            )
    lines.extend(_footer(rollout, end))
    return Group(*lines)


def show_tree(rollout: Rollout, *, most: int = 500) -> RenderableType:
    """The whole tree, a line per node, in depth-first order; an only child stays at its parent's indent.

    At most `most` nodes are shown; the last line then says how many are not.
    """
    tree = rollout.tree
    lines: list[Text] = list(_header(rollout, rollout.chosen))
    lines.append(Text(""))
    shown = 0
    stack = [(ROOT, "", "")]
    while stack and shown < most:
        index, indent, joint = stack.pop()
        lines.append(_node_line(rollout, index, indent + joint))
        shown += 1
        below = indent + {"": "", "├─ ": "│  ", "└─ ": "   ", "↓ ": ""}[joint]
        children = tree.children[index]
        if len(children) == 1:
            stack.append((children[0], below, "↓ "))
        else:
            below += "  " if joint == "↓ " else ""
            stack.extend((child, below, "└─ " if child == children[-1] else "├─ ") for child in reversed(children))
    if shown < len(tree.nodes):
        lines.append(Text(f"... {len(tree.nodes) - shown} more nodes", style="bright_black"))
    lines.append(Text(""))
    if tree.ended:
        lines.append(Text(f"growing stopped early: {visible(tree.ended)}", style="yellow"))
    lines.append(_cost_line("tree", tree.usage, rollout.wall_s))
    return Group(*lines)


def verdict_text(verdict: Verdict | None, correct: bool | None) -> Text:
    """One line: right, wrong or ungraded, with score, answer and verifier."""
    word = {True: "right", False: "wrong", None: "ungraded"}[correct]
    text = Text(word, style={True: "green", False: "red", None: "yellow"}[correct])
    if verdict is None:
        return text.append(" (nobody judged it)", style="bright_black")
    parts = [f"score {verdict.score:g}"] if verdict.score is not None else []
    if verdict.answer is not None:
        parts.append(f"answer {visible(verdict.answer)!r}" + (f" ({verdict.extraction})" if verdict.extraction else ""))
    parts.append(verdict.verifier)
    if verdict.detail:
        parts.append(visible(verdict.detail))
    return text.append("  " + ", ".join(parts), style="bright_black")


def visible(text: str) -> str:
    """`text` with control characters spelt out: what a model wrote must not drive the terminal, and must print."""
    return text.translate(_VISIBLE)


def excerpt(text: str, width: int = _EXCERPT) -> str:
    """The text on one line, its middle left out when it is longer than `width`."""
    line = visible(" ".join(text.split()))
    if len(line) <= width:
        return line
    head = (width - 1) // 2
    return f"{line[:head]}…{line[len(line) - (width - 1 - head) :]}"


def _header(rollout: Rollout, end: int) -> Iterator[Text]:
    problem = rollout.problem
    yield Text(rollout.key, style="bold")
    facts = [problem.family, f"tier {problem.tier}" if problem.tier != "-" else "", rollout.model, rollout.tree.policy_id]
    yield Text(" · ".join(fact for fact in facts if fact), style="bright_black")
    if problem.answer is not None:
        yield Text(f"reference answer {visible(problem.answer)!r}", style="bright_black")
    verdict = rollout.verdicts.get(end)
    yield verdict_text(verdict, rollout.correct if end == rollout.chosen else verdict.correct if verdict else None)


def _footer(rollout: Rollout, end: int) -> Iterator[Text]:
    yield _rule("end", None)
    if end == ROOT:
        yield Text("nothing was produced", style="yellow")
        return
    path = rollout.tree.trajectory(end)
    yield Text(f"stopped: {path.stop}")
    for hint in path.hints:
        turn = ", as a user turn" if hint.as_user_turn else ""
        yield Text(
            f"hint {hint.hint_id} ({hint.family}) at {hint.position}, offset {hint.offset}: {hint.reason}{turn}", style=STYLES[Source.HINT]
        )
    yield _cost_line("path", path.usage, None)
    if len(rollout.tree.nodes) > len(path.steps) + 1:
        yield _cost_line("tree", rollout.tree.usage, rollout.wall_s)


def _cost_line(name: str, usage: Usage, wall_s: float | None) -> Text:
    parts = [
        f"{usage.tokens_in} tokens in",
        f"{usage.tokens_out} out",
        f"{usage.model_calls} model calls",
        f"{usage.tool_calls} tool calls",
    ]
    if usage.cost_usd:
        parts.append(f"${usage.cost_usd:.4f}")
    if wall_s:
        parts.append(f"{wall_s:.2f} s")
    return Text(f"{name}: {', '.join(parts)}", style="bright_black")


def _rule(title: str, step: Step | None) -> Text:
    facts = [title]
    if step is not None:
        facts.append(str(step.finish))
        sampled = [value for span in step.spans if span.source is Source.POLICY for value in span.logprobs or ()]
        if sampled:
            facts.append(f"mean logp {sum(sampled) / len(sampled):.2f}")
        facts.extend(f"{observation.status} {observation.duration_s:.3f} s" for observation in step.observations)
    line = f"── {' · '.join(facts)} "
    return Text(line + "─" * max(0, 60 - len(line)), style="bright_black")


def _span_lines(span: Span, console: Console | None) -> Iterator[Text]:
    """The span's text with its author in front of the first line; nothing for an empty span."""
    if not span.text:
        return
    style = STYLES[span.source]
    body = Text(visible(span.text.removesuffix("\n")).expandtabs(4), style=style)
    rows = body.wrap(console, max(20, console.width - _GUTTER - 3)) if console is not None else body.split("\n", allow_blank=True)
    label = span.source.value
    for row in rows:
        yield Text(f"{label:>{_GUTTER}} │ ", style=style or "bold").append_text(row)
        label = ""


def _node_line(rollout: Rollout, index: int, joint: str) -> Text:
    tree = rollout.tree
    node = tree.nodes[index]
    line = Text(joint, style="bright_black").append(str(index), style="bold")
    if node.step is None:
        line.append("  prompt", style="bright_black")
    else:
        line.append(f"  {node.stop if tree.children[index] == [] else node.step.finish}  ", style="red" if node.error else "")
        if role := _role(node):
            line.append(f"{role}: ", style="bold")
        line.append(_node_excerpt(node, node.step), style="")
    verdict = rollout.verdicts.get(index)
    if verdict is not None:
        word = {True: "right", False: "wrong", None: "ungraded"}[verdict.correct]
        line.append(f"  {word}", style={True: "green", False: "red", None: "yellow"}[verdict.correct])
    line.append(_statistics(tree, index), style="bright_black")
    if index == rollout.chosen and index != ROOT:
        line.append("  ◀ chosen", style="bold")
    return line


def _role(node: Node) -> str:
    """Whose turn a node begins; empty within a turn, and where there are no roles."""
    return excerpt(node.move) if node.step is not None and node.step.opening is not None else ""


def _node_excerpt(node: Node, step: Step) -> str:
    if node.error is not None:
        return f"{node.error.boundary}: {node.error.kind}: {excerpt(node.error.message)}"
    hint = f"[hint {step.hint.hint_id}] " if step.hint is not None else ""
    answers = " → " + excerpt(" ".join(item.text for item in step.observations), _EXCERPT // 2) if step.observations else ""
    return f"{hint}{excerpt(step.policy_text)}{answers}"


def _statistics(tree: Tree, index: int) -> str:
    visits, prior = tree.visits[index], tree.nodes[index].prior
    parts = [f"N={visits} Q={tree.value_sum[index] / visits:.2f}"] if visits else []
    if prior is not None:
        parts.append(f"P={prior:.2f}")
    return f"  {' '.join(parts)}" if parts else ""
