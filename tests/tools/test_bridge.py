"""Tools called by code in a real sandbox: values, failures, limits, branches, replays, and code that wants more than it was given."""

import ast
import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping

import pytest
import pytest_asyncio

from tirage.core import Observation, ObservationStatus, ToolCall
from tirage.core.errors import ConfigError, SandboxError, ToolError
from tirage.sandbox import ExecFailure, Limits, Pool, SandboxConfig, Session, StateKind, open_sandbox
from tirage.sandbox.fork import ForkSandbox
from tirage.sandbox.session import ForkSession
from tirage.testing.hostile import FIND
from tirage.testing.sandbox import TableSandbox
from tirage.tools.base import Tool
from tirage.tools.bridge import Bridge
from tirage.tools.function import Refuse, tool
from tirage.tools.python import PythonTool
from tirage.tools.shell import ShellTool
from tirage.tools.toolset import approved, limited, measured, renamed, toolset

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module", params=[1, 2], ids=["rung1", "rung2"])
async def sandbox(request: pytest.FixtureRequest) -> AsyncIterator[ForkSandbox]:
    async with open_sandbox(SandboxConfig(preload=(), first_rung=request.param, min_rung=request.param)) as place:
        yield place


@pytest_asyncio.fixture(loop_scope="module")
async def session(sandbox: ForkSandbox) -> AsyncIterator[ForkSession]:
    opened = await sandbox.open()
    yield opened
    await opened.close()


class Library:
    """Tools that note how often they were used."""

    def __init__(self) -> None:
        self.asked: list[str] = []

        @tool(timeout_s=0.3)
        async def search(query: str, k: int = 2) -> list[dict[str, str]]:
            """Look something up.

            Args:
                query: In words.
                k: Wanted.
            """
            self.asked.append(query)
            if query == "slow":
                await asyncio.sleep(60)
            if query == "secret":
                raise Refuse("that shelf is closed; ask for another")
            if query == "bug":
                raise KeyError("index")
            return [{"title": f"{query} {number}"} for number in range(k)]

        @tool(clip_chars=100_000)
        def repeat(text: str, times: int = 1) -> str:
            """Say it again."""
            return text * times

        self.tools = toolset(search, repeat)


async def run(tools: Mapping[str, Tool], session: Session, code: str, **options: float) -> Observation:
    limits = Limits(wall_s=options.get("wall_s", 10.0))
    python = PythonTool(tools=tools, limits=limits, most_calls=int(options.get("most_calls", 20)), clip_chars=2000)
    return await python.call(ToolCall(name="python", arguments=json.dumps({"code": code}), id="c1"), session)


async def test_code_gets_values_and_exceptions(session: ForkSession) -> None:
    library = Library()
    found = await run(library.tools, session, "rows = tools.search('otters', k=3)\nprint([row['title'] for row in rows])")
    assert (found.text, found.status) == ("['otters 0', 'otters 1', 'otters 2']\n", ObservationStatus.OK)
    assert found.data["calls"] == [{"tool": "search", "status": "ok"}]
    assert (await run(library.tools, session, "tools.repeat(text='ab\\u0000é\\ud800', times=2)[:3], len(rows)")).text == "('ab\\x00', 3)"
    for code, says in (
        ("tools.search('secret')", "ToolError: that shelf is closed; ask for another"),
        ("tools.search()", "ToolError: InvalidCall: query: Field required"),
        ("tools.search('a', kk=1)", "ToolError: InvalidCall: kk: Extra inputs are not permitted"),
        ("tools.search('slow')", "ToolError: TimeoutError: search took longer than 0.3 s"),
        ("tools.search('a', 1, 2)", "TypeError: search() takes 2 arguments (query, k), not 3"),
        ("tools.search('a', query='b')", "TypeError: search() got 'query' twice"),
        ("tools.search({1})", "TypeError: Object of type set is not JSON serializable"),
        ("tools.find('a')", "AttributeError: there is no function tools.find in this cell; there are: search, repeat"),
        ("tools.repeat('x' * 70_000)", "ToolError: the arguments of repeat take more than 60000 bytes; give less at a time"),
        ("tools.repeat('x', 60_000)", "ToolError: the result of repeat takes 60002 bytes, more than 50000; ask for less"),
        ("tools.search('x' * 5000)", "ToolError: the result of search is longer than its observations may be; ask for less"),
    ):
        found = await run(library.tools, session, code)
        assert (found.text, found.status) == (says, ObservationStatus.ERROR)
    caught = "try: tools.search('secret')\nexcept tools.ToolError as error: print('caught', error)\nprint(dir(tools), tools, tools.search)"
    found = await run(library.tools, session, caught)
    assert found.text.splitlines() == [
        "caught that shelf is closed; ask for another",
        "['repeat', 'search'] <tools: repeat, search> <tools.search(query, k)>",
    ]
    assert "x" * 10_001 not in library.asked
    described = PythonTool(tools=library.tools).spec.description.splitlines()
    assert described[1] == "- tools.search(query: string, k: integer = 2) -> list of object of string. Look something up."


