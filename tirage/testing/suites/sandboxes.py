"""The conformance suite of a sandbox: the promises of the port, then hostile cells with two witnesses.

For back ends of one's own:

    async with MySandbox() as sandbox:
        require(await check_sandbox(sandbox))

Needs a Python interpreter in the sessions; the hostile cells use x86-64 call numbers and are skipped elsewhere.
"""

import asyncio
import platform
import sys
import time
from collections.abc import Awaitable, Callable

from tirage.core.errors import SandboxError
from tirage.sandbox.base import ExecResult, Limits, Sandbox, Session, StateKind
from tirage.testing.bait import bait
from tirage.testing.hostile import GROUPS, Attack
from tirage.testing.suites.findings import Broken, Finding, Status
from tirage.testing.suites.sandbox_promises import PROMISES

OUTPUT_BYTES = 50_000
PATIENCE_S = 60.0
SHOW = "state, open('file').read()"


async def check_sandbox(
    sandbox: Sandbox, on_finding: Callable[[Finding], None] = lambda _: None, *, groups: tuple[str, ...] = ()
) -> list[Finding]:
    """Check an opened sandbox, or only some `groups` (`promises` and those of `hostile.GROUPS`); each finding is told as it comes."""
    findings: list[Finding] = []

    def note(finding: Finding) -> None:
        findings.append(finding)
        on_finding(finding)

    if not groups or "promises" in groups:
        for name, promise in PROMISES.items():
            note(await check_promise(sandbox, name, promise))
    chosen = {name: attacks for name, attacks in GROUPS.items() if not groups or name in groups}
    if chosen:
        await _attack_all(sandbox, chosen, note)
    return findings


async def check_promise(sandbox: Sandbox, name: str, promise: Callable[[Sandbox, Session], Awaitable[None]]) -> Finding:
    """Try one promise on a fresh session."""
    started = time.monotonic()
    session = await sandbox.open()
    status: Status = "kept"
    detail = ""
    try:
        await asyncio.wait_for(promise(sandbox, session), 4 * PATIENCE_S)
    except Broken as error:
        status, detail = "failed", str(error)
    except Exception as error:  # whatever a back end raises is its finding
        status, detail = "failed", f"{type(error).__name__}: {error}"
    finally:
        await session.close()
    return Finding(group="promises", name=name, status=status, detail=detail, seconds=time.monotonic() - started)


async def _attack_all(sandbox: Sandbox, groups: dict[str, tuple[tuple[Attack, ...], str]], note: Callable[[Finding], None]) -> None:
    if sys.platform != "linux" or platform.machine() != "x86_64":
        for group, (attacks, _) in groups.items():
            for attack in attacks:
                note(Finding(group=group, name=attack.name, status="skipped", detail="needs Linux on x86-64", seconds=0.0))
        return
    with bait() as places:
        family = await Family.open(sandbox)
        try:
            for group, (attacks, stopped_by) in groups.items():
                for attack in attacks:
                    note(await family.suffer(attack, places, group, stopped_by))
        finally:
            await family.close()


class Family:
    """A session with state and a sibling of all that attacks come from; both must stay as they are."""

    def __init__(self, sandbox: Sandbox, origin: Session, witness: Session) -> None:
        """Use `open`."""
        self.sandbox = sandbox
        self.origin = origin
        self.witness = witness

    @classmethod
    async def open(cls, sandbox: Sandbox) -> "Family":
        """Origin and witness, with a variable and a file each."""
        origin = await sandbox.open()
        await origin.run("state = ['intact']\nwith open('file', 'w') as f: _ = f.write('intact')")
        witness = await origin.branch()
        await witness.run("state.append('witness')")
        return cls(sandbox, origin, witness)

    async def close(self) -> None:
        """Close both."""
        await self.origin.close()
        await self.witness.close()

    async def suffer(self, attack: Attack, places: dict[str, str], group: str, stopped_by: str) -> Finding:
        """Run one attack in a branch of the origin and judge what came of it."""
        started = time.monotonic()
        status: Status = "contained"
        detail = stopped_by
        try:
            result = await self._run(attack, places)
            if result.error_name == "BlockingIOError":
                # The dead of the attack before still filled the process table.
                await asyncio.sleep(1.0)
                result = await self._run(attack, places)
            fault = self._fault(attack, result) or await self._harm()
        except (TimeoutError, SandboxError) as error:
            fault = f"{type(error).__name__}: {error}"
        if fault and not self._promised(attack):
            status, detail = "not contained", attack.reason
        elif fault:
            status, detail = "failed", fault
        return Finding(group=group, name=attack.name, status=status, detail=detail, seconds=time.monotonic() - started)

    def _promised(self, attack: Attack) -> bool:
        """Whether this back end promises to contain `attack`. A container bounds what rung 1 bounds."""
        able = self.sandbox.capabilities
        if able.backend in attack.open_in:
            return False
        return able.rung in attack.rungs or able.rung == 3

    async def _run(self, attack: Attack, places: dict[str, str]) -> ExecResult:
        victim = await branch_soon(self.origin)
        code = attack.code
        for key, value in places.items():
            code = code.replace(f"@{key}@", value)
        try:
            return await asyncio.wait_for(victim.run(code, Limits(wall_s=attack.wall_s, output_bytes=OUTPUT_BYTES)), PATIENCE_S)
        finally:
            await victim.close()

    def _fault(self, attack: Attack, result: ExecResult) -> str:
        """What is wrong with the outcome; empty when nothing is."""
        shown = result.stdout + result.stderr + (result.value or "")
        if "ESCAPED" in shown:
            return f"it got what it was after: {shown.strip()[:200]}"
        if len(shown) > 4 * OUTPUT_BYTES:
            return f"it showed {len(shown)} characters past a limit of {OUTPUT_BYTES} bytes"
        # Where sessions are not forked, a cell speaks to another guest, and its ends are that guest's.
        if self.sandbox.capabilities.exact and result.failure not in attack.ends:
            ended = result.failure.value if result.failure else "normally"
            return f"it ended {ended} ({result.error_name}: {result.error_text[:200]})"
        return ""

    async def _harm(self) -> str:
        """How an attack changed origin or witness; empty when it did not."""
        for session, expected in ((self.origin, "(['intact'], 'intact')"), (self.witness, "(['intact', 'witness'], 'intact')")):
            probe = await branch_soon(session)
            shown = await probe.run(SHOW)
            await probe.close()
            if shown.value != expected or shown.state is StateKind.DIVERGED:
                return f"a session beside it shows {shown.value} instead of {expected} ({shown.error_text[:200]})"
        return ""


async def branch_soon(session: Session) -> Session:
    """A branch; after an attack on the process table the sweep may need a moment."""
    for attempt in range(50):
        try:
            return await session.branch()
        except SandboxError:
            if attempt == 49:
                raise
            await asyncio.sleep(0.1)
    raise AssertionError("unreachable")
