"""One sandbox per module and rung; sessions are cheap, templates are not."""

import sys
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tirage.sandbox import SandboxConfig, Session, open_sandbox
from tirage.sandbox.fork import ForkSandbox

collect_ignore_glob = [] if sys.platform == "linux" else ["test_*.py"]


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=[1, 2], ids=["rung1", "rung2"])
async def sandbox(request: pytest.FixtureRequest) -> AsyncIterator[ForkSandbox]:
    rung = request.param
    async with open_sandbox(SandboxConfig(first_rung=rung, min_rung=rung, preload=(), memory_mb=512, scratch_mb=32)) as place:
        assert place.capabilities.rung == rung
        yield place


@pytest_asyncio.fixture(loop_scope="module")
async def session(sandbox: ForkSandbox) -> AsyncIterator[Session]:
    opened = await sandbox.open()
    yield opened
    await opened.close()
