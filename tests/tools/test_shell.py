"""Shell commands in a real sandbox session, beside its Python."""

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tirage.core import ObservationStatus, ToolCall
from tirage.core.errors import ToolError
from tirage.sandbox import Limits, SandboxConfig, Session, open_sandbox
from tirage.tools.python import PythonTool
from tirage.tools.shell import ShellTool

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def session() -> AsyncIterator[Session]:
    async with open_sandbox(SandboxConfig(preload=())) as sandbox:
        yield await sandbox.open()


def asked(command: object) -> ToolCall:
    return ToolCall(name="shell", arguments=json.dumps({"command": command}), id="c")


@pytest.mark.parametrize(
    ("command", "text", "status"),
    [
        ("echo one; echo two >&2", "one\ntwo\n", ObservationStatus.OK),
        ("true", "(no output)", ObservationStatus.OK),
        ("seq 3 | tail -n 1", "3\n", ObservationStatus.OK),
        ('echo it\\\'s "{quoted}" && exit 3', "it's {quoted}\n[exit code 3]", ObservationStatus.ERROR),
        ("false", "[exit code 1]", ObservationStatus.ERROR),
        ("cat", "(no output)", ObservationStatus.OK),
        ("kill -9 $$", "[exit code -9]", ObservationStatus.ERROR),
    ],
)
async def test_what_a_command_prints(session: Session, command: str, text: str, status: ObservationStatus) -> None:
    found = await ShellTool().call(asked(command), session)
    assert (found.text, found.status, found.call_id) == (text, status, "c")


async def test_files_are_shared_with_python_and_no_name_is_left(session: Session) -> None:
    await ShellTool().call(asked("printf 42 > answer.txt"), session)
    code = ToolCall(
        name="python",
        arguments=json.dumps({"code": "print(open('answer.txt').read(), [n for n in dir() if 'done' in n or n == 'subprocess'])"}),
    )
    assert (await PythonTool().call(code, session)).text == "42 []\n"


async def test_a_slow_command_is_stopped_and_a_branch_goes_its_own_way(session: Session) -> None:
    slow = await ShellTool(limits=Limits(wall_s=0.5)).call(asked("sleep 60"), session)
    assert slow.status is ObservationStatus.TIMEOUT
    assert "the command ran for more than 0.5 s" in slow.text
    branch = await session.branch()
    await ShellTool().call(asked("echo mine > mine.txt"), branch)
    assert "[exit code" in (await ShellTool().call(asked("ls mine.txt"), session)).text
    await branch.close()


async def test_calls_that_are_no_command(session: Session) -> None:
    for arguments in ("{", "{}", '{"command": 3}', '{"command": "a\\u0000b"}'):
        found = await ShellTool().call(ToolCall(name="shell", arguments=arguments), session)
        assert found.status is ObservationStatus.INVALID
    with pytest.raises(ToolError, match="needs a sandbox session"):
        await ShellTool().call(asked("true"), None)
