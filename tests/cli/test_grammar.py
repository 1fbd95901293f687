"""One grammar: a flag has the same letter and the same form in every command, and every command that asks a model takes the same limits."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cli.command_line import run
from tirage.cli.commands import COMMANDS, load_command
from tirage.cli.evaluation.forms import FORMS

ASKING = {
    *("solve", "search", "rollout", "eval", "eval critic", "eval debate", "compare"),
    *("topology run", "topology train", "topology compare"),
}
RENAMED = ("--budget-tokens", "--match")


def commands() -> Iterator[tuple[str, Any]]:
    import typer

    def inner(name: str, command: Any) -> Iterator[tuple[str, Any]]:
        below = getattr(command, "commands", None)
        if below is None:
            yield name, command
            return
        for word, item in below.items():
            yield from inner(f"{name} {word}", item)

    for name in COMMANDS:
        yield from inner(name, load_command(name))
    for word, app in FORMS.items():
        yield f"eval {word}", typer.main.get_command(app)


def flags(command: Any) -> dict[str, Any]:
    return {parameter.opts[0]: parameter for parameter in command.params if parameter.opts and parameter.opts[0].startswith("--")}


def test_a_flag_has_one_letter_and_a_letter_one_flag() -> None:
    letters: dict[str, set[str]] = defaultdict(set)
    names: dict[str, set[str]] = defaultdict(set)
    for _, command in commands():
        for name, parameter in flags(command).items():
            short = [word for word in parameter.opts if not word.startswith("--")]
            names[name].add("".join(short))
            for letter in short:
                letters[letter].add(name)
    assert {name: found for name, found in names.items() if len(found) > 1} == {}
    assert {letter: found for letter, found in letters.items() if len(found) > 1} == {}


def test_a_flag_is_repeatable_everywhere_or_nowhere() -> None:
    found: dict[str, set[bool]] = defaultdict(set)
    for name, command in commands():
        for flag, parameter in flags(command).items():
            # `resume --model` names what a paused run may use, of which there may be several; `--approve` there decides.
            if name != "resume":
                found[flag].add(bool(getattr(parameter, "multiple", False)))
    assert {flag: kinds for flag, kinds in found.items() if len(kinds) > 1} == {}


@pytest.mark.parametrize("name", sorted(ASKING))
def test_what_asks_a_model_takes_the_same_flags(name: str) -> None:
    known = flags(dict(commands())[name])
    assert {"--budget", "--set", "--json"} <= set(known)
    assert {"--model", "--models"} & set(known)
    assert not set(RENAMED) & set(known)


def test_every_help_text_is_there_and_ends_as_a_sentence() -> None:
    for name, command in commands():
        assert (command.help or "").strip(), name
        for parameter in command.params:
            text = (getattr(parameter, "help", None) or "").strip()
            assert text.endswith((".", ")", "=3")) or parameter.name == "help", f"{name} {parameter.name}: {text!r}"


@pytest.mark.parametrize(
    ("budget", "said"),
    [("tokens", "write it as key=value"), ("token=5", "did you mean 'tokens'?"), ("usd=much", "usd: Input should be a valid number")],
)
def test_a_limit_that_is_none_is_one_line(capsys: pytest.CaptureFixture[str], budget: str, said: str) -> None:
    code, _, err = run(capsys, "solve", "1 + 1?", "-m", "scripted/nowhere", "--budget", budget)
    assert code == 2
    assert said in err
