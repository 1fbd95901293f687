r"""Fenced blocks in what a model wrote.

Where a block opens is read by the rules of CommonMark (markdown-it-py); where it closes, as models close it. A Python block does not
close inside a string that is still open (a docstring with a fence in it); it closes at a fence behind its last statement
(``print(1)``` ``) or before a marker such as `<end_code>`; it opens behind other words as well; and a fence with a language inside a
block opens another block.
"""

import ast
import io
import re
import tokenize
from dataclasses import dataclass

from markdown_it import MarkdownIt
from markdown_it.token import Token

PYTHON = frozenset({"python", "py", "python2", "python3", "ipython", "ipython3", "sage", "sagemath", "tool_code", "code_interpreter"})
"""Languages whose blocks are programs to be run."""
_FENCES = ("```", "~~~")
_LINE_END = re.compile(r"\r\n?|\n")
_LANGUAGE = re.compile(r"[A-Za-z_][\w+#-]*")
_CLOSING = re.compile(r"(?P<code>.*?)(?P<fence>`{3,}|~{3,})[ \t]*(?:</?[^<>\s]+>)?[ \t]*", re.DOTALL)
_OPENING = re.compile(r"[ \t]*(?P<fence>`{3,}|~{3,})[ \t]*[\w{.]")
_BEHIND_WORDS = re.compile(r"\S[ \t]*(```(?:python|py)[ \t]*)$")
_MARGIN = re.compile(r"[ \t]*(?:> ?[ \t]*)*")
_WORK = (ast.Call, ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)


def _reader() -> MarkdownIt:
    """Blocks only, and of these only what can hold a fence: indented code or HTML would hide fences that models mean."""
    return MarkdownIt("zero").enable(["fence", "list", "blockquote"]).disable(["inline", "text_join"])


_MARKDOWN = _reader()


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block."""

    language: str
    """First word of the info string in lower case, without braces and dots; empty for none."""
    code: str
    """Its lines, without the indentation of the opening fence; each ends in a newline."""
    closed: bool
    start: int
    """Offset of the line that opens it, or of its fence where other words stand before."""
    end: int
    """Offset just behind the closing fence and what belongs to it, before the line's end."""

    @property
    def runnable(self) -> bool:
        """Whether it is a program: by its language, or, without one, because it is Python that calls, imports or defines something."""
        if self.language:
            return self.language in PYTHON
        return _is_program(self.code)


def fenced_blocks(text: str) -> list[Block]:
    """All fenced blocks of `text`, in order; the last one may be open."""
    if not any(fence in text for fence in _FENCES):
        return []
    lines, number = _lines(text), 0
    blocks: list[Block] = []
    while number < len(lines):
        line = text[slice(*lines[number])]
        opening = _opening(line) if any(fence in line for fence in _FENCES) else None
        if opening is None:
            number += 1
        else:
            block, number = _block(text, lines, number, opening.markup, opening.info)
            blocks.append(block)
    return blocks


def _lines(text: str) -> list[tuple[int, int]]:
    """Where each line begins and where its text ends."""
    lines, place = [], 0
    for match in _LINE_END.finditer(text):
        lines.append((place, match.start()))
        place = match.end()
    return [*lines, (place, len(text))] if place < len(text) else lines


def _opening(line: str) -> Token | None:
    """The fence that a line opens, in a list, a quotation or behind other words too."""
    tokens = _MARKDOWN.parse(line)
    if not any(token.type == "fence" for token in tokens) and (behind := _BEHIND_WORDS.search(line)) is not None:
        tokens = _MARKDOWN.parse(behind[1])
    return next((token for token in tokens if token.type == "fence"), None)


def _block(text: str, lines: list[tuple[int, int]], opening: int, fence: str, info: str) -> tuple[Block, int]:
    """The block that opens in line `opening`, and the number of the line behind it."""
    word = _LANGUAGE.search(info)
    language = word.group().lower() if word else ""
    start, end = lines[opening]
    column = text.index(fence, start, end) - start
    indent = column if text[start : start + column].strip(" \t>-*+0123456789.)") == "" else 0
    start += column - indent
    code = ""
    for number in range(opening + 1, len(lines)):
        begin, stop = lines[number]
        line = _dedented(text[begin:stop], indent)
        closing, another = _CLOSING.fullmatch(line), _OPENING.match(line)
        if closing is not None and _closes(closing, fence, code, language):
            if closing["code"].strip():
                code += closing["code"].rstrip() + "\n"
            return Block(language, code, True, start, stop), number + 1
        if another is not None and another["fence"].startswith(fence) and not _in_string(code, language):
            return Block(language, code, False, start, begin), number
        code += line + "\n"
    return Block(language, code, False, start, len(text)), len(lines)


def _dedented(line: str, indent: int) -> str:
    """A line of a block without the margin of its opening fence."""
    margin = _MARGIN.match(line, 0, indent)
    return line[margin.end() :] if margin is not None else line


def _closes(line: re.Match[str], fence: str, code: str, language: str) -> bool:
    """Whether a line that ends in a fence is the block's end."""
    if not line["fence"].startswith(fence):
        return False
    before = line["code"].strip()
    if before and language not in PYTHON:
        return False
    return not _in_string(code + (line["code"] if before else ""), language)


def _in_string(code: str, language: str) -> bool:
    """Whether Python code ends inside a string of several lines."""
    if (language and language not in PYTHON) or not ("'''" in code or '"""' in code):
        return False
    try:
        for _ in tokenize.generate_tokens(io.StringIO(code).readline):
            pass
    except tokenize.TokenError as error:
        return "string" in str(error)
    except SyntaxError:
        return False
    return False


def _is_program(code: str) -> bool:
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return any(isinstance(node, _WORK) for node in ast.walk(tree))