async def test_approval_limits_and_figures_are_those_of_the_tools(session: ForkSession) -> None:
    library = Library()
    tools = measured(limited(approved(library.tools, lambda call: "otters" in call.arguments), 3))
    code = (
        "for query in ('otters', 'cats', 'otters', 'otters'):\n"
        "    try: print(len(tools.search(query)))\n    except Exception as e: print(e)"
    )
    found = await run(tools, session, code)
    assert found.text.splitlines() == [
        "2",
        "The call of search was not approved.",
        "2",
        "No further call of search: the limit of 3 calls is reached.",
    ]
    assert library.asked == ["otters", "otters"]
    assert tools["search"].figures.ended == {"ok": 2, "error": 2}
    many = await run(library.tools, session, "for n in range(9): tools.repeat(str(n))", most_calls=4)
    assert many.text == "ToolError: repeat was not called: a cell may make 4 calls"
    assert len(many.data["calls"]) == 4


async def test_a_branch_calls_what_its_own_cell_is_served(session: ForkSession) -> None:
    first, second = Library(), Library()
    await run(first.tools, session, "f = tools.search\nseen = [row['title'] for row in f('trunk', 1)]")
    branches = [await session.branch(), await session.branch()]
    code = "seen += [row['title'] for row in f('leaf', 1)]; seen"
    found = await asyncio.gather(run(first.tools, branches[0], code), run(second.tools, branches[1], code))
    assert {item.text for item in found} == {"['trunk 0', 'leaf 0']"}
    assert (first.asked, second.asked) == (["trunk", "leaf"], ["leaf"])
    unserved = await session.run("f('x')")
    assert (unserved.error_name, unserved.error_text) == ("ToolError", "search cannot be called in this cell")
    assert (await session.run("tools.search")).error_name == "AttributeError"
    for branch in branches:
        await branch.close()


async def test_a_replay_calls_nothing_twice(sandbox: ForkSandbox, session: ForkSession) -> None:
    library = Library()
    await run(library.tools, session, "rows = tools.search('otters')\ntry: tools.search('secret')\nexcept Exception as e: said = str(e)")
    assert session._box.evict(session._checkpoint)
    result = await session.run("rows[1]['title'], said")
    assert (result.value, result.state) == ("('otters 1', 'that shelf is closed; ask for another')", StateKind.REPLAYED)
    assert library.asked == ["otters", "secret"]
    await run(library.tools, session, "import time\ntry: print(tools.search(str(time.time_ns())))\nexcept Exception as e: said = str(e)")
    assert session._box.evict(session._checkpoint)
    result = await session.run("said")
    assert (result.value, result.state) == (
        "'search was not called so when this cell ran first, and is not called in a replay'",
        StateKind.DIVERGED,
    )
    assert len(library.asked) == 3


