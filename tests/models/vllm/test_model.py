"""Against a real vLLM server (CPU build), the one of the session."""

import asyncio
import json
import os
import random
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

pytest.importorskip("transformers", reason="install tirage[local]")

from tirage.core.errors import ModelUnavailable
from tirage.core.message import Message
from tirage.models.base import Completion, Request, Sampling
from tirage.models.local import LocalModel, open_local
from tirage.models.vllm import VLLMModel
from tirage.models.wrap import Retry

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.xdist_group("vllm"),
    pytest.mark.asyncio(loop_scope="session"),
]

QUESTIONS = [
    f"Tom has {a} apples and buys {b} more. How many apples does he have now?"
    for a, b in zip(range(11, 31), range(80, 40, -2), strict=True)
]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def local(served_folder: Path) -> AsyncIterator[LocalModel]:
    model = await open_local(served_folder, device="cpu")
    yield model
    await model.close()


def prompt(model: VLLMModel, question: str) -> tuple[int, ...]:
    assert model.renderer is not None
    ids = model.renderer.render((Message(role="user", content=question),))[0].ids
    assert ids is not None
    return ids


async def one(model: VLLMModel | LocalModel | Retry, ids: tuple[int, ...], **sampling: object) -> Completion:
    (completion,) = await model.complete(Request(ids=ids, sampling=Sampling(**sampling)))  # type: ignore[arg-type]
    return completion


async def test_everything_is_proven(served: VLLMModel) -> None:
    able = served.capabilities
    assert (able.raw_continuation, able.token_ids, able.logprobs, able.prefill, able.structured, able.seed, able.n) == (True,) * 7
    assert able.structured_raw
    assert able.context is not None
    assert served.name.startswith("vllm/")
    assert "@" in served.name


async def test_ids_in_are_ids_out_along_every_path(served: VLLMModel) -> None:
    """Three turns each, with injected text between them: the ids of the path are the ids the server used."""
    assert served.renderer is not None

    async def path(number: int) -> int:
        ids, mismatches = prompt(served, QUESTIONS[number]), 0
        for turn in range(3):
            completion = await one(served, ids, temperature=1.2, max_tokens=20, seed=100 * number + turn, logprobs=True)
            mismatches += completion.prompt_ids != ids
            assert completion.ids is not None
            assert completion.logprobs is not None
            assert len(completion.logprobs) == len(completion.ids)
            assert completion.usage.tokens_in == len(ids)
            ids = ids + completion.ids + served.renderer.encode("\n```output\nnaïve 42\n```\n")
        return mismatches

    assert sum(await asyncio.gather(*(path(number) for number in range(20)))) == 0


async def test_any_ids_survive(served: VLLMModel) -> None:
    """Also ids that no text tokenises to."""
    draw = random.Random(5)
    for _ in range(20):
        ids = tuple(draw.randrange(0, 256) for _ in range(draw.randrange(1, 60)))
        assert (await one(served, ids, max_tokens=1)).prompt_ids == ids


async def test_greedy_text_is_the_in_process_models(served: VLLMModel, local: LocalModel) -> None:
    theirs = await asyncio.gather(*(one(served, prompt(served, question), max_tokens=60) for question in QUESTIONS))
    ours = await asyncio.gather(*(one(local, prompt(served, question), max_tokens=60) for question in QUESTIONS))
    assert [completion.text for completion in theirs] == [completion.text for completion in ours]
    assert [completion.ids for completion in theirs] == [completion.ids for completion in ours]
    assert [completion.finish for completion in theirs] == [completion.finish for completion in ours]


async def test_logprobs_are_the_in_process_models(served: VLLMModel, local: LocalModel) -> None:
    ids = prompt(served, QUESTIONS[0])
    theirs = await one(served, ids, max_tokens=30, logprobs=True)
    ours = await one(local, ids, max_tokens=30, logprobs=True)
    assert theirs.ids == ours.ids
    assert theirs.logprobs == pytest.approx(ours.logprobs, abs=1e-3)


async def test_the_end_of_turn_id_is_returned(served: VLLMModel) -> None:
    assert served.renderer is not None
    ids = prompt(served, QUESTIONS[1])
    draws = await served.complete(Request(ids=ids, sampling=Sampling(temperature=1.5, max_tokens=300, n=8, seed=1)))
    ended = [draw for draw in draws if draw.finish == "stop"]
    assert ended
    for draw in ended:
        assert draw.ids is not None
        assert draw.ids[-1] in served.renderer.eos_ids
        assert draw.text == served.renderer.decode(draw.ids)


