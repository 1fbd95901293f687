"""The wheel and the source archive: what is in them, and what the wheel does in an empty environment, without extras."""

import os
import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
NO_INDEX = re.compile(
    r"No matching distribution|Could not find a version|Connection(Error| refused)|Temporary failure in name resolution|Network is"
)
UNWANTED = re.compile(r"(^|/)(tests|benchmarks|examples|docs|build|\.github)/|__pycache__|\.pyc$|\.venv")


def run(*command: str | Path, cwd: Path, ok: bool = True) -> subprocess.CompletedProcess[str]:
    """A command without this checkout on its path. Skips where no package index answers."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV", "COV_CORE_SOURCE")}
    done = subprocess.run([*map(str, command)], cwd=cwd, env=environment, capture_output=True, text=True, timeout=1000, check=False)
    if done.returncode and NO_INDEX.search(done.stdout + done.stderr):
        pytest.skip("no package index answers; give pip one (pip config set global.index-url URL) and run this again")
    assert done.returncode == 0 or not ok, done.stderr[-3000:] or done.stdout[-3000:]
    return done


@pytest.fixture(scope="module")
def tracked() -> list[str]:
    """The files of this checkout under version control or about to be."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("this is no git checkout, so what belongs to the package is not known; run in a clone")
    return [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def built(tracked: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the source archive, built from a copy that holds nothing else."""
    if find_spec("build") is None:
        pytest.skip("pip install build")
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in tracked:
        place = source / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes((ROOT / name).read_bytes())
    run(sys.executable, "-m", "build", "--outdir", out, source, cwd=out)
    return out


def test_the_wheel_holds_the_package_and_nothing_else(built: Path, tracked: list[str]) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        metadata = archive.read(next(name for name in archive.namelist() if name.endswith("/METADATA"))).decode()
    assert names == {name for name in tracked if name.startswith("tirage/")}
    for wanted in ("models/nano/model.safetensors", "evaluation/reports/report.html", "agents/hint_library.yaml", "traces/tree.html"):
        assert f"tirage/{wanted}" in names
    required = [line for line in metadata.splitlines() if line.startswith("Requires-Dist: ") and "extra ==" not in line]
    assert required, "the core has requirements"
    assert not any(re.match(r"Requires-Dist: (torch|transformers|mcp)\b", line) for line in required), "those are extras"
    assert re.search(r"^Author: The tirage developers$", metadata, re.MULTILINE)


def test_the_source_archive_holds_no_tests_and_no_caches(built: Path, tracked: list[str]) -> None:
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    assert {name for name in tracked if name.startswith("tirage/")} <= names
    assert [name for name in names if UNWANTED.search(name)] == []
    assert {"LICENSE", "README.md", "SECURITY.md", "pyproject.toml"} <= names


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of an environment that holds the wheel and what it requires."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    (wheel,) = built.glob("*.whl")
    run(folder / "bin" / "pip", "install", "--quiet", "-c", ROOT / "requirements" / "tested.txt", wheel, cwd=folder)
    return folder / "bin"


def test_the_wheel_works_without_extras(installed: Path, tmp_path: Path) -> None:
    place = run(installed / "python", "-c", "import tirage; print(tirage.__file__)", cwd=tmp_path).stdout.strip()
    assert Path(place).is_relative_to(installed.parent), "the package is the installed one"
    assert "solve" in run(installed / "tirage", "--help", cwd=tmp_path).stdout

    asked = run(installed / "tirage", "solve", "What is 12 + 30?", cwd=tmp_path, ok=False)
    assert asked.returncode == 2
    assert asked.stderr.splitlines() == ["error: torch is not installed; install it with: pip install 'tirage[local]'"]

    (tmp_path / "said.txt").write_text("So it is \\boxed{42}.\n", encoding="utf-8")
    answered = run(installed / "tirage", "solve", "What is 12 + 30?", "-m", "scripted/said.txt", "--json", cwd=tmp_path)
    assert '"answer": "42"' in answered.stdout

    by_hand = run(installed / "python", ROOT / "examples" / "02_agent_from_parts.py", cwd=tmp_path)
    assert "answer: 1060" in by_hand.stdout, "the sandbox, too, needs no extra"
