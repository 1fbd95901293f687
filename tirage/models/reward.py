"""Reward models in this process: how good each step of a solution is, or the solution as a whole.

A folder loads only when all its weights are there, the head's too: a head that transformers would draw at random is refused. Which layout
a folder has stands in its weights:

- TRL's process reward model: a token classifier with two labels; the probability of label 1 at the separator that closes a step says
  that the step is good (Lightman et al. 2023, arXiv 2305.20050; Uesato et al. 2022, arXiv 2211.14275).
- Qwen2.5-Math-PRM (Zhang et al. 2025, arXiv 2501.07301): a backbone below Linear, ReLU, Linear with two labels, read at `<extra_0>`.
- An outcome reward model, such as Skywork-Reward: a sequence classifier with one label (its logit r is told as sigmoid(r), the
  Bradley-Terry probability) or with two (the probability of label 1).
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from tirage.core.errors import ConfigError, MissingExtra, ModelError, ModelRequestError
from tirage.models.hub import model_folder

Aggregate = Literal["last", "min", "product"]
Solution = tuple[str, Sequence[str]]
"""A prompt and the steps of a solution."""

LAYOUTS = (
    "a token classifier with 2 labels (TRL's PRM trainer), a backbone with score.0 and score.2 (Qwen2.5-Math-PRM), a sequence classifier "
    "with 1 or 2 labels (Skywork-Reward)"
)
EXTRA = "<extra_0>"
"""What closes a step for Qwen2.5-Math-PRM."""
STEP_BY_STEP = "Please reason step by step, and put your final answer within \\boxed{}."
"""Its system message."""
_HEADS = ("score.", "classifier.")


class RewardModel(ABC):
    """Scores solutions. Open it with `open_reward_model`; not safe for several threads at once."""

    def __init__(self, name: str, model: Any, tokenizer: Any) -> None:
        """`model` gives logits, `tokenizer` is transformers' own."""
        self.name = name
        self._model = model
        self._tokenizer = tokenizer

    @abstractmethod
    def step_scores(self, solutions: Sequence[Solution]) -> list[list[float]]:
        """Of each solution: how good each step is, in [0, 1]. Raises `ModelRequestError` for one longer than the model's context."""

    @abstractmethod
    def scores(self, solutions: Sequence[Solution], *, aggregate: Aggregate = "last") -> list[float]:
        """One score per solution, in [0, 1]; 0 for one without steps. Raises as `step_scores`."""

    def _logits(self, rows: Sequence[Sequence[int]]) -> Any:
        """Logits of a padded batch, [rows, longest, labels] or [rows, labels]."""
        import torch

        longest = max(len(row) for row in rows)
        context = getattr(self._model.config, "max_position_embeddings", None)
        if context is not None and longest > context:
            raise ModelRequestError(
                f"reward model {self.name}: a solution has {longest} tokens, its context {context}; limit the path's length"
            )
        pad = getattr(self._model.config, "pad_token_id", None) or 0
        ids = torch.tensor([[*row, *[pad] * (longest - len(row))] for row in rows], device=self._model.device)
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows], device=self._model.device)
        with torch.inference_mode():
            return self._model(input_ids=ids, attention_mask=mask).logits.float()

    def _ids(self, text: str, *, special: bool = False) -> list[int]:
        """Ids of `text`; what spells a special token in it stays text unless it is the template's own (`special`)."""
        return list(self._tokenizer.encode(text, add_special_tokens=False, split_special_tokens=not special))

    def _chat(self, prompt: str, system: str | None = None) -> tuple[list[int], list[int]]:
        """What stands before and after the assistant's text in the model's chat template."""
        marks = ("\ue000", "\ue001")
        messages = [{"role": "user", "content": marks[0]}, {"role": "assistant", "content": marks[1]}]
        if system is not None:
            messages.insert(0, {"role": "system", "content": system})
        text = self._tokenizer.apply_chat_template(messages, tokenize=False)
        before, _, rest = text.partition(marks[0])
        between, _, after = rest.partition(marks[1])
        asked = [*self._ids(before, special=True), *self._ids(prompt), *self._ids(between, special=True)]
        return asked, self._ids(after, special=True)


