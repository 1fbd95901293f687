import asyncio
import gc
import json
import random
import threading
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="install tirage[local]")
pytest.importorskip("transformers", reason="install tirage[local]")

import torch

from tirage.core.errors import CapabilityError, ConfigError, ModelError, ModelRequestError
from tirage.core.message import Message
from tirage.models.base import Completion, Request, Sampling
from tirage.models.inprocess.network import Network
from tirage.models.local import LocalModel, open_local
from tirage.testing.tiny import write_model

HOT = Sampling(temperature=1.0, max_tokens=24, seed=5, logprobs=True)


@pytest.fixture(scope="module")
async def model(tiny_folder: Path) -> AsyncIterator[LocalModel]:
    opened = await open_local(tiny_folder, device="cpu")
    yield opened
    await opened.close()


def prompt(number: int) -> tuple[int, ...]:
    """A prompt whose length and content depend on `number`: from 3 to about 150 ids."""
    draw = random.Random(number)
    return tuple(draw.randrange(0, 256) for _ in range(3 + draw.randrange(150)))


async def one(model: LocalModel, ids: tuple[int, ...], sampling: Sampling) -> Completion:
    (completion,) = await model.complete(Request(ids=ids, sampling=sampling))
    return completion


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_samples_do_not_depend_on_the_neighbours(model: LocalModel, tiny_folder: Path) -> None:
    samplings = [
        Sampling(temperature=1.0, top_p=0.9 if i % 3 == 0 else 1.0, top_k=20 if i % 4 == 0 else 0, max_tokens=5 + i, seed=i, logprobs=True)
        for i in range(40)
    ]
    order = list(range(40))
    random.Random(1).shuffle(order)

    async def late(number: int) -> tuple[int, Completion]:
        await asyncio.sleep(0.002 * (number % 13))
        return number, await one(model, prompt(number), samplings[number])

    crowd = dict(await asyncio.gather(*(late(number) for number in order)))
    fresh = await open_local(tiny_folder, device="cpu")  # nothing cached, slots used in another order
    try:
        for number in range(40):
            alone = await one(fresh, prompt(number), samplings[number])
            assert alone.ids == crowd[number].ids
            assert alone.logprobs == crowd[number].logprobs
    finally:
        await fresh.close()
    assert len({completion.ids for completion in crowd.values()}) == 40


