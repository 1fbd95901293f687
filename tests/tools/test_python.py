"""What the policy reads about a cell."""

import pytest

from tirage.core import ObservationStatus, ToolCall
from tirage.core.errors import ToolError
from tirage.sandbox.base import ExecFailure, ExecResult
from tirage.testing.sandbox import TableSandbox
from tirage.tools.python import PythonTool, clip, describe


def test_long_text_keeps_head_and_tail() -> None:
    text, clipped = clip("a" * 500 + "b" * 500, 400)
    assert clipped
    assert len(text) == 403
    assert text == "a" * 200 + "..." + "b" * 200
    assert clip("short", 400) == ("short", False)


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (ExecResult(stdout="42\n"), "42\n"),
        (ExecResult(stdout="42\n", value="7"), "42\n"),
        (ExecResult(value="7", value_type="int"), "7"),
        (ExecResult(), "(no output)"),
        (
            ExecResult(failure=ExecFailure.ERROR, error_name="ZeroDivisionError", error_text="division by zero"),
            "ZeroDivisionError: division by zero",
        ),
        (ExecResult(stdout="1\n", failure=ExecFailure.ERROR, error_name="KeyError", error_text="'a'"), "1\nKeyError: 'a'"),
        (ExecResult(failure=ExecFailure.TIMEOUT_KILLED), "TimeoutError: the code ran for more than 5 s and was stopped"),
        (ExecResult(failure=ExecFailure.MEMORY), "memory"),
    ],
)
def test_output_comes_first_then_the_last_line_of_the_error(result: ExecResult, text: str) -> None:
    assert describe(result, wall_s=5) == text


async def test_calls_that_are_not_code_are_observations_and_a_missing_session_is_a_bug() -> None:
    tool = PythonTool()
    async with TableSandbox({}) as sandbox:
        session = await sandbox.open()
        for arguments in ("", "[]", '{"kode": "1"}', '{"code": 5}'):
            observation = await tool.call(ToolCall(name="python", arguments=arguments), session)
            assert observation.status is ObservationStatus.INVALID
            assert '"code"' in observation.text
    with pytest.raises(ToolError, match="sandbox"):
        await tool.call(ToolCall(name="python", arguments='{"code": "1"}'), None)
