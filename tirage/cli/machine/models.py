"""`tirage models`: the forms of model strings, and what is known of one model."""

from typing import Annotated

import typer
from rich.table import Table

from tirage.cli.flags import AsJson
from tirage.cli.terminal import SafeConsole, print_json
from tirage.cli.words import model_options
from tirage.runtime.event_loop import run_sync
from tirage.runtime.opening.models import FORMS, describe_model


def models(
    model: Annotated[str | None, typer.Argument(help="Model string to open and probe; none lists the forms.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="A key of model_options, such as model_options.chat_template=FILE; repeatable.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the forms of model strings, or print what is known of one: its profile, and where each fact comes from.

    Of a folder neither weights are loaded nor a server is started; other models are opened and probed.

    Example: tirage models nano
    """
    if model is None:
        if as_json:
            print_json(FORMS)
            return
        table = Table("form", "what it is", title="model strings")
        for form, meaning in FORMS.items():
            table.add_row(form, meaning)
        SafeConsole().print(table)
        return
    options = model_options(settings)
    known = run_sync(describe_model(model, options))
    name, able, rows = known.name, known.capabilities, known.profile.rows()
    if as_json:
        told = {fact: {"value": value, "source": source} for fact, value, source in rows}
        print_json({"name": name, "profile": told, "capabilities": able})
        return
    table = Table("fact", "value", "source", title=name)
    for fact, value, source in rows:
        table.add_row(fact, _told(value, source), source)
    SafeConsole().print(table)
    if able is not None:
        able_table = Table("capability", "declared")
        for key, value in able.items():
            able_table.add_row(key, str(value))
        SafeConsole().print(able_table)


def _told(value: object, source: str) -> str:
    """A fact in words."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        value = ", ".join(value) or None
    return ("?" if source == "unknown" else "none") if value is None else str(value)
