import pytest

from tirage.core.errors import SandboxError
from tirage.sandbox import ExecFailure, ExecResult
from tirage.testing.sandbox import TableSandbox


async def test_results_come_from_the_table() -> None:
    async with TableSandbox({"1+1": ExecResult(value="2"), "now": lambda code: ExecResult(stdout=code.upper())}) as sandbox:
        session = await sandbox.open()
        assert (await session.run(" 1+1\n")).value == "2"
        assert (await session.run("now")).stdout == "NOW"
        missing = await session.run("x = 1")
        assert missing.failure is ExecFailure.ERROR
        assert "x = 1" in missing.error_text
        assert sandbox.ran == [" 1+1\n", "now", "x = 1"]


async def test_branches_have_their_own_history_and_files() -> None:
    sandbox = TableSandbox(lambda code: ExecResult(value=code))
    session = await sandbox.open()
    await session.run("a")
    await session.put("f", b"1")
    twin = await session.branch()
    await twin.run("b")
    await twin.put("f", b"2")
    assert (session.history, twin.history) == (("a",), ("a", "b"))
    assert (await session.fetch("f"), await twin.fetch("f")) == (b"1", b"2")
    with pytest.raises(SandboxError, match="'g'"):
        await session.fetch("g")


async def test_a_deadly_cell_leaves_no_history() -> None:
    sandbox = TableSandbox({"die": ExecResult(failure=ExecFailure.SIGNAL)})
    session = await sandbox.open()
    await session.run("die")
    assert session.history == ()


async def test_closed_and_unbranchable() -> None:
    sandbox = TableSandbox({}, can_branch=False)
    session = await sandbox.open()
    with pytest.raises(SandboxError, match="can_branch"):
        await session.branch()
    await session.close()
    with pytest.raises(SandboxError, match="closed"):
        await session.run("1")
    await sandbox.close()
    with pytest.raises(SandboxError, match="closed"):
        await sandbox.open()
