"""The command reference, read from the command line itself."""

from typing import Any

from scripts.pages.tables import table
from tirage.cli.commands import COMMANDS, load_command

HEAD = """\
# Commands

Every command, with its arguments and options, as `--help` shows them. A failure is one line with its remedy, and an exit code: 0 done,
1 unexpected, 2 usage or configuration, 3 files and disk, 4 model, 5 sandbox, 6 training, 7 waits for a decision, 130 interrupted.
"""


def command_reference() -> dict[str, str]:
    """One page."""
    parts = [HEAD]
    for name in COMMANDS:
        command = load_command(name)
        parts += section(command, f"tirage {name}", 2)
    return {"reference/commands.md": "\n".join(parts)}


def section(command: Any, title: str, level: int) -> list[str]:
    """A command, and the commands below it."""
    parts = [f"{'#' * level} {title}\n", paragraphs(command.help or "")]
    inner = getattr(command, "commands", None)
    if inner is not None:
        for name, item in inner.items():
            parts += section(item, f"{title} {name}", level + 1)
        return parts
    rows = [row(parameter) for parameter in command.params if not getattr(parameter, "hidden", False) and parameter.name != "help"]
    return [*parts, table(("argument or option", "default", ""), rows)] if rows else parts


def paragraphs(help_text: str) -> str:
    """The help's paragraphs; examples as code."""
    lines = []
    for paragraph in help_text.strip().split("\n\n"):
        text = " ".join(paragraph.split())
        lines.append(f"    {text.removeprefix('Example: ')}\n" if text.startswith("Example: ") else f"{text}\n")
    return "\n".join(lines)


def row(parameter: Any) -> tuple[str, str, str]:
    """Names, default and help of a parameter."""
    if parameter.param_type_name == "argument":
        names = f"`{parameter.name.upper()}`"
    else:
        names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    default = parameter.default
    shown = getattr(parameter, "show_default", None)
    if isinstance(shown, str):
        default = shown
    text = "-" if callable(default) or default in (None, False, ()) or shown is False else f"`{getattr(default, 'value', default)}`"
    return names, text, getattr(parameter, "help", None) or ""
