import asyncio
import os

import pytest

from tirage.core.errors import SandboxError
from tirage.sandbox import ExecFailure, ExecResult, Limits, Sandbox, Session

pytestmark = pytest.mark.asyncio(loop_scope="module")
QUICK = Limits(wall_s=0.5, grace_s=0.3)


async def value(session: Session, code: str) -> str | None:
    result = await session.run(code)
    assert result.failure is None, result
    return result.value


async def test_state_is_kept_across_cells(session: Session) -> None:
    assert (await session.run("print(2+2)\nx = [1]")).stdout == "4\n"
    assert await value(session, "x.append(2); x") == "[1, 2]"
    assert await value(session, "x") == "[1, 2]"


async def test_result_fields_of_a_plain_cell(session: Session) -> None:
    result = await session.run("import sys\nprint('out')\nprint('err', file=sys.stderr)\n{'a': 1}")
    assert (result.stdout, result.stderr, result.value, result.value_type) == ("out\n", "err\n", "{'a': 1}", "dict")
    assert result.failure is None
    assert not result.truncated
    assert result.duration_s >= result.cpu_s > 0
    assert {"landlock", "seccomp", "rlimits", "privileges"} <= set(result.layers)


async def test_none_and_statements_have_no_value(session: Session) -> None:
    assert (await session.run("None")).value is None
    assert (await session.run("y = 1")).value is None
    assert (await session.run("")).failure is None


async def test_traceback_shows_only_cell_frames_with_source(session: Session) -> None:
    await session.run("def f(n):\n    return 1 / n")
    result = await session.run("import json\n\nf(0)")
    assert (result.failure, result.error_name, result.error_text, result.error_line) == (
        ExecFailure.ERROR,
        "ZeroDivisionError",
        "division by zero",
        3,
    )
    assert "return 1 / n" in result.traceback
    assert "f(0)" in result.traceback
    library = await session.run("json.loads('{')")
    assert library.error_name == "JSONDecodeError"
    assert "decoder.py" not in library.traceback
    assert "json.loads('{')" in library.traceback


@pytest.mark.parametrize(
    ("code", "name", "line", "part"),
    [
        ("x = (1,", "SyntaxError", 1, "never closed"),
        ("if True:\nx = 1", "IndentationError", 2, "expected an indented block"),
        ("!pip install requests", "SyntaxError", 1, "packages cannot be installed"),
        ("x = 1\n%matplotlib inline", "SyntaxError", 2, "notebook syntax"),
    ],
)
async def test_syntax_errors(session: Session, code: str, name: str, line: int, part: str) -> None:
    result = await session.run(code)
    assert (result.failure, result.error_name, result.error_line) == (ExecFailure.SYNTAX, name, line)
    assert part in result.error_text


async def test_input_is_at_its_end(session: Session) -> None:
    assert (await session.run("input()")).error_name == "EOFError"
    assert (await session.run("import sys; sys.stdin.read()")).value == "''"


async def test_soft_timeout_keeps_state(session: Session) -> None:
    result = await session.run("a = 1\nimport time\ntime.sleep(60)\na = 2", QUICK)
    assert result.failure is ExecFailure.TIMEOUT_SOFT
    assert result.error_line == 3
    assert await value(session, "a") == "1"


async def test_killed_timeout_rolls_back_and_keeps_output(session: Session) -> None:
    await session.run("a = 1")
    result = await session.run("a = 2\nprint('seen', end='')\nsum(range(10**12))", QUICK)
    assert result.failure is ExecFailure.TIMEOUT_KILLED
    assert result.stdout == "seen"
    assert await value(session, "a") == "1"


async def test_code_that_swallows_the_interrupt_is_killed(session: Session) -> None:
    code = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass"
    assert (await session.run(code, QUICK)).failure is ExecFailure.TIMEOUT_KILLED


