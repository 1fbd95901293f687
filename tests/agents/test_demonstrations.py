"""Demonstrations: shown before the problem, read from files that are checked, part of the prompt and of nothing else."""

from pathlib import Path

import pytest

from tirage.agents.demonstrations import SHIPPED, Demonstration, Demonstrations, load_demonstrations
from tirage.core.errors import ConfigError, DataError

ITEM = Demonstration(problem="What is 2 + 2?", response="```python\nprint(2 + 2)\n```\n```output\n4\n```\nThe answer is \\boxed{4}.")


def test_in_the_system_message_behind_its_own_text() -> None:
    (message,) = Demonstrations(items=(ITEM,)).messages("Solve it.", "What is 3 + 3?")
    assert message.role == "system"
    assert message.content.startswith("Solve it.\n\n")
    assert message.content.endswith(f"Problem: {ITEM.problem}\n\n{ITEM.response}")


def test_as_turns_of_the_conversation() -> None:
    shown = Demonstrations(items=(ITEM,), place="turns").messages("Solve it.", "What is 3 + 3?")
    assert [message.role for message in shown] == ["system", "user", "assistant"]
    shown = Demonstrations(items=(ITEM,), place="turns").messages(None, "What is 3 + 3?")
    assert [message.role for message in shown] == ["user", "assistant"]


def test_the_nearest_stand_last_and_the_others_are_left_out() -> None:
    words = ("Spell this word backward: garden", "What is 5 + 6?", "Find the greatest common divisor of 84 and 126.")
    items = tuple(Demonstration(problem=text, response="\\boxed{1}") for text in words)
    shown = Demonstrations(items=items, place="turns", nearest=2)
    asked = [message.content for message in shown.messages(None, "Find the greatest common divisor of 9 and 6.") if message.role == "user"]
    assert len(asked) == 2
    assert asked[-1] == words[2]
    assert shown.messages(None, "Spell this word backward: rose")[-2].content == words[0]


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_sets_are_whole(name: str) -> None:
    for item in load_demonstrations(name).items:
        assert "```python" in item.response
        assert "```output" in item.response
        assert "\\boxed{" in item.response


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- [unclosed", "not YAML"),
        ("[]", "expected `demonstrations:`"),
        ("demonstrations: []", "expected `demonstrations:`"),
        ("demonstrations: [{problem: a}]", "entry 1: expected the keys problem and response"),
        ("demonstrations: [{problem: a, response: 4}]", "entry 1: expected the keys"),
        ("demonstrations: [{problem: ' ', response: b}]", "entry 1: problem or response is empty"),
        ('demonstrations: [{problem: a, response: b}, {problem: c, response: "```python\\nf()\\n"}]', "entry 2: a code block"),
    ],
)
def test_what_is_no_set_is_one_line_with_the_place(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(text)
    with pytest.raises(DataError, match=says) as caught:
        load_demonstrations(file)
    assert "\n" not in str(caught.value)


def test_a_missing_file_names_the_shipped_sets(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="tool-integrated-reasoning"):
        load_demonstrations(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes("demonstrations: é".encode("latin-1"))
    with pytest.raises(DataError, match="UTF-8"):
        load_demonstrations(tmp_path / "latin.yaml")
