"""The table of commands: it says what each command says of itself, and listing commands imports none of them."""

import subprocess
import sys

import pytest

from tirage.cli.commands import COMMANDS, load_command


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_has_the_first_sentence_of_each_help(name: str) -> None:
    command = load_command(name)
    assert command.name == name
    assert command.get_short_help_str(limit=500) == COMMANDS[name].help


def test_listing_the_commands_imports_none_of_them() -> None:
    code = (
        "import sys\nfrom tirage.cli.main import main\ntry:\n    main(['--help'])\nexcept SystemExit as ended:\n    assert not ended.code\n"
        "print(sorted(name for name in sys.modules if name.startswith('tirage.')), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "solve" in done.stdout
    loaded = {name for name in COMMANDS if f"tirage.cli.{COMMANDS[name].module}'" in done.stderr}
    assert not loaded
    assert not any(room in done.stderr for room in ("tirage.models", "tirage.runtime", "tirage.sandbox", "tirage.systems"))
