"""`tirage sandbox check`, and what `tirage doctor` says where the forking box cannot run."""

import json
import subprocess
import sys

import pytest

from tirage.cli.main import main

ELSEWHERE = """
import asyncio, platform, subprocess, sys, sysconfig, tempfile
import aiohttp, docker, numpy, pydantic, rich.console, typer, yaml
sysconfig.get_config_vars(); platform.uname()
sys.platform, platform.system = "{system}", lambda: "{name}"
import tirage
from tirage.cli.main import main
from tirage.core.errors import SandboxError
from tirage.sandbox import open_sandbox
try:
    open_sandbox()
except SandboxError as error:
    print(error)
main(["doctor", "--json"])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the forking box needs Linux")
def test_a_check_is_told_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["sandbox", "check", "--rung", "2", "--group", "promises", "--group", "kernel", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert ended.value.code == 0
    assert told["capabilities"]["rung"] == 2
    assert {finding["status"] for finding in told["findings"]} <= {"kept", "contained", "skipped"}
    assert len(told["findings"]) > 25


def test_an_unknown_group_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["sandbox", "check", "--group", "kernal"])
    assert ended.value.code == 2
    assert "known: promises, processes" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(("system", "name"), [("darwin", "Darwin"), ("win32", "Windows")])
def test_elsewhere_docker_is_the_way(system: str, name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE.format(system=system, name=name)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    first, told = done.stdout.splitlines()
    assert "use the docker back end" in first
    rungs = {finding["what"]: finding for finding in json.loads(told)}
    assert not rungs["rung 1"]["here"]
    assert "docker" in rungs["rung 1"]["remedy"]
