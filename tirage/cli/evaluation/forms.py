"""`tirage eval WORD`: forms of evaluation that have a command of their own beside `tirage eval PROBLEMS`."""

from typing import Any

import typer
from typer.core import TyperCommand

from tirage.cli.evaluation.critic import critic_app
from tirage.cli.evaluation.debate import debate_app

FORMS: dict[str, typer.Typer] = {"critic": critic_app, "debate": debate_app}


class EvalCommand(TyperCommand):
    """`tirage eval`, of which each of `FORMS` is a form of its own."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """The context of the form that the first word names, else of the plain one."""
        form = FORMS.get(args[0]) if args else None
        if form is None:
            return super().make_context(info_name, args, parent, **extra)
        return typer.main.get_command(form).make_context(f"{info_name} {args[0]}", args[1:], parent, **extra)