@pytest.mark.parametrize(
    ("code", "failure", "name"),
    [
        ("import os; os._exit(3)", ExecFailure.EXIT, "SystemExit"),
        ("import ctypes; ctypes.string_at(0)", ExecFailure.SIGNAL, "SIGSEGV"),
        ("import os; os.abort()", ExecFailure.SIGNAL, "SIGABRT"),
    ],
)
async def test_death_costs_only_the_cell(session: Session, code: str, failure: ExecFailure, name: str) -> None:
    await session.run("z = 7\nopen('kept.txt', 'w').write('kept')")
    result = await session.run("z = 8\nopen('kept.txt', 'w').write('spoilt')\nopen('new.txt', 'w').close()\nprint('before')\n" + code)
    assert (result.failure, result.error_name, result.stdout) == (failure, name, "before\n")
    assert await value(session, "import os; z, open('kept.txt').read(), os.listdir()") == "(7, 'kept', ['kept.txt'])"


async def test_death_in_the_first_cell_leaves_a_fresh_session(session: Session) -> None:
    assert (await session.run("open('f', 'w').write('x')\nimport os; os._exit(0)")).failure is ExecFailure.EXIT
    assert await value(session, "import os; os.listdir()") == "[]"


async def test_exit_keeps_state(session: Session) -> None:
    result = await session.run("q = 5\nexit(2)")
    assert result.failure is ExecFailure.EXIT
    assert "exit(2)" in result.error_text
    assert await value(session, "q") == "5"


async def test_memory_limit_is_an_error_of_the_cell(session: Session) -> None:
    await session.run("m = 1")
    assert (await session.run("b = bytearray(4 << 30)")).failure is ExecFailure.MEMORY
    assert (await session.run("b = [bytearray(1 << 20) for _ in range(4096)]")).failure is ExecFailure.MEMORY
    assert await value(session, "m") == "1"


async def test_output_limit_stops_the_cell_at_once(session: Session) -> None:
    result = await session.run("n = 0\nwhile True:\n    print('x' * 99)\n    n += 1", Limits(wall_s=30, output_bytes=10_000))
    assert (result.failure, result.truncated, len(result.stdout)) == (ExecFailure.OUTPUT, True, 10_000)
    assert result.duration_s < 10
    assert await value(session, "n") == "100"


async def test_output_of_c_code_and_children_is_captured(session: Session) -> None:
    code = "import os, subprocess\nos.write(1, b'raw ')\nsubprocess.run(['/bin/echo', 'child'])\nprint('py')"
    assert (await session.run(code)).stdout == "raw child\npy\n"
    flood = await session.run(
        "import os\nfor _ in range(100):\n    try: os.write(1, b'y' * 1000)\n    except OSError: pass", Limits(output_bytes=5000)
    )
    assert flood.truncated
    assert len(flood.stdout) == 5000


async def test_disk_limits(session: Session) -> None:
    big = await session.run("with open('big', 'wb') as f:\n    for _ in range(100): f.write(bytes(1 << 20))")
    assert big.failure is ExecFailure.DISK


async def test_threads_left_running_take_the_cell_back(session: Session) -> None:
    await session.run("t = 1")
    result = await session.run("t = 2\nimport threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()")
    assert result.failure is ExecFailure.FORK_DENIED
    assert "threads" in result.error_text
    assert await value(session, "t") == "1"
    joined = "from concurrent.futures import ThreadPoolExecutor as P\nwith P(4) as pool: s = sum(pool.map(abs, [-1, -2]))\ns"
    assert await value(session, joined) == "3"


async def test_branches_are_independent(session: Session) -> None:
    await session.run("import random\nv = [0]\nopen('f.txt', 'w').write('base')\nrandom.seed(5)")
    left, right = await session.branch(), await session.branch()
    for name, twin in (("L", left), ("R", right)):
        await twin.run(f"v.append('{name}')\nopen('f.txt', 'a').write('{name}')\nopen('{name}', 'w').close()")
    show = "import os; v, open('f.txt').read(), sorted(os.listdir())"
    assert await value(session, show) == "([0], 'base', ['f.txt'])"
    assert await value(left, show) == "([0, 'L'], 'baseL', ['L', 'f.txt'])"
    assert await value(right, show) == "([0, 'R'], 'baseR', ['R', 'f.txt'])"
    await left.close()
    assert await value(right, "v") == "[0, 'R']"
    await right.close()


