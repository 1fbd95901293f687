"""One vLLM server (CPU build), started at most once in a session, whichever tests need it first."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tirage.core.errors import ConfigError
from tirage.models.embedded import nano_path
from tirage.models.vllm import VLLMModel, open_vllm
from tirage.models.vllm.process import find_python


@pytest.fixture(scope="session")
def served_folder(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Path:
    """What the server serves: a copy of the embedded model, or the tiny random one where the package lacks it."""
    try:
        source = nano_path()
    except ConfigError:
        return tiny_folder
    return Path(shutil.copytree(source, tmp_path_factory.mktemp("vllm") / "nano", ignore=shutil.ignore_patterns("*.py", "__pycache__")))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def served(served_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[VLLMModel]:
    """The server; tests that use it run on the loop of the session."""
    try:
        python = find_python()
    except ConfigError:
        pytest.skip("no vLLM environment; build it with: scripts/vllm_env.sh")
    log = tmp_path_factory.mktemp("log") / "vllm.log"
    model = await open_vllm(served_folder, python=python, args=("--enable-prefix-caching",), log=log)
    yield model
    await model.close()
