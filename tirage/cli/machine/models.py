"""`tirage models`: the forms of model strings, and what is known of one model."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tirage.cli.words import model_options
from tirage.models.profile import Profile, profile_of
from tirage.models.weights import weights_hash
from tirage.runtime.config import ModelConfig
from tirage.runtime.opening import FORMS, folder_of, open_model, reader
from tirage.runtime.solving import run_sync

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


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
            print(json.dumps(FORMS))
            return
        table = Table("form", "what it is", title="model strings")
        for form, meaning in FORMS.items():
            table.add_row(form, meaning)
        Console(highlight=False).print(table)
        return
    options = model_options(settings)
    folder = folder_of(model)
    name, profile, able = run_sync(_open_and_ask(model, options)) if folder is None else _look(model, folder, options)
    rows = profile.rows()
    if as_json:
        told = {fact: {"value": value, "source": source} for fact, value, source in rows}
        print(json.dumps({"name": name, "profile": told, "capabilities": able}, ensure_ascii=False))
        return
    table = Table("fact", "value", "source", title=name)
    for fact, value, source in rows:
        table.add_row(fact, escape(_told(value, source)), source)
    Console(highlight=False).print(table)
    if able is not None:
        able_table = Table("capability", "declared")
        for key, value in able.items():
            able_table.add_row(key, str(value))
        Console(highlight=False).print(able_table)


def _told(value: object, source: str) -> str:
    """A fact in words."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        value = ", ".join(value) or None
    return ("?" if source == "unknown" else "none") if value is None else str(value)


def _look(name: str, folder: Path, options: ModelConfig) -> tuple[str, Profile, None]:
    """Name and profile of a folder. Its back end would tell more, once it is open. Raises `ConfigError` for one that cannot be used."""
    renderer = reader(options)(folder)
    renderer.check()
    return f"{name}@{weights_hash(folder)}", renderer.profile, None


async def _open_and_ask(name: str, options: ModelConfig) -> tuple[str, Profile, dict[str, object] | None]:
    model = await open_model(name, options)
    try:
        return model.name, profile_of(model), asdict(model.capabilities)
    finally:
        await model.close()