async def test_open_files_survive_a_branch_without_sharing(session: Session) -> None:
    await session.run(
        "with open('lines', 'w') as f: f.write('a\\nb\\nc\\n')\nr = open('lines'); w = open('out', 'w'); first = r.readline()"
    )
    await session.run("g = (n * n for n in range(9)); next(g); next(g)\nraw = open('lines', 'rb', buffering=0); raw.read(2)")
    left, right = await session.branch(), await session.branch()
    for name, twin in (("left", left), ("right", right)):
        code = f"w.write('{name}'); w.flush(); first, r.readline(), next(g), raw.read(2), open('out').read()"
        assert await value(twin, code) == f"('a\\n', 'b\\n', 4, b'b\\n', '{name}')"
    assert await value(session, "r.readline(), next(g), raw.read(2), open('out').read()") == "('b\\n', 4, b'b\\n', '')"
    await left.close()
    await right.close()


async def test_a_killed_cell_does_not_move_the_place_in_an_open_file(session: Session) -> None:
    await session.run("with open('lines', 'wb') as f: f.write(b'abcdef')\nraw = open('lines', 'rb', buffering=0); raw.read(1)")
    for _ in range(2):
        assert (await session.run("raw.read(2)\nimport os; os._exit(1)")).failure is ExecFailure.EXIT
    assert await value(session, "raw.read(2)") == "b'bc'"
    twin = await session.branch()
    assert await value(twin, "raw.read(2)") == "b'de'"
    assert await value(session, "raw.read(1)") == "b'd'"
    await twin.close()


async def test_branches_can_be_reseeded(session: Session) -> None:
    await session.run("import random\nrandom.seed(1)")
    draw = "random.random()"
    twins = [await session.branch(reseed=seed) for seed in (7, 7, 8)]
    assert (await twins[0].run("import os; os._exit(1)")).failure is ExecFailure.EXIT
    grand = await twins[1].branch()
    draws = [await value(twin, draw) for twin in (*twins, grand)]
    assert draws[0] == draws[1] == draws[3] != draws[2]
    assert await value(session, draw) == "0.13436424411240122"
    for twin in (*twins, grand):
        await twin.close()


async def test_random_state_is_exact_across_branches_and_sessions(sandbox: Sandbox, session: Session) -> None:
    await session.run("import random; random.random()")
    twin = await session.branch()
    draw = "random.random(), random.randrange(10**9)"
    assert await value(session, draw) == await value(twin, draw)
    await twin.close()
    first, second = await sandbox.open(), await sandbox.open()
    assert await value(first, "import random; random.random()") == await value(second, "import random; random.random()")
    await first.close()
    await second.close()


async def test_branch_of_a_branch_after_the_origin_is_gone(session: Session) -> None:
    await session.run("k = 1")
    twin = await session.branch()
    await twin.run("k += 1")
    grand = await twin.branch()
    await session.close()
    await twin.close()
    await asyncio.sleep(0.4)
    assert await value(grand, "k += 1; k") == "3"
    again = await grand.run("import os; os._exit(1)")
    assert again.failure is ExecFailure.EXIT
    assert await value(grand, "k") == "3"
    await grand.close()


async def test_branch_after_a_death_has_the_files_of_the_state(session: Session) -> None:
    await session.run("open('a', 'w').write('1')")
    await session.run("open('a', 'w').write('2')\nimport os; os._exit(1)")
    twin = await session.branch()
    assert await value(twin, "open('a').read()") == "'1'"
    await twin.close()


