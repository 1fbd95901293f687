"""The text format of nano: special tokens, fences, turns."""

from __future__ import annotations

PAD, END = "<|pad|>", "<|end|>"
ROLES = ("<|system|>", "<|user|>", "<|assistant|>")
SPECIAL = (PAD, END, *ROLES)
THINK, THOUGHT = "<think>", "</think>"
CODE, OUTPUT, CLOSE = "```python\n", "```output\n", "```\n"
KEPT = (THINK, THOUGHT, CODE, OUTPUT, CLOSE)

TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\\n' + message['content'] + '<|end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
)


def prompt(user: str, system: str | None = None) -> str:
    """The conversation up to the assistant's turn, as the chat template renders it."""
    head = f"<|system|>\n{system}{END}\n" if system else ""
    return f"{head}<|user|>\n{user}{END}\n<|assistant|>\n"


def answer(text: str) -> str:
    """The closing sentence."""
    return f"The answer is \\boxed{{{text}}}.{END}"


def boxed(text: str) -> str | None:
    """The last boxed answer in a text; braces may nest."""
    start = text.rfind("\\boxed{")
    if start < 0:
        return None
    depth, begin = 0, start + len("\\boxed{")
    for position in range(begin, len(text)):
        if text[position] == "{":
            depth += 1
        elif text[position] == "}":
            if depth == 0:
                return text[begin:position]
            depth -= 1
    return None
