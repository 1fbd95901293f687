"""`tirage doctor`, `tirage models`, `tirage problems`: what is here, what is missing, what to do about it."""

import importlib.util
import json
import platform
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tirage.cli.words import model_options
from tirage.core.errors import DataError, TirageError
from tirage.models.embedded import nano_path
from tirage.models.profile import Profile, profile_of
from tirage.models.vllm.process import find_python
from tirage.models.weights import weights_hash
from tirage.problems import load_problems
from tirage.runtime.config import ModelConfig
from tirage.runtime.opening import FORMS, folder_of, open_model, parse_problems, reader
from tirage.runtime.solving import run_sync
from tirage.sandbox.layers import best_rung, probe
from tirage.verification.selfcheck import check_problems

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

problems_app = typer.Typer(help="Look at and check problem sets.", no_args_is_help=True)

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


def models(
    model: Annotated[str | None, typer.Argument(help="Model string to open and probe; none lists the forms.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="A key of model_options, such as model_options.chat_template=FILE; repeatable.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the forms of model strings, or print what is known of one: its profile, and where each fact comes from.

    Of a folder neither weights are loaded nor a server is started; other models are opened and probed.

    Example: tirage models nano
    """
    if model is None:
        if as_json:
            print(json.dumps(FORMS))
            return
        table = Table("form", "what it is", title="model strings")
        for form, meaning in FORMS.items():
            table.add_row(form, meaning)
        Console(highlight=False).print(table)
        return
    options = model_options(settings)
    folder = folder_of(model)
    name, profile, able = run_sync(_open_and_ask(model, options)) if folder is None else _look(model, folder, options)
    rows = profile.rows()
    if as_json:
        told = {fact: {"value": value, "source": source} for fact, value, source in rows}
        print(json.dumps({"name": name, "profile": told, "capabilities": able}, ensure_ascii=False))
        return
    table = Table("fact", "value", "source", title=name)
    for fact, value, source in rows:
        table.add_row(fact, escape(_told(value, source)), source)
    Console(highlight=False).print(table)
    if able is not None:
        able_table = Table("capability", "declared")
        for key, value in able.items():
            able_table.add_row(key, str(value))
        Console(highlight=False).print(able_table)


def _told(value: object, source: str) -> str:
    """A fact in words."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        value = ", ".join(value) or None
    return ("?" if source == "unknown" else "none") if value is None else str(value)


def _look(name: str, folder: Path, options: ModelConfig) -> tuple[str, Profile, None]:
    """Name and profile of a folder. Its back end would tell more, once it is open. Raises `ConfigError` for one that cannot be used."""
    renderer = reader(options)(folder)
    renderer.check()
    return f"{name}@{weights_hash(folder)}", renderer.profile, None


async def _open_and_ask(name: str, options: ModelConfig) -> tuple[str, Profile, dict[str, object] | None]:
    model = await open_model(name, options)
    try:
        return model.name, profile_of(model), asdict(model.capabilities)
    finally:
        await model.close()


@problems_app.command("show")
def show(
    problems: Annotated[str, typer.Argument(help="A problem file, nano:SPLIT or gym:FAMILY[,FAMILY].")],
    limit: Annotated[int, typer.Option(min=1, help="How many to print.")] = 5,
    as_json: AsJson = False,
) -> None:
    """Print problems and their reference answers.

    Example: tirage problems show nano:heldout --limit 3
    """
    chosen = load_problems(parse_problems(problems, limit))
    for problem in chosen:
        if as_json:
            row = {"id": problem.id, "prompt": problem.prompt, "answer": problem.answer, "family": problem.family, "tier": problem.tier}
            print(json.dumps(row, ensure_ascii=False))
        else:
            Console(highlight=False).print(f"[bold]{problem.id}[/bold] {problem.family} {problem.tier}")
            print(f"{problem.prompt}\n-> {problem.answer}\n")


@problems_app.command("check")
def check(
    problems: Annotated[str, typer.Argument(help="A problem file, nano:SPLIT or gym:FAMILY[,FAMILY].")],
    limit: Annotated[int | None, typer.Option(min=1, help="Check only the first problems.")] = None,
    as_json: AsJson = False,
) -> None:
    """Let every reference answer pass its own verifier, and a damaged one fail; exit 3 when some do not.

    Example: tirage problems check nano:heldout --limit 100
    """
    rows = run_sync(check_problems(load_problems(parse_problems(problems, limit))))
    if as_json:
        print(json.dumps([asdict(row) | {"ok": row.ok} for row in rows], ensure_ascii=False))
    else:
        table = Table("family", "verifier", "problems", "no reference", "reference passes", "damage caught")
        for row in rows:
            table.add_row(row.family, row.verifier, *map(str, (row.problems, row.without_reference, row.passed, row.caught)))
        Console(highlight=False).print(table)
        for row in rows:
            for fault in row.faults:
                print(f"{row.family}: {fault}")
    bad = [row.family for row in rows if not row.ok]
    if bad:
        raise DataError(f"the references of {', '.join(bad)} do not agree with their verifier; drop these problems or fix their answers")