async def test_more_files_than_a_branch_copies(session: Session) -> None:
    await session.run("for n in range(2100): open(f'f{n}', 'w').close()")
    assert await value(session, "import os; len(os.listdir())") == "2100"
    with pytest.raises(SandboxError, match="2000 files"):
        await session.branch()
    assert (await session.run("import os; os._exit(1)")).failure is ExecFailure.EXIT
    assert await value(session, "import os\nfor n in range(2099): os.unlink(f'f{n}')\nos.listdir()") == "['f2099']"
    twin = await session.branch()
    assert await value(twin, "os.listdir()") == "['f2099']"
    await twin.close()


RICH = """
class Rich:
    def _repr_html_(self): return '<b>x</b>'
    def _repr_png_(self): return b'png'
    def _repr_latex_(self): raise ValueError
    def __repr__(self): return 'plain'
class Bundle:
    def _repr_mimebundle_(self, include=None, exclude=None): return {'text/plain': 'p', 'application/json': {'a': 1}, 'text/html': '<i>'}
"""


async def test_rich_displays(session: Session) -> None:
    await session.run(RICH)
    result = await session.run("display(Rich(), 3)\nprint('out')\nRich()")
    rich = {"text/html": "<b>x</b>", "image/png": "cG5n"}
    assert (result.value, result.stdout, result.displays) == ("plain", "out\n", (rich, {"text/plain": "3"}, rich))
    assert (await session.run("1")).displays == ()
    failed = await session.run("display(Bundle())\n1 / 0")
    assert (failed.failure, failed.displays) == (ExecFailure.ERROR, ({"application/json": '{"a": 1}', "text/html": "<i>"},))
    twin = await session.branch()
    assert (await twin.run("Bundle()")).displays == failed.displays
    await twin.close()


async def test_displays_are_bounded_and_inside_the_time_limit(session: Session) -> None:
    await session.run(RICH)
    large = await session.run("class L:\n    def _repr_html_(self): return 'x' * (5 << 20)\nfor _ in range(3): display(L())")
    assert large.failure is None
    assert (len(large.displays), large.truncated) == (1, True)
    hangs = "class H:\n    def _repr_html_(self):\n        while True: pass\nH()"
    assert (await session.run(hangs, Limits(wall_s=0.5))).failure is ExecFailure.TIMEOUT_SOFT
    assert (await session.run("Rich()")).displays != ()


async def test_open_figures_are_displayed_and_closed(sandbox: Sandbox) -> None:
    session = await sandbox.open()
    found = await session.run("import matplotlib.pyplot as plt", Limits(wall_s=60))
    if found.failure is not None:
        pytest.skip("no matplotlib in the sandbox's interpreter")
    result = await session.run("_ = plt.plot([1, 2])", Limits(wall_s=60))
    assert [sorted(item) for item in result.displays] == [["image/png"]]
    assert (await session.run("plt.get_fignums()")).value == "[]"
    await session.close()


async def test_a_full_disk_does_not_end_the_session(session: Session) -> None:
    await session.run("n = 1")
    await session.run("for k in range(300):\n    with open(f'f{k}', 'wb') as f: _ = f.write(bytes(1 << 16))")
    for _ in range(3):
        assert (await session.run("n += 1; n")).failure is None
    assert await value(session, "import os\nfor k in range(300): os.unlink(f'f{k}')\nn") == "4"
    twin = await session.branch()
    assert await value(twin, "n") == "4"
    await twin.close()


async def test_working_directory_keeps_its_path_in_a_session(session: Session) -> None:
    await session.run("import os\np = os.path.abspath('x.txt')\nopen(p, 'w').write('hi')")
    for _ in range(4):
        assert await value(session, "open(p).read()") == "'hi'"


async def test_long_chain(session: Session) -> None:
    await session.run("c = 0")
    for _ in range(300):
        await session.run("c += 1")
    assert await value(session, "c") == "300"


