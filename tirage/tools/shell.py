"""Run a shell command in the node's sandbox session: same files, same working directory, same isolation as its Python."""

from pathlib import Path

from tirage.core.errors import ToolError
from tirage.core.message import Observation, ObservationStatus, ToolCall
from tirage.sandbox.base import Limits, Session
from tirage.tools.base import Tool, ToolSpec, needs_text, text_argument
from tirage.tools.python import TIMEOUTS, clip, describe

_RUN = (
    "(lambda done: (print(done.stdout, end=''), done.returncode)[1])(__import__('subprocess').run(['/bin/sh', '-c', {command!r}], "
    "stdin=-3, stdout=-1, stderr=-2, text=True, errors='replace'))"
)
"""One cell whose value is the exit code; -1, -2 and -3 are subprocess.PIPE, STDOUT and DEVNULL. It leaves no name behind."""


class ShellTool(Tool):
    """The `shell` tool. Each call is a shell of its own; files stay, variables of the shell do not."""

    parallel = False
    needs_session = True
    card = Path(__file__).with_suffix(".yaml")

    def __init__(self, *, limits: Limits | None = None, clip_chars: int = 2000) -> None:
        """`limits` of one call (10 s by default); `clip_chars`: longest observation, head and tail kept."""
        self.limits = limits or Limits()
        self.clip_chars = clip_chars
        self.spec = ToolSpec(
            name="shell",
            description="Run a command with /bin/sh and read what it prints, errors included.",
            parameters={
                "type": "object",
                "properties": {"command": {"type": "string", "description": "One command line; pipes and && work."}},
                "required": ["command"],
                "additionalProperties": False,
            },
        )

    async def call(self, call: ToolCall, session: Session | None) -> Observation:
        """Run the command of `call`. Raises `ToolError` without a session."""
        if session is None:
            raise ToolError("the shell tool needs a sandbox session; give the agent a sandbox")
        command = text_argument(call, "command")
        if command is None or "\0" in command:
            return needs_text(call, "command")
        result = await session.run(_RUN.format(command=command), self.limits)
        if result.failure is not None:
            text = describe(result, wall_s=self.limits.wall_s).replace("the code ran", "the command ran")
            status = ObservationStatus.TIMEOUT if result.failure in TIMEOUTS else ObservationStatus.ERROR
        else:
            code = result.value or "0"
            status = ObservationStatus.OK if code == "0" else ObservationStatus.ERROR
            text = result.stdout if code == "0" else f"{result.stdout.rstrip()}\n[exit code {code}]".lstrip()
        shown, clipped = clip(text if text.strip() else "(no output)", self.clip_chars)
        return Observation(text=shown, status=status, call_id=call.id, duration_s=result.duration_s, truncated=clipped or result.truncated)
