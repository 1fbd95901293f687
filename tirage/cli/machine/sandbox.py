"""`tirage sandbox`: what the sandbox promises on this machine, checked by doing."""

from collections import Counter
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from tirage.cli.flags import AsJson
from tirage.cli.terminal import SafeConsole, print_json
from tirage.core.errors import ConfigError, SandboxError
from tirage.runtime.config import SANDBOXES
from tirage.runtime.event_loop import run_sync
from tirage.sandbox import AnyConfig, DockerConfig, JupyterConfig, SandboxCapabilities, SandboxConfig, open_sandbox
from tirage.sandbox.base import Sandbox
from tirage.sandbox.opening import OWN, open_own_sandbox
from tirage.testing.hostile import GROUPS
from tirage.testing.suites.findings import Finding
from tirage.testing.suites.sandboxes import check_sandbox

sandbox_app = typer.Typer(help="Check the sandbox of this machine.", no_args_is_help=True)

COLOURS = {"kept": "green", "contained": "green", "not contained": "yellow", "failed": "red", "skipped": "dim"}


@sandbox_app.command("check", epilog="Example: tirage sandbox check --rung 2")
def check(
    backend: Annotated[str, typer.Option("--backend", help="fork, docker, jupyter, or module:attribute of your own.")] = "fork",
    rung: Annotated[int | None, typer.Option("--rung", min=1, max=2, help="fork: exactly this rung of the ladder.")] = None,
    image: Annotated[str, typer.Option("--image", help="docker: an image with Python >= 3.11.")] = "tirage-sandbox",
    kernel: Annotated[str, typer.Option("--kernel", help="jupyter: an installed kernel.")] = "python3",
    group: Annotated[list[str] | None, typer.Option("--group", help="Only this group; repeatable.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run what a session promises and some hundred hostile cells; exit 5 when a promise or a promised layer does not hold."""
    unknown = set(group or ()) - {"promises", *GROUPS}
    if unknown:
        raise ConfigError(f"--group {sorted(unknown)[0]!r} is not known; known: promises, {', '.join(GROUPS)}")
    own = OWN.has(backend)
    if not own and backend not in SANDBOXES:
        raise OWN.unknown(backend, [*SANDBOXES, *OWN.offers])
    sandbox = open_own_sandbox(backend, {"memory_mb": 512}, {}) if own else open_sandbox(_config(backend, rung, image, kernel))
    console = SafeConsole(stderr=True)
    able, findings = run_sync(_check(sandbox, console, tuple(group or ())))
    failed = [finding for finding in findings if not finding.kept]
    if as_json:
        print_json({"capabilities": asdict(able), "findings": [asdict(finding) for finding in findings]})
    else:
        _show(able, findings)
    if failed:
        raise SandboxError(f"{len(failed)} of {len(findings)} checks failed, the first: {failed[0].name}: {failed[0].detail}")


def _config(backend: str, rung: int | None, image: str, kernel: str) -> AnyConfig:
    """A small sandbox of a back end."""
    if backend == "docker":
        return DockerConfig(image=image, memory_mb=512, scratch_mb=64)
    if backend == "jupyter":
        return JupyterConfig(kernel=kernel)
    return SandboxConfig(first_rung=rung or 1, min_rung=rung or 2, preload=(), memory_mb=512, total_mb=1024, scratch_mb=32)


async def _check(opened: Sandbox, console: Console, groups: tuple[str, ...]) -> tuple[SandboxCapabilities, list[Finding]]:
    counts: Counter[str] = Counter()
    with console.status("opening the sandbox") as status:

        def told(finding: Finding) -> None:
            counts[finding.status] += 1
            done = ", ".join(f"{count} {name}" for name, count in counts.items())
            status.update(f"{done}; {finding.group}: {finding.name}")

        async with opened as sandbox:
            findings = await check_sandbox(sandbox, told, groups=groups)
            return sandbox.capabilities, findings


def _show(able: SandboxCapabilities, findings: list[Finding]) -> None:
    console = SafeConsole()
    table = Table("group", "check", "", "by which layer, or why not", title=f"{able.backend}, rung {able.rung}")
    told: tuple[str, str] | None = None
    for finding in findings:
        colour = COLOURS[finding.status]
        # What stops a whole group is said once.
        detail = "" if (finding.group, finding.detail) == told else finding.detail.replace("[", r"\[")
        told = (finding.group, finding.detail) if finding.status == "contained" else told
        table.add_row(finding.group, finding.name, f"[{colour}]{finding.status}[/{colour}]", detail)
    console.print(table)
    console.print(f"layers in force: {', '.join(able.layers)}")
    for text in able.notes:
        console.print(f"note: {text}")
    counts = Counter(finding.status for finding in findings)
    console.print(", ".join(f"{count} {name}" for name, count in counts.items()))
