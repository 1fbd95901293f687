"""Traces in memory and a tiny random Llama."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tirage.core.rollout import Rollout
from tirage.models.template import HFRenderer
from tirage.testing.builders import Turn, make_problem, make_rollout
from tirage.training.recipes import HintRFT


class Traces:
    """Rollouts in a list, read by stage."""

    def __init__(self, rollouts: Sequence[Rollout]) -> None:
        self.rollouts = list(rollouts)
        self.reads = 0

    def read(self, stage: str | None = None) -> Iterator[Rollout]:
        self.reads += 1
        return (rollout for rollout in self.rollouts if stage is None or rollout.stage == stage)


@pytest.fixture
def as_traces() -> type[Traces]:
    """Wraps a list of rollouts as a trace source."""
    return Traces


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random 2-layer Llama over the byte vocabulary."""
    torch = pytest.importorskip("torch", reason="pip install 'tirage[train]'")
    pytest.importorskip("trl", reason="pip install 'tirage[train]'")
    from tokenizers import Tokenizer, models
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny-llama")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=258,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=256,
        pad_token_id=257,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    vocabulary = {f"<{index}>": index for index in range(256)} | {"<end>": 256, "<pad>": 257}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(vocabulary, unk_token="<0>")), eos_token="<end>", pad_token="<pad>"
    )
    tokenizer.save_pretrained(folder)
    (folder / "chat_template.jinja").write_text("{{ messages[0].content }}")
    return folder


@pytest.fixture(scope="session")
def rescued(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Path:
    """A dataset of 24 rows in the byte vocabulary."""
    folder = tmp_path_factory.mktemp("data") / "rows"
    own = HFRenderer(tiny_llama).hash
    rollouts = []
    for number in range(24):
        problem = make_problem(f"What is {number} times 7?", str(number * 7))
        rollouts.append(make_rollout(Turn(text="3."), problem=problem, stage="train-alone", correct=False, answer="3", tokenizer_hash=own))
        turns = (
            Turn(hint="Let me use Python.\n", code=f"print({number}*7)", output=str(number * 7)),
            Turn(text=f"So it is {number * 7}{'!' * (number % 5)}."),
        )
        rollouts.append(make_rollout(*turns, problem=problem, stage="train-hinted", answer=str(number * 7), tokenizer_hash=own))
    HintRFT().build(Traces(rollouts), folder, run="runs/made-up")
    return folder
