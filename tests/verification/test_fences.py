"""Fenced blocks as models write them: what CommonMark allows, and what it does not foresee."""

import pytest

from tirage.verification.fences import fenced_blocks


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("``` python\nf()\n```\n", "f()\n"),
        ("```{.python}\nf()\n```", "f()\n"),
        ('```python title="a.py" linenums\nf()\n```', "f()\n"),
        ("````python\ns = '''\n```\n'''\nf(s)\n````\nDone.", "s = '''\n```\n'''\nf(s)\n"),
        ("~~~py\nf()\n~~~\n", "f()\n"),
        ("```Python\r\nf()\r\n```\r\nDone.", "f()\n"),
        ("```python\nprint(1)```\nDone.", "print(1)\n"),
        ("```python\nf()\n```<end_code>\nDone.", "f()\n"),
        (
            "```python\ndef f():\n    '''Use:\n    ```\n    f()\n    ```\n    '''\nf()\n```\n",
            "def f():\n    '''Use:\n    ```\n    f()\n    ```\n    '''\nf()\n",
        ),
        ("1. First:\n\n   ```python\n   if x:\n       f()\n   ```\n   Then.", "if x:\n    f()\n"),
        ("1. First:\n   ```python\nf()\n```\nThen.", "f()\n"),
        ("- ```python\n  f()\n  ```\n", "f()\n"),
        ("> ```python\n> f()\n> ```\n", "f()\n"),
        ("        ```python\n        f()\n        ```\n", "f()\n"),
        ("<think>\n```python\nf()\n```\n", "f()\n"),
        ("Let me see: ```python\nf()\n```\n", "f()\n"),
        ("```ipython\nf()\n```", "f()\n"),
        ("```sage\nf()\n```", "f()\n"),
        ("```tool_code\nf()\n```", "f()\n"),
        ("```\nprint(6 * 7)\n```\n", "print(6 * 7)\n"),
        ("```python\ns = '```'\nprint(s)\n```\n", "s = '```'\nprint(s)\n"),
    ],
)
def test_a_program_is_read_whole(text: str, code: str) -> None:
    (block,) = fenced_blocks(text)
    assert (block.code, block.closed, block.runnable) == (code, True, True)


@pytest.mark.parametrize(
    "text",
    [
        "```\n42\n```",
        "```\nThe answer is 4.\n```",
        "```json\n{}\n```",
        "```output\n3\n```",
        "```\nx = 4\n```",
        "```bash\nls\n```",
        "```\n3 + 4 = 7\n```",
    ],
)
def test_what_is_no_program_is_not_run(text: str) -> None:
    (block,) = fenced_blocks(text)
    assert block.closed
    assert not block.runnable


def test_a_block_that_is_not_closed_is_open() -> None:
    assert [block.closed for block in fenced_blocks("```python\nf()\n")] == [False]
    assert [block.closed for block in fenced_blocks("```python\nf()\n```output\n4\n```\n")] == [False, True]
    assert [block.closed for block in fenced_blocks("```python\ns = '''\n```\n")] == [False]


def test_blocks_come_in_order_with_their_places() -> None:
    text = "One.\n```python\nf()\n```\nTwo.\n```py\ng()\n```\nThree."
    first, second = fenced_blocks(text)
    assert text[first.start : first.end] == "```python\nf()\n```"
    assert text[second.end :] == "\nThree."


def test_backticks_in_a_line_are_no_block() -> None:
    assert fenced_blocks("Call ```f()``` or `g()`; then ``h``.") == []
    assert fenced_blocks("plain words") == []


def test_a_megabyte_stays_linear() -> None:
    assert len(fenced_blocks("```python\n1\n```\n" * 60_000)) == 60_000