async def test_output_limit_other_than_that_of_the_cell_before(session: Session) -> None:
    for cap in (1000, 1000, 1000, 100, 5000, 1000):
        result = await session.run("print('x' * 999)", Limits(output_bytes=cap))
        await asyncio.sleep(0.02)
        assert (result.failure is ExecFailure.OUTPUT, len(result.stdout)) == (cap < 1000, min(cap, 1000))


async def test_put_and_fetch(session: Session) -> None:
    blob = os.urandom(300_000)
    await session.put("data/in.bin", blob)
    assert await value(session, "len(open('data/in.bin', 'rb').read())") == "300000"
    await session.run("import os; os._exit(1)")
    assert await session.fetch("data/in.bin") == blob
    for path in ("../x", "/etc/passwd", "missing", "data", "."):
        with pytest.raises(SandboxError, match="session"):
            await session.fetch(path)
    with pytest.raises(SandboxError, match="outside"):
        await session.put("../../x", b"")


async def test_fetch_refuses_pipes_and_reads_through_no_link_out(session: Session) -> None:
    await session.run("import os\nos.mkfifo('pipe')\nos.symlink('/etc/shadow', 'link')")
    for path in ("pipe", "link"):
        with pytest.raises(SandboxError):
            await session.fetch(path)


async def test_long_code_and_unicode(session: Session) -> None:
    code = "s = 0\n" + "s += 1  # \u00e9\U0001f600\n" * 20_000 + "s"
    assert await value(session, code) == "20000"
    assert await value(session, "'\\ud800' + '\u00e9'") is not None


async def test_process_of_one_cell_does_not_outlive_it(session: Session) -> None:
    result = await session.run("import subprocess\np = subprocess.Popen(['/bin/sleep', '1000'])\np.pid")
    assert result.failure is None
    assert result.value is not None
    alive = await value(session, f"import os\ntry:\n    os.kill({result.value}, 0); r = 'alive'\nexcept OSError: r = 'gone'\nr")
    assert alive == "'gone'"


async def test_cancelled_run_takes_the_cell_back(session: Session) -> None:
    await session.run("w = 1")
    task = asyncio.create_task(session.run("w = 2\nimport time; time.sleep(60)"))
    await asyncio.sleep(0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await value(session, "w") == "1"


async def test_close_is_idempotent_and_ends_a_running_cell(sandbox: Sandbox) -> None:
    session = await sandbox.open()
    task: asyncio.Task[ExecResult] = asyncio.create_task(session.run("import time; time.sleep(60)"))
    await asyncio.sleep(0.2)
    await session.close()
    await session.close()
    with pytest.raises(SandboxError, match="closed"):
        await asyncio.wait_for(task, 5)
    with pytest.raises(SandboxError, match="closed"):
        await session.run("1")
    with pytest.raises(SandboxError, match="closed"):
        await session.branch()


async def test_sixty_four_sessions_at_once(sandbox: Sandbox) -> None:
    async def work(number: int) -> str | None:
        session = await sandbox.open()
        await session.run(f"n = {number}")
        twin = await session.branch()
        await twin.run("n += 1000")
        result = await asyncio.gather(session.run("import time; time.sleep(0.05); n"), twin.run("n"))
        await session.close()
        await twin.close()
        return f"{result[0].value} {result[1].value}"

    answers = await asyncio.gather(*(work(number) for number in range(64)))
    assert answers == [f"{number} {number + 1000}" for number in range(64)]


async def test_run_and_branch_of_one_session_do_not_mix(session: Session) -> None:
    await session.run("u = 0")
    results = await asyncio.gather(*(session.run("u += 1; u") for _ in range(5)), session.branch())
    assert [result.value for result in results[:5]] == ["1", "2", "3", "4", "5"]  # type: ignore[attr-defined]
    assert await value(results[5], "u") == "5"  # type: ignore[arg-type]
    await results[5].close()  # type: ignore[attr-defined]