class ProcessRewardModel(RewardModel):
    """The probability that each step is good, read on the last token of the separator that closes it."""

    def __init__(self, name: str, model: Any, tokenizer: Any, *, separator: str, chat: bool = False) -> None:
        """`separator` closes each step, as in training; `chat`: the solution stands in the chat template."""
        super().__init__(name, model, tokenizer)
        self._chatted = chat
        self._close = self._ids(separator, special=True)
        if not self._close or (chat and len(self._close) > 1):
            raise ModelError(f"reward model {name}: the separator {separator!r} is no token of its tokenizer; give another one")

    def step_scores(self, solutions: Sequence[Solution]) -> list[list[float]]:
        """All in one forward pass."""
        rows: list[list[int]] = []
        ends: list[list[int]] = []
        for prompt, steps in solutions:
            after: list[int] = []
            if self._chatted:
                ids, after = self._chat(prompt, STEP_BY_STEP)
            else:
                ids = list(self._tokenizer.encode(prompt, split_special_tokens=True))
            places = []
            for step in steps:
                ids += [*self._ids(step), *self._close]
                places.append(len(ids) - 1)
            rows.append([*ids, *after])
            ends.append(places)
        if not any(rows):
            return [[] for _ in rows]
        chances = self._logits(rows).softmax(-1)[:, :, 1].tolist()
        return [[chances[row][place] for place in places] for row, places in enumerate(ends)]

    def scores(self, solutions: Sequence[Solution], *, aggregate: Aggregate = "last") -> list[float]:
        """Of the last step, of the worst, or the product (2305.20050, section 2.6; 2408.03314, section 5.1)."""
        folds: dict[Aggregate, Callable[[list[float]], float]] = {"last": _last, "min": min, "product": math.prod}
        fold = folds[aggregate]
        return [fold(steps) if steps else 0.0 for steps in self.step_scores(solutions)]


class OutcomeRewardModel(RewardModel):
    """How good the whole answer is; of a step, how good the solution is up to there."""

    def step_scores(self, solutions: Sequence[Solution]) -> list[list[float]]:
        """A forward pass per step."""
        return [self.scores([(prompt, steps[:end]) for end in range(1, len(steps) + 1)]) for prompt, steps in solutions]

    def scores(self, solutions: Sequence[Solution], *, aggregate: Aggregate = "last") -> list[float]:
        """Of the whole; `aggregate` has nothing to fold."""
        return [self._score(prompt, "".join(steps)) if steps else 0.0 for prompt, steps in solutions]

    def _score(self, prompt: str, text: str) -> float:
        """One at a time: the classifier reads the last token, and not every configuration names its padding."""
        if self._tokenizer.chat_template:
            before, after = self._chat(prompt)
            ids = [*before, *self._ids(text), *after]
        else:
            ids = [*self._tokenizer.encode(prompt + "\n", split_special_tokens=True), *self._ids(text)]
        logits = self._logits([ids])[0]
        return float(logits.sigmoid()[0]) if logits.numel() == 1 else float(logits.softmax(-1)[1])


def _last(steps: list[float]) -> float:
    return steps[-1]


