"""One sandbox per module and rung; sessions are cheap, templates are not."""

import sys
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.sandbox.docker_engine import IMAGE, missing
from tirage.sandbox import DockerConfig, Sandbox, SandboxConfig, Session, open_sandbox

collect_ignore_glob = [] if sys.platform == "linux" else ["test_*.py"]


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["rung1", "rung2", "docker"])
async def sandbox(request: pytest.FixtureRequest) -> AsyncIterator[Sandbox]:
    if request.param == "docker":
        if missing():
            pytest.skip(missing())
        async with open_sandbox(DockerConfig(image=IMAGE, memory_mb=512, scratch_mb=32)) as place:
            yield place
        return
    rung = int(request.param.removeprefix("rung"))
    async with open_sandbox(
        SandboxConfig(first_rung=rung, min_rung=rung, preload=(), memory_mb=512, total_mb=1024, scratch_mb=32)
    ) as place:
        assert place.capabilities.rung == rung
        yield place


@pytest_asyncio.fixture(loop_scope="module")
async def session(sandbox: Sandbox) -> AsyncIterator[Session]:
    opened = await sandbox.open()
    yield opened
    await opened.close()
