"""Programs in the language of ART (arXiv 2303.09014, section 3.1): numbered sub-tasks with their results, in plain text.

Input: How many seats have 12 rows of 32?
Q1: [generate python code] Multiply.
#1: ans = 12 * 32
Q2: [code execute] Run #1
#2: 384
Q3: [EOQ]
Ans: 384
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tirage.agents.replies import Unreadable

RULE = "----"
"""Between demonstrations."""
_HEAD = re.compile(r"Q(\d+): ?\[([^\]\n]+)\] ?(.*)")
_OUTPUT = re.compile(r"#(\d+): ?(.*)")
_ANSWER = re.compile(r"Ans: ?(.*)")
_ENDED = re.compile(r"^Q\d+: ?\[EOQ\]\s*\nAns:\s*\S", re.MULTILINE)
_REFERENCE = re.compile(r"#(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramStep:
    """One sub-task. Its texts may have several lines and have no white space around them."""

    command: str
    """What stands in brackets: a tool, or a name for what the model does by itself."""
    task: str
    output: str | None = None
    """None while it has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskProgram:
    """A program for one input."""

    input: str
    steps: tuple[ProgramStep, ...]
    answer: str | None = None
    """None: it does not end in `[EOQ]` and an answer."""

    def render(self) -> str:
        """The text; `parse` reads it back. Texts of a step must not hold lines that look like tags: see `quoted`."""
        parts = [f"Input: {self.input}", *filter(None, [render_steps(self.steps)])]
        if self.answer is not None:
            parts.append(f"Q{len(self.steps) + 1}: [EOQ]\nAns: {self.answer}")
        return "\n".join(parts)


def render_steps(steps: Sequence[ProgramStep]) -> str:
    """The steps alone, numbered from 1."""
    lines: list[str] = []
    for number, step in enumerate(steps, start=1):
        lines.append(f"Q{number}: [{step.command}] {step.task}".rstrip())
        if step.output is not None:
            lines.append(f"#{number}: {step.output}".rstrip())
    return "\n".join(lines)


def parse(text: str) -> TaskProgram:
    """A whole program. Raises `Unreadable` where there is no input, or a step is out of order."""
    found = re.search(r"^Q1: ?\[", text, re.MULTILINE)
    head = text[: found.start()] if found is not None else text
    if not head.lstrip().startswith("Input:"):
        raise Unreadable('a program begins with "Input:"')
    steps, answer = parse_steps(text[len(head) :])
    return TaskProgram(input=head.lstrip().removeprefix("Input:").strip(), steps=steps, answer=answer)


def parse_steps(text: str) -> tuple[tuple[ProgramStep, ...], str | None]:
    """Steps and answer; what follows the answer behind a rule is dropped. Raises `Unreadable` where a step is out of order."""
    steps: list[ProgramStep] = []
    answer: str | None = None
    for kind, command, lines in _pieces(text):
        content = "\n".join(lines).strip()
        if kind == "task":
            steps.append(ProgramStep(command=command, task=content))
        elif kind == "output":
            steps[-1] = replace(steps[-1], output=content)
        elif kind == "answer":
            answer = content or None
    return tuple(steps), answer


def _pieces(text: str) -> list[tuple[str, str, list[str]]]:
    """(task, output, end or answer; command; lines) in order. A line that is no tag where it stands belongs to what is open."""
    pieces: list[tuple[str, str, list[str]]] = []
    due, last = 1, ""
    for line in text.split("\n"):
        if last == "answer" and line.startswith(RULE):
            break
        if last in ("", "task", "output") and (head := _HEAD.fullmatch(line)):
            if int(head[1]) != due:
                raise Unreadable(f"step Q{head[1]} stands where Q{due} is due")
            due, last = due + 1, "end" if head[2].strip() == "EOQ" else "task"
            pieces.append((last, head[2].strip(), [head[3]]))
        elif last == "task" and (output := _OUTPUT.fullmatch(line)) and int(output[1]) == due - 1:
            last = "output"
            pieces.append((last, "", [output[2]]))
        elif last == "end" and (answer := _ANSWER.fullmatch(line)):
            last = "answer"
            pieces.append((last, "", [answer[1]]))
        elif pieces:
            pieces[-1][2].append(line)
        elif line.strip():
            raise Unreadable("the steps of a program begin with Q1")
    return pieces


def is_ended(text: str) -> bool:
    """Whether a program's text has come to `[EOQ]` and an answer."""
    return _ENDED.search(text) is not None


def continued(begun: str, text: str) -> str:
    """A program's text with what was written next. A reply that writes it again counts from the first step that is not in `begun`."""
    due = len(re.findall(r"^Q\d+: ?\[", begun, re.MULTILINE)) + 1
    anew = re.match(r"\s*(Input:|Q1:)", text) and re.search(rf"^Q{due}:", text, re.MULTILINE)
    if anew:
        text = text[anew.start() :]
    tagged = re.match(r"Q\d+:|#\d+:|Ans:", text)
    return f"{begun}\n{text}" if begun and tagged and not begun.endswith("\n") else begun + text


def filled(task: str, before: Sequence[ProgramStep]) -> str:
    """A task with each `#k` of an earlier step replaced by its output."""

    def output(match: re.Match[str]) -> str:
        number = int(match[1])
        return (before[number - 1].output or "") if 1 <= number <= len(before) else match[0]

    return _REFERENCE.sub(output, task)


def references(task: str, before: Sequence[ProgramStep]) -> list[ProgramStep]:
    """The earlier steps that a task names, in the order of naming."""
    return [before[int(number) - 1] for number in _REFERENCE.findall(task) if 1 <= int(number) <= len(before)]


def quoted(output: str) -> str:
    """A tool's output as it can stand in a program: further lines that would be read as steps are set in by a space."""
    first, *others = output.strip().split("\n")
    return "\n".join([first, *(f" {line}" if _HEAD.fullmatch(line) else line for line in others)])