def open_reward_model(path: str, *, separator: str | None = None) -> RewardModel:
    """Load a folder or hub name in one of `LAYOUTS`.

    `separator` closes each step, as in training; None: the layout's own, `<extra_0>` or a newline.

    Raises:
        MissingExtra: Without transformers.
        ConfigError: The folder has no head that gives rewards, or weights are missing.
        ModelError: The folder cannot be loaded, or the separator is no token.
    """
    try:
        import transformers
    except ImportError as error:
        raise MissingExtra("transformers", "local") from error
    folder = model_folder(path)
    try:
        heads = _heads(folder)
        config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False)
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        named = " ".join(config.architectures or ())
        if "score.0.weight" in heads and "score.2.weight" in heads:
            model = _two_layers(path, folder, transformers.AutoModel, heads)
            return ProcessRewardModel(path, model, tokenizer, separator=separator or EXTRA, chat=True)
        labels = next((shape[0] for name, shape in heads.items() if name.endswith(".weight") and len(shape) == 2), 0)
        if labels == 2 and "SequenceClassification" not in named:
            model = _loaded(path, folder, transformers.AutoModelForTokenClassification)
            return ProcessRewardModel(path, model, tokenizer, separator="\n" if separator is None else separator)
        if labels in (1, 2):
            return OutcomeRewardModel(path, _loaded(path, folder, transformers.AutoModelForSequenceClassification), tokenizer)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise ModelError(f"reward model {path} cannot be loaded: {' '.join(str(error).split())[:300]}") from error
    found = f"its head has {labels} labels" if labels else "its weights hold no head (score or classifier)"
    raise ConfigError(f"{path} ({named or config.model_type}) is no reward model: {found}; what loads: {LAYOUTS}")


def _heads(folder: Path) -> dict[str, list[int]]:
    """Shapes of the weights that belong to a head. Raises OSError where there are no safetensors."""
    from safetensors import SafetensorError, safe_open

    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise OSError(f"there are no weights (*.safetensors) in {folder}")
    found: dict[str, list[int]] = {}
    try:
        for file in files:
            with safe_open(file, framework="pt") as weights:
                found |= {name: weights.get_slice(name).get_shape() for name in weights.keys() if name.startswith(_HEADS)}
    except SafetensorError as error:
        raise OSError(f"{file.name} cannot be read: {error}") from error
    return found


def _loaded(path: str, folder: Path, kind: Any) -> Any:
    """A model all of whose weights are in the folder. Raises `ConfigError` naming those that are not."""
    import torch

    gpu = torch.cuda.is_available()
    model, info = kind.from_pretrained(
        folder, trust_remote_code=False, use_safetensors=True, output_loading_info=True, dtype="auto" if gpu else torch.float32
    )
    missing = sorted(info["missing_keys"])
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise ConfigError(f"reward model {path} lacks the weights {', '.join(missing[:3])}{more}; what loads: {LAYOUTS}")
    return model.eval().to("cuda" if gpu else "cpu")


def _two_layers(path: str, folder: Path, kind: Any, heads: dict[str, list[int]]) -> Any:
    """The backbone with Qwen2.5-Math-PRM's head on it, as a token classifier."""
    import torch
    from safetensors import safe_open

    if heads["score.2.weight"][0] != 2:
        raise ConfigError(f"reward model {path}: score.2 has {heads['score.2.weight'][0]} labels, not 2; what loads: {LAYOUTS}")
    backbone = _loaded(path, folder, kind)
    layers = [torch.nn.Linear(*reversed(heads[f"score.{place}.weight"]), bias=f"score.{place}.bias" in heads) for place in (0, 2)]
    head = torch.nn.Sequential(layers[0], torch.nn.ReLU(), layers[1])
    state: dict[str, Any] = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as weights:
            state |= {name.removeprefix("score."): weights.get_tensor(name) for name in weights.keys() if name.startswith("score.")}
    head.load_state_dict(state)
    return _Headed(backbone, head.to(device=backbone.device, dtype=backbone.dtype).eval())


class _Headed:
    """A backbone and a head where a model with logits is due."""

    def __init__(self, backbone: Any, head: Any) -> None:
        self.config, self.device = backbone.config, backbone.device
        self._backbone, self._head = backbone, head

    def __call__(self, **inputs: Any) -> "_Logits":
        return _Logits(self._head(self._backbone(**inputs).last_hidden_state))


class _Logits:
    """What `transformers` models return, as far as it is read here."""

    def __init__(self, logits: Any) -> None:
        self.logits = logits
