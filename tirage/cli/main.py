"""The command line: one app, its global options, and the one place where errors become exit codes.

Exit codes: 0 done, 1 unexpected, 2 usage, configuration or name, 3 problem or trace files and the disk, 4 model, 5 sandbox,
6 training, 7 a team waits for a decision (`tirage resume`), 130 interrupted (run the same command again to resume).
"""

import sys
from typing import Annotated

import typer
from rich.text import Text

import tirage
from tirage.cli.commands import Commands
from tirage.cli.terminal import SafeConsole

INTERRUPTED = 130

app = typer.Typer(
    name="tirage",
    cls=Commands,
    help="Solve problems with sandboxed code, keep every token, train on what happened, measure again.",
    epilog="Start with: tirage solve 'What is 17 * 23 - 4?'\n\n"
    "Exit codes: 0 done, 1 unexpected, 2 usage or configuration, 3 files and disk, 4 model, 5 sandbox, 6 training, "
    "7 waits for a decision, 130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(tirage.__version__)
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")] = False,
) -> None:
    """Global options."""
    _Debug.on = debug


class _Debug:
    """Whether tracebacks are wanted; set once from the command line."""

    on = False


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; every failure is one line with its remedy, and a documented exit code."""
    console = SafeConsole(stderr=True, soft_wrap=True)
    command = typer.main.get_command(app)
    try:
        code = command.main(args=arguments, prog_name="tirage", standalone_mode=False)
    except typer.TyperException as error:
        # Without a message the help was printed instead.
        if message := " ".join(error.format_message().split()):
            context = getattr(error, "ctx", None)
            remedy = f"; see {context.command_path} --help" if context is not None else ""
            _print_error(console, message.rstrip(".") + remedy)
        code = error.exit_code
    except (typer.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except Exception as error:
        code = _failed(console, error)
    if code == INTERRUPTED:
        console.print("interrupted; nothing finished is lost: run the same command again to resume", style="yellow")
    sys.exit(code if isinstance(code, int) else 0)


def _failed(console: SafeConsole, error: Exception) -> int:
    """Say in one line what failed, and how to go on; the exit code. Raises `error` where tracebacks are wanted."""
    if isinstance(error, BrokenPipeError):
        sys.stderr.close()
        return 0
    if _Debug.on:
        raise error
    # Imported late: help needs none of the vocabulary.
    from pydantic import ValidationError

    from tirage.core.errors import ConfigError, DataError, TirageError

    if isinstance(error, ValidationError):
        line = "; ".join(f"{'.'.join(map(str, entry['loc']))}: {entry['msg']}" for entry in error.errors(include_input=False))
        error = ConfigError(line)
    if isinstance(error, TirageError):
        _print_error(console, str(error))
        return error.exit_code
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        remedy = "correct that and run the same command again"
        _print_error(console, f"{place}{error.strerror or error}; {remedy}")
        return DataError.exit_code
    # The outermost edge: an unexpected failure is still one line, with the way to see more.
    line = " ".join(f"{type(error).__name__}: {error}".split())
    _print_error(console, f"{line} (run with `tirage --debug ...` for the traceback)", kind="unexpected error")
    return 1


def _print_error(console: SafeConsole, text: str, *, kind: str = "error") -> None:
    console.print(Text.assemble((f"{kind}: ", "red"), text))


if __name__ == "__main__":
    main()
