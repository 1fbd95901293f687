"""`tirage doctor`: what this machine has, what is missing, and how to install it."""

import importlib.util
import json
import platform
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from tirage.core.errors import TirageError
from tirage.models.embedded import nano_path
from tirage.models.vllm.process import find_python
from tirage.sandbox.layers import best_rung, probe

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

EXTRAS = {
    "local": ("torch", "transformers"),
    "train": ("trl", "peft", "datasets", "accelerate"),
    "scipy": ("scipy",),
    "jupyter": ("ipykernel",),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's table."""

    what: str
    here: bool
    detail: str
    remedy: str = ""


def doctor(as_json: AsJson = False) -> None:
    """Say what this machine has and what to install for the rest.

    Example: tirage doctor
    """
    docker = _docker()
    findings = [*_machine(), *_isolation(docker), *_engines(docker), *_extras()]
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], ensure_ascii=False))
        return
    table = Table("part", "here", "detail", "remedy", title="tirage doctor")
    for finding in findings:
        table.add_row(finding.what, "[green]yes[/green]" if finding.here else "[yellow]no[/yellow]", finding.detail, finding.remedy)
    Console(highlight=False).print(table)


def _machine() -> list[Finding]:
    weights = nano_path()
    return [
        Finding("python", sys.version_info >= (3, 11), f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        Finding("nano", (weights / "model.safetensors").is_file(), "the embedded model"),
    ]


RUNGS = {
    1: ("namespaces + Landlock + seccomp + limits", {"namespaces", "landlock", "seccomp", "rlimits", "user"}),
    2: ("Landlock + seccomp + limits", {"landlock", "seccomp", "rlimits", "user"}),
}


def _isolation(docker: str | None) -> list[Finding]:
    """Each layer, then the ladder: what the sandbox can stand on here, and on which rung it does."""
    layers = probe()
    findings = [Finding(f"isolation: {layer.name}", layer.available, layer.tried, layer.remedy) for layer in layers]
    missing = {layer.name for layer in layers if not layer.available}
    best = best_rung(layers)
    for rung, (what, needs) in RUNGS.items():
        lacking = sorted(needs & missing)
        here = f"{what}{'; used by default' if rung == best else ''}"
        remedy = "as above" if sys.platform == "linux" else "use rung 3: --set sandbox.backend=docker"
        findings.append(
            Finding(f"rung {rung}", not lacking, here if not lacking else f"missing: {', '.join(lacking)}", remedy if lacking else "")
        )
    way = "--set sandbox.backend=docker --set sandbox.image=NAME"
    remedy = "start Docker (Debian: scripts/docker_engine.sh)"
    findings.append(
        Finding("rung 3", docker is not None, f"Docker {docker}; {way}" if docker else "no engine answers", "" if docker else remedy)
    )
    findings.append(Finding("rung 4", False, "no isolation", "never chosen by itself: only with --set sandbox.unsafe=true"))
    return findings


def _docker() -> str | None:
    """The version of the Docker engine that answers."""
    return _first_line(["docker", "info", "--format", "{{.ServerVersion}}"])


def _engines(docker: str | None) -> list[Finding]:
    gpu = _first_line(["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"])
    python = _vllm_python()
    return [
        Finding("gpu", gpu is not None, gpu or "no NVIDIA device answers", "" if gpu else "not needed for nano; CPU works"),
        Finding("vllm", python is not None, str(python or "no environment with vLLM"), "" if python else "run: make vllm"),
        Finding("docker", docker is not None, docker or "no engine answers", "" if docker else "start dockerd (Debian package docker.io)"),
    ]


def _vllm_python() -> str | None:
    try:
        return str(find_python(None))
    except TirageError:
        return None


def _extras() -> list[Finding]:
    findings = []
    for extra, packages in EXTRAS.items():
        missing = [package for package in packages if importlib.util.find_spec(package) is None]
        remedy = f"pip install 'tirage[{extra}]'" if missing else ""
        findings.append(
            Finding(f"extra: {extra}", not missing, "missing: " + ", ".join(missing) if missing else ", ".join(packages), remedy)
        )
    return findings


def _first_line(command: list[str]) -> str | None:
    """First line of a command's output; None when it is absent, fails or hangs."""
    if shutil.which(command[0]) is None:
        return None
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (subprocess.SubprocessError, OSError):
        return None
    lines = done.stdout.strip().splitlines()
    return lines[0] if lines else None