async def test_time_in_a_call_is_the_cell_s_time(session: ForkSession) -> None:
    stopped: list[str] = []

    @tool
    async def wait() -> str:
        """Wait."""
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            stopped.append("stopped")
            raise
        return ""

    began = time.monotonic()
    found = await run(toolset(wait), session, "x = 1\ntools.wait()", wall_s=0.4)
    assert (found.status, found.data["failure"], stopped) == (ObservationStatus.TIMEOUT, "timeout-soft", ["stopped"])
    stubborn = "x = 2\nwhile True:\n    try: tools.wait()\n    except BaseException: pass"
    assert (await run(toolset(wait), session, stubborn, wall_s=0.4)).data["failure"] == "timeout-killed"
    dying = "import os, threading\nthreading.Timer(0.1, os._exit, (3,)).start()\ntools.wait()"
    assert (await run(toolset(wait), session, dying, wall_s=30.0)).data["failure"] == "exit"
    assert time.monotonic() - began < 20
    assert stopped == ["stopped"] * len(stopped)
    assert (await session.run("x")).value == "1"


async def test_a_broken_tool_takes_the_cell_back(session: ForkSession) -> None:
    library = Library()
    await session.run("x = 1")
    with pytest.raises(ToolError, match="tool 'search' broke: KeyError: 'index'"):
        await run(library.tools, session, "x = 2\ntools.search('bug')")
    assert (await session.run("x")).value == "1"
    assert (await run(library.tools, session, "len(tools.search('otters')), x")).text == "(2, 1)"


async def test_threads_take_turns_and_other_processes_have_none(session: ForkSession) -> None:
    library = Library()
    threads = (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(4) as pool: print(list(pool.map(tools.repeat, 'abcdefgh')))"
    )
    assert (await run(library.tools, session, threads)).text == "['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']\n"
    child = (
        "import os\nr, w = os.pipe()\nif not os.fork():\n"
        "    try: tools.repeat('a')\n    except Exception as e: os.write(w, str(e).encode())\n"
        "    os._exit(0)\nos.wait(); print(os.read(r, 200))"
    )
    assert "by the cell's own process only" in (await run(library.tools, session, child)).text
    late = (
        "import threading, time\ndef work():\n    time.sleep(0.05)\n    try: tools.repeat('late')\n    except Exception: pass\n"
        "threading.Thread(target=work, daemon=True).start(); y = 5"
    )
    await run(library.tools, session, late)
    assert (await session.run("y")).value == "5"


CALL = "import json\ndef ask(**packet):\n    for f in sockets(): os.write(f, json.dumps(packet).encode())\n"
LINE = "line = tools._line; run = line._run\n"