async def test_a_stop_string_is_named_and_included(served: VLLMModel, local: LocalModel) -> None:
    ids = prompt(served, QUESTIONS[2])
    free = await one(local, ids, max_tokens=60)
    stop = next(free.text[i : i + 3] for i in range(8, len(free.text)) if free.text[i : i + 3].isalpha())
    theirs = await one(served, ids, max_tokens=60, stop=("never said", stop))
    ours = await one(local, ids, max_tokens=60, stop=("never said", stop))
    assert (theirs.finish, theirs.stop_string) == ("stop_string", stop)
    assert (theirs.text, theirs.ids) == (ours.text, ours.ids)
    (text,) = await served.complete(Request(text="One, two,", sampling=Sampling(max_tokens=60, stop=(stop,))))
    assert text.stop_string is None or text.text.rstrip().endswith(stop) or stop in text.text


async def test_seeds_repeat_and_n_draws_differ(served: VLLMModel) -> None:
    ids = prompt(served, QUESTIONS[3])
    request = Request(ids=ids, sampling=Sampling(temperature=1.5, max_tokens=20, seed=7, n=4))
    first, second = await served.complete(request), await served.complete(request)
    assert [draw.ids for draw in first] == [draw.ids for draw in second]
    assert len({draw.ids for draw in first}) > 1


async def test_prefill_continues_the_turn(served: VLLMModel) -> None:
    assert served.renderer is not None
    messages = (Message(role="user", content=QUESTIONS[0]), Message(role="assistant", content="First,"))
    (completion,) = await served.complete(Request(messages=messages, continue_final=True, sampling=Sampling(max_tokens=10)))
    assert completion.prompt_ids == served.renderer.render(messages)[0].ids


async def test_a_schema_holds_the_reply(served: VLLMModel) -> None:
    """A reply that the model would not give by itself, hot or not."""
    properties = {"status": {"enum": ["perhaps", "never"]}, "sure": {"type": "boolean"}}
    schema = {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}
    messages = (Message(role="user", content=QUESTIONS[5]),)
    for temperature in (0.0, 1.0):
        sampling = Sampling(temperature=temperature, max_tokens=200, seed=3)
        (held,) = await served.complete(Request(messages=messages, schema=schema, sampling=sampling))
        said = json.loads(held.text)
        assert said["status"] in ("perhaps", "never")
        assert isinstance(said["sure"], bool)
        (raw,) = await served.complete(Request(ids=prompt(served, QUESTIONS[5]), schema=schema, sampling=sampling))
        assert json.loads(raw.text)["status"] in ("perhaps", "never")
    (free,) = await served.complete(Request(messages=messages, sampling=Sampling(max_tokens=40)))
    assert "perhaps" not in free.text


async def test_the_context_end_is_a_length_stop(served: VLLMModel) -> None:
    context = served.capabilities.context
    assert context is not None
    ids = (prompt(served, QUESTIONS[0]) * 50)[: context - 3]
    completion = await one(served, ids, temperature=1.0, top_k=50, max_tokens=100, seed=1)
    assert len(completion.ids or ()) <= 3


async def test_a_burst_of_long_seeded_prompts_leaves_the_engine_alive(served: VLLMModel) -> None:
    """More prompt tokens at once than a step takes: were a seeded prompt computed in parts, vLLM's engine would end on a CPU."""
    context, draw, pid = served.capabilities.context, random.Random(11), served.process.pid
    assert context is not None
    length, slots = min(450, context - 8), 48
    assert length * slots > max(2048, context), "the prompts would fit into one step"
    burst = [tuple(draw.randrange(0, 256) for _ in range(length)) for _ in range(slots)]
    first = await asyncio.gather(*(one(served, ids, temperature=1.0, max_tokens=4, seed=seed) for seed, ids in enumerate(burst)))
    again = await asyncio.gather(*(one(served, ids, temperature=1.0, max_tokens=4, seed=seed) for seed, ids in enumerate(burst)))
    assert [completion.ids for completion in first] == [completion.ids for completion in again]
    assert (served.process.alive, served.process.pid) == (True, pid)


def kill_server(guard: int) -> None:
    """SIGKILL to the process that serves, which is the guard's only child."""
    (server,) = Path(f"/proc/{guard}/task/{guard}/children").read_text().split()
    os.kill(int(server), signal.SIGKILL)


async def test_a_killed_server_is_unavailable_and_a_retry_restarts_it(served: VLLMModel) -> None:
    """It costs a second start."""
    ids = prompt(served, QUESTIONS[4])
    before = await one(served, ids, max_tokens=20)
    old = served.process.pid
    long = Request(ids=ids, sampling=Sampling(temperature=1.5, max_tokens=400, n=32, seed=1))
    call = asyncio.create_task(served.complete(long))
    await asyncio.sleep(0.1)
    kill_server(old)
    with pytest.raises(ModelUnavailable, match="died"):
        await call
    again = await one(Retry(served), ids, max_tokens=20)
    assert again == before
    assert served.process.pid != old
