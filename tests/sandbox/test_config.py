import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import pytest

from tirage.core.errors import ConfigError, SandboxError
from tirage.sandbox import SandboxConfig, open_sandbox
from tirage.sandbox.guest.walls import landlock


@pytest.mark.parametrize(
    "bad",
    [{"backend": "docker"}, {"min_rung": 3}, {"min_rung": 1, "first_rung": 2}, {"memory_mb": 0}, {"processes": -1}, {"scratch_mb": 0}],
)
def test_nonsense_is_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(bad))):
        SandboxConfig(**bad)  # type: ignore[arg-type]


def test_other_systems_get_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(SandboxError, match="needs Linux"):
        open_sandbox()


async def test_a_module_that_cannot_be_loaded_is_named() -> None:
    with pytest.raises(SandboxError, match=r"no_such_module.*remedy: install"):
        async with open_sandbox(SandboxConfig(preload=("no_such_module",))):
            pass


async def test_preloaded_modules_and_limits_reach_the_session() -> None:
    async with open_sandbox(SandboxConfig(preload=("sqlite3",), memory_mb=128)) as sandbox:
        session = await sandbox.open()
        assert (await session.run("import sys; 'sqlite3' in sys.modules")).value == "True"
        assert (await session.run("b = bytearray(100 << 20); del b")).failure is None
        assert (await session.run("b = bytearray(200 << 20)")).failure == "memory"
        await session.close()


async def test_closed_sandbox_refuses() -> None:
    sandbox = open_sandbox(SandboxConfig(preload=()))
    await sandbox.close()
    await sandbox.close()
    with pytest.raises(SandboxError, match="closed"):
        await sandbox.open()


async def test_a_demanded_rung_that_cannot_be_had_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from tirage.sandbox import fork

    real = fork.ForkSandbox._build

    async def without_namespaces(self: fork.ForkSandbox, rung: int) -> object:
        if rung == 1:
            raise SandboxError("sandbox layer 'namespaces' failed: refused by the test; remedy: none")
        return await real(self, rung)

    monkeypatch.setattr(fork.ForkSandbox, "_build", without_namespaces)
    with pytest.raises(SandboxError, match=r"namespaces.*remedy"):
        async with open_sandbox(SandboxConfig(preload=(), min_rung=1)):
            pass
    async with open_sandbox(SandboxConfig(preload=(), min_rung=2)) as sandbox:
        assert sandbox.capabilities.rung == 2
        assert "rung 1 not available" in sandbox.capabilities.notes[0]


async def test_without_landlock_only_unsafe_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    from tirage.sandbox import fork

    asked: list[int] = []
    real = fork.ForkSandbox._build

    async def only_unsafe(self: fork.ForkSandbox, rung: int) -> object:
        asked.append(rung)
        if rung < 4:
            raise SandboxError("sandbox layer 'landlock' failed: refused by the test")
        return await real(self, rung)

    monkeypatch.setattr(fork.ForkSandbox, "_build", only_unsafe)
    with pytest.raises(SandboxError, match="landlock"):
        async with open_sandbox(SandboxConfig(preload=())):
            pass
    assert asked == [1, 2]
    async with open_sandbox(SandboxConfig(preload=(), unsafe=True)) as sandbox:
        assert sandbox.capabilities.rung == 4
        session = await sandbox.open()
        assert (await session.run("1+1")).value == "2"
        await session.close()


def test_landlock_file_rights_grow_with_the_abi() -> None:
    assert landlock._file_rights(1) == (1 << 13) - 1
    assert landlock._file_rights(2) == (1 << 14) - 1
    assert landlock._file_rights(3) == (1 << 15) - 1
    assert landlock._file_rights(7) == (1 << 16) - 1


BELOW_TMP = """
import asyncio, sys
from tirage.sandbox import SandboxConfig, open_sandbox

async def main(rung):
    async with open_sandbox(SandboxConfig(preload=(), first_rung=rung, min_rung=rung)) as sandbox:
        session = await sandbox.open()
        code = "import tempfile, found_late; tempfile.TemporaryFile().write(b'x'); print(found_late.value)"
        result = await session.run(code)
        print(result.stdout, result.error_text)

asyncio.run(main(int(sys.argv[1])))
"""


@pytest.mark.parametrize("rung", ["1", "2"])
def test_an_environment_below_tmp_is_seen_in_full(rung: str) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        venv.create(folder / "venv", symlinks=True)
        packages = next((folder / "venv").glob("lib/python*/site-packages"))
        (packages / "found_late.py").write_text("value = 7\n")
        (packages / "here.pth").write_text("\n".join(path for path in sys.path if path) + "\n")
        program = [str(folder / "venv" / "bin" / "python"), "-c", BELOW_TMP, rung]
        root = Path(__file__).parents[2]
        done = subprocess.run(program, capture_output=True, text=True, timeout=120, cwd=root, check=False)
        assert done.stdout.strip() == "7", done.stdout + done.stderr[-1000:]