@pytest.mark.parametrize(
    ("code", "failures"),
    [
        ("ask(id=run, call=1, name='eval', arguments='1')\nfor f in sockets(): print(os.read(f, 999))", {None}),
        ("ask(id=run, call=1, name='search', arguments='[' * 40_000)\nfor f in sockets(): print(os.read(f, 999))", {None}),
        ("ask(id=run, call=1, name='__class__', arguments='{}')\nline.ask('search', '{\"query\": \"otters\"}')", {None, ExecFailure.ERROR}),
        ("ask(id=run, call=1, name=['search'], arguments='{}')\nimport time; time.sleep(60)", {ExecFailure.CHANNEL}),
        ("ask(id=run, call=None)\nimport time; time.sleep(60)", {ExecFailure.CHANNEL}),
        (
            "fs = list(sockets())\nfor n in range(10**4):\n    for f in fs: os.write(f, json.dumps("
            "{'id': run, 'call': n, 'name': 'repeat', 'arguments': '{}'}).encode())\nimport time; time.sleep(60)",
            {ExecFailure.CHANNEL},
        ),
        ("ask(id=run, call=1, name='repeat', arguments=json.dumps({'text': 'x' * 49_000}))\n" * 20, {ExecFailure.CHANNEL}),
        ("import pickle\nfor f in sockets(): os.write(f, pickle.dumps({'id': run, 'call': 1}))", {ExecFailure.CHANNEL, None}),
        ("ask(id=run, call=1, name='search', arguments='x' * 190_000)\nimport time; time.sleep(60)", {ExecFailure.TIMEOUT_SOFT}),
        ("while True:\n    try: tools.repeat('a')\n    except tools.ToolError: pass", {ExecFailure.CHANNEL}),
    ],
)
async def test_hostile_code_gets_the_declared_tools_and_no_more(
    sandbox: ForkSandbox, session: ForkSession, code: str, failures: set[ExecFailure | None]
) -> None:
    library = Library()
    witness = await sandbox.open()
    await session.run("kept = 1")
    bridge = Bridge(library.tools)
    result = await session.run(FIND + CALL + LINE + code, Limits(wall_s=0.5), calls=bridge)
    assert result.failure in failures, result
    assert {name for name, _ in bridge.made} <= {"search", "repeat"}
    assert len(bridge.made) <= 20
    assert (await session.run("kept")).value == "1"
    assert (await run(library.tools, session, "tools.repeat('fine')")).text == "'fine'"
    assert (await witness.run("1 + 1")).value == "2"
    await witness.close()


async def test_undeclared_names_are_refused_by_the_host(session: ForkSession) -> None:
    code = "ask(id=run, call=1, name='eval', arguments='1')\nprint([os.read(f, 999).decode() for f in sockets()])"
    result = await session.run(FIND + CALL + LINE + code, calls=Bridge(Library().tools))
    assert [json.loads(answer)["text"] for answer in ast.literal_eval(result.stdout)] == ["there is no function 'eval'"]


async def test_a_lease_serves_calls_and_other_back_ends_say_that_they_do_not() -> None:
    library = Library()
    async with Pool(open_sandbox(SandboxConfig(preload=())), warm=0) as pool:
        lease = await pool.open()
        assert (await run(library.tools, lease, "tools.repeat('a')")).text == "'a'"
        await lease.close()
        with pytest.raises(SandboxError, match="closed"):
            await run(library.tools, lease, "tools.repeat('a')")
    async with TableSandbox({"1": "2"}) as table:  # type: ignore[dict-item]
        with pytest.raises(ConfigError, match="the table sandbox lets no cell call functions of the host; use the fork back end"):
            await run(library.tools, await table.open(), "1")


async def test_tools_that_code_cannot_call() -> None:
    tools = Library().tools
    for wrong, says in (
        (toolset(ShellTool()), "'shell' needs a session of its own"),
        (limited(toolset(PythonTool()), 3), "'python' needs a session of its own"),
        (renamed(tools, {"search": "web-search"}), "code cannot call a tool named 'web-search'; rename it"),
        (renamed(tools, {"search": "class"}), "cannot call a tool named 'class'"),
        (renamed(tools, {"search": "_search"}), "cannot call a tool named '_search'"),
        (renamed(tools, {"search": "ToolError"}), "cannot call a tool named 'ToolError'"),
    ):
        with pytest.raises(ConfigError, match=says):
            PythonTool(tools=wrong)
    with pytest.raises(ConfigError, match="may make 0 calls"):
        PythonTool(tools=tools, most_calls=0)


async def test_more_names_than_a_cell_can_be_told(session: ForkSession) -> None:
    one = Library().tools["repeat"]
    many = toolset(
        *(renamed({"repeat": one}, {"repeat": f"a_rather_long_name_number_{n}"})[f"a_rather_long_name_number_{n}"] for n in range(99))
    )
    with pytest.raises(ConfigError, match=r"the names of 99 functions take \d+ characters, more than 4000; offer fewer"):
        await run(many, session, "1")