async def test_a_width_that_gives_other_bits_is_not_used(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decode = Network.decode

    def off_when_narrow(self: Network, tokens: list[int], positions: list[int]) -> torch.Tensor:
        logits = decode(self, tokens, positions)
        return logits + 1e-5 if len(tokens) == 8 else logits

    monkeypatch.setattr(Network, "decode", off_when_narrow)
    model = await open_local(tiny_folder, device="cpu", slots=16)
    try:
        widths = {model._engine._network.width(slots) for slots in range(1, 17)}
        assert 8 not in widths
        assert 16 in widths
    finally:
        await model.close()


@pytest.mark.parametrize("threads", [1, 2])
async def test_widths_are_tried_as_they_will_be_used(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    """Which kernels do a product depends on the number of threads, which each thread has for itself."""
    prove, tried = Network.prove_widths, list[tuple[str, int]]()

    def watched(self: Network) -> None:
        tried.append((threading.current_thread().name, torch.get_num_threads()))
        prove(self)

    monkeypatch.setattr(Network, "prove_widths", watched)
    model = await open_local(tiny_folder, device="cpu", threads=threads)
    await model.close()
    assert tried == [("tirage-engine", threads)]


async def test_a_network_that_cannot_decode_is_told_when_it_is_opened(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise ModelError("this architecture cannot be had")

    monkeypatch.setattr(Network, "decode", broken)
    with pytest.raises(ModelError, match="cannot be had"):
        await open_local(tiny_folder, device="cpu")
    assert gc.isenabled()


async def test_agrees_with_transformers(model: LocalModel, tiny_folder: Path) -> None:
    from transformers import AutoModelForCausalLM

    reference = AutoModelForCausalLM.from_pretrained(tiny_folder, attn_implementation="eager").eval()
    for number in (1, 2, 3):
        ids = prompt(number)
        completion = await one(model, ids, Sampling(max_tokens=30, logprobs=True))
        assert completion.ids is not None
        assert completion.logprobs is not None
        whole = torch.tensor([ids + completion.ids])
        with torch.no_grad():
            table = reference(whole).logits[0].double().log_softmax(-1)
        for place, (token, logprob) in enumerate(zip(completion.ids, completion.logprobs, strict=True)):
            row = table[len(ids) + place - 1]
            assert int(row.argmax()) == token
            assert float(row[token]) == pytest.approx(logprob, abs=2e-4)


async def test_sampling_follows_the_models_distribution(model: LocalModel) -> None:
    ids = prompt(4)
    (first,) = await model.complete(Request(ids=ids, sampling=Sampling(max_tokens=1, logprobs=True)))
    draws = await model.complete(Request(ids=ids, sampling=Sampling(temperature=1.0, max_tokens=1, n=400, seed=11, logprobs=True)))
    counts = Counter(draw.ids for draw in draws)
    chances = {draw.ids: draw.logprobs for draw in draws}
    for token, count in counts.most_common(5):
        expected = 400 * float(torch.tensor(chances[token][0]).exp())
        assert abs(count - expected) < 4 * expected**0.5 + 1
    assert first.ids in counts


async def test_top_k_one_is_greedy_and_small_top_p_too(model: LocalModel) -> None:
    greedy = await one(model, prompt(6), Sampling(max_tokens=20))
    assert (await one(model, prompt(6), Sampling(temperature=2.0, top_k=1, max_tokens=20, seed=1))).ids == greedy.ids
    assert (await one(model, prompt(6), Sampling(temperature=2.0, top_p=1e-9, max_tokens=20, seed=1))).ids == greedy.ids
    assert (await one(model, prompt(6), Sampling(temperature=2.0, max_tokens=20, seed=1))).ids != greedy.ids


async def test_seeds_decide_and_n_draws_differ(model: LocalModel) -> None:
    same = [await one(model, prompt(7), HOT) for _ in range(2)]
    assert same[0] == same[1]
    draws = await model.complete(Request(ids=prompt(7), sampling=Sampling(temperature=1.0, max_tokens=24, seed=5, n=4, logprobs=True)))
    assert draws[0].ids == same[0].ids
    assert len({draw.ids for draw in draws}) == 4
    assert [draw.usage.tokens_in for draw in draws] == [len(prompt(7)), 0, 0, 0]
    assert [draw.usage.model_calls for draw in draws] == [1, 0, 0, 0]
    assert all(draw.usage.tokens_out == len(draw.ids or ()) for draw in draws)


async def test_a_stop_string_ends_the_draw_with_its_whole_last_token(model: LocalModel) -> None:
    free = await one(model, prompt(8), HOT)
    assert free.ids is not None
    stop = next(free.text[i : i + 2] for i in range(3, len(free.text) - 2) if "\ufffd" not in free.text[i : i + 2])
    cut = await one(model, prompt(8), Sampling(temperature=1.0, max_tokens=24, seed=5, stop=("never said", stop), logprobs=True))
    assert cut.finish == "stop_string"
    assert cut.stop_string == stop
    assert cut.ids == free.ids[: len(cut.ids or ())]
    assert cut.text == model.renderer.decode(cut.ids or ())
    assert stop in cut.text
    assert stop not in model.renderer.decode((cut.ids or ())[:-1])


async def test_the_end_of_turn_token_is_kept_in_the_ids_and_dropped_from_the_text(model: LocalModel) -> None:
    draws = await model.complete(Request(ids=prompt(9), sampling=Sampling(temperature=1.5, max_tokens=200 - 153, n=64, seed=2)))
    ended = [draw for draw in draws if draw.finish == "stop"]
    assert ended
    for draw in ended:
        assert draw.ids is not None
        assert draw.ids[-1] == 256
        assert 256 not in draw.ids[:-1]
        assert "<|end|>" not in draw.text
    assert all(len(draw.ids or ()) == 47 for draw in draws if draw.finish == "length")


async def test_text_and_chat_requests_say_which_ids_they_became(model: LocalModel) -> None:
    (text,) = await model.complete(Request(text="Hello", sampling=HOT))
    assert text.prompt_ids == model.renderer.encode("Hello")
    user = Message(role="user", content="Hi")
    (chat,) = await model.complete(Request(messages=(user,), sampling=HOT))
    assert chat.prompt_ids == model.renderer.render((user,))[0].ids
    partial = (user, Message(role="assistant", content="It is"))
    (kept_open,) = await model.complete(Request(messages=partial, continue_final=True, sampling=HOT))
    assert kept_open.prompt_ids == model.renderer.render(partial)[0].ids
    (closed,) = await model.complete(Request(messages=partial, sampling=HOT))
    assert closed.prompt_ids is not None
    assert len(closed.prompt_ids) > len(kept_open.prompt_ids or ())


async def test_the_context_limits_prompt_and_answer(model: LocalModel) -> None:
    assert model.capabilities.context == 256
    long = (prompt(1) * 10)[:250]
    full = await one(model, long, Sampling(temperature=1.0, top_k=5, max_tokens=100, seed=1))
    assert full.finish in ("length", "stop")
    assert len(full.ids or ()) <= 6
    with pytest.raises(ModelRequestError, match=r"256 tokens, but the context of tiny@.* is 256"):
        await one(model, (long * 2)[:256], HOT)
    with pytest.raises(ModelRequestError, match="empty"):
        await one(model, (), HOT)
    with pytest.raises(ModelRequestError, match="outside the vocabulary"):
        await one(model, (5000,), HOT)
    with pytest.raises(CapabilityError, match="fenced-python"):
        await model.complete(Request(messages=(Message(role="user", content="x"),), sampling=HOT, tools=({"type": "function"},)))
    with pytest.raises(CapabilityError, match="no reply to a JSON schema"):
        await model.complete(Request(messages=(Message(role="user", content="x"),), sampling=HOT, schema={"type": "object"}))


async def test_a_cancelled_caller_frees_its_slots(tiny_folder: Path) -> None:
    model = await open_local(tiny_folder, device="cpu", slots=2)
    try:
        endless = Sampling(temperature=1.0, max_tokens=240, seed=1, n=50)
        hog = asyncio.create_task(model.complete(Request(ids=(1, 2, 3), sampling=endless)))
        await asyncio.sleep(0.1)
        hog.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hog
        completion = await asyncio.wait_for(one(model, prompt(3), HOT), 20)
        assert completion.ids
    finally:
        await model.close()


async def test_closing_ends_the_thread_and_the_waiting(tiny_folder: Path) -> None:
    model = await open_local(tiny_folder, device="cpu", slots=1)
    waiting = [asyncio.create_task(one(model, prompt(i), Sampling(temperature=1.0, max_tokens=100, seed=i))) for i in range(8)]
    await asyncio.sleep(0.02)
    await model.close()
    await model.close()
    results = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 20)
    assert any(isinstance(result, ModelError) and "closed" in str(result) for result in results)
    assert not [thread for thread in threading.enumerate() if thread is model._engine._thread]
    with pytest.raises(ModelError, match="closed"):
        await one(model, prompt(1), HOT)


async def test_a_broken_pass_reaches_every_caller(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = await open_local(tiny_folder, device="cpu", slots=2)

    def broken(*_: Any) -> None:
        raise RuntimeError("the matrix is on fire")

    monkeypatch.setattr(model._engine._network, "decode", broken)
    results = await asyncio.wait_for(asyncio.gather(*(one(model, prompt(i), HOT) for i in range(6)), return_exceptions=True), 20)
    assert all(isinstance(result, ModelError) and "on fire" in str(result) for result in results)
    with pytest.raises(ModelError, match="on fire"):
        await one(model, prompt(1), HOT)
    await model.close()


async def test_a_prompt_that_cannot_be_read_fails_alone(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = await open_local(tiny_folder, device="cpu", slots=4)
    read = model._engine._network.read

    def picky(ids: tuple[int, ...]) -> Any:
        if len(ids) == 7:
            raise RuntimeError("out of memory")
        return read(ids)

    monkeypatch.setattr(model._engine._network, "read", picky)
    good, bad = await asyncio.gather(one(model, prompt(1), HOT), one(model, (1,) * 7, HOT), return_exceptions=True)
    assert isinstance(good, Completion)
    assert isinstance(bad, ModelError)
    assert "out of memory" in str(bad)
    await model.close()


async def test_kept_prompts_change_nothing(tiny_folder: Path) -> None:
    forgetful = await open_local(tiny_folder, device="cpu", cache_mb=0)
    keeping = await open_local(tiny_folder, device="cpu")
    try:
        base = (prompt(1) * 3)[:130]
        for extra in ((), (9,), (9, 8, 7), tuple(range(40))):
            for _ in range(2):
                assert await one(forgetful, base + extra, HOT) == await one(keeping, base + extra, HOT)
    finally:
        await forgetful.close()
        await keeping.close()


@pytest.mark.parametrize("family", ["Qwen2", "Gemma2", "Mistral", "Phi3", "GPTNeoX"])
async def test_other_architectures_agree_with_transformers(tmp_path: Path, family: str) -> None:
    import transformers

    write_model(tmp_path)  # for the tokenizer
    shape: dict[str, Any] = {
        "vocab_size": 272,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": 256,
        "sliding_window": 40,
        "pad_token_id": 257,
        "bos_token_id": None,
        "eos_token_id": 256,
        "initializer_range": 0.2,
        "rope_scaling": None,
    }
    if family == "GPTNeoX":
        shape = {
            name: value
            for name, value in shape.items()
            if name not in ("num_key_value_heads", "head_dim", "sliding_window", "rope_scaling")
        }
    config = getattr(transformers, f"{family}Config")(**shape)
    torch.manual_seed(1)
    network = getattr(transformers, f"{family}ForCausalLM")(config).eval()
    network.save_pretrained(tmp_path)
    network.set_attn_implementation("eager")
    model = await open_local(tmp_path, device="cpu", slots=3)
    try:
        ids = prompt(12)[:100]
        completion = await one(model, ids, Sampling(max_tokens=20, logprobs=True))
        assert completion.ids is not None
        with torch.no_grad():
            table = network(torch.tensor([ids + completion.ids])).logits[0].double().log_softmax(-1)
        told = [float(table[len(ids) + place - 1, token]) for place, token in enumerate(completion.ids)]
        assert completion.logprobs == pytest.approx(told, abs=1e-3)
    finally:
        await model.close()


async def test_wrong_folders_are_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a folder"):
        await open_local(tmp_path / "nowhere")
    folder = write_model(tmp_path / "model")
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match=r"no \*\.safetensors weights"):
        await open_local(folder)
    (folder / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(ConfigError, match="cannot be loaded"):
        await open_local(folder)
    (folder / "model.safetensors").write_bytes(weights)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(ConfigError, match="lack 9 tensors"):
        await open_local(folder)
    (folder / "config.json").unlink()
    with pytest.raises(ConfigError, match=r"no config\.json"):
        await open_local(folder)


async def test_the_name_identifies_the_weights(tiny_folder: Path, tmp_path: Path, model: LocalModel) -> None:
    name, _, digest = model.name.partition("@")
    assert name == "tiny"
    assert len(digest) == 8
    other = await open_local(write_model(tmp_path / "tiny", seed=4), device="cpu", name="tiny")
    assert other.name != model.name
    await other.close()
