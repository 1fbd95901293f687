"""A process reward model in this process: how good is each step of a solution.

Token classification with two labels in the layout of TRL's PRM trainer: the prompt, then each step closed by a separator, on whose last
token the probability of label 1 says that the step is good (Lightman et al. 2023, arXiv 2305.20050; Uesato et al. 2022, arXiv 2211.14275).
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

from tirage.core.errors import MissingExtra, ModelError, ModelRequestError
from tirage.models.hub import model_folder

Aggregate = Literal["last", "min", "product"]


class RewardModel:
    """Scores solutions step by step. Open it with `open_reward_model`; not safe for several threads at once."""

    def __init__(self, name: str, model: Any, tokenizer: Any, *, separator: str) -> None:
        """`separator` closes each step, as in training."""
        self.name = name
        self._model = model
        self._tokenizer = tokenizer
        self._separator = tuple(tokenizer.encode(separator, add_special_tokens=False))
        if not self._separator:
            raise ModelError(f"reward model {name}: the separator {separator!r} is no token of its tokenizer; give another one")

    def step_scores(self, solutions: Sequence[tuple[str, Sequence[str]]]) -> list[list[float]]:
        """Of (prompt, steps): the probability, in [0, 1], that each step is good. All in one forward pass.

        Raises `ModelRequestError` when a solution is longer than the model's context.
        """
        import torch

        rows: list[list[int]] = []
        ends: list[list[int]] = []
        for prompt, steps in solutions:
            ids = list(self._tokenizer.encode(prompt))
            places = []
            for step in steps:
                ids += [*self._tokenizer.encode(step, add_special_tokens=False), *self._separator]
                places.append(len(ids) - 1)
            rows.append(ids)
            ends.append(places)
        longest = max((len(row) for row in rows), default=0)
        context = getattr(self._model.config, "max_position_embeddings", None)
        if context is not None and longest > context:
            raise ModelRequestError(
                f"reward model {self.name}: a solution has {longest} tokens, its context {context}; limit the path's length"
            )
        if not longest:
            return [[] for _ in rows]
        ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows], device=self._model.device)
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows], device=self._model.device)
        with torch.inference_mode():
            chances = self._model(input_ids=ids, attention_mask=mask).logits.float().softmax(-1)[:, :, 1].tolist()
        return [[chances[row][place] for place in places] for row, places in enumerate(ends)]

    def scores(self, solutions: Sequence[tuple[str, Sequence[str]]], *, aggregate: Aggregate = "last") -> list[float]:
        """One score per solution: of the last step, of the worst, or the product (2305.20050, section 2.6; 2408.03314, section 5.1)."""
        folds: dict[Aggregate, Callable[[list[float]], float]] = {"last": _last, "min": min, "product": math.prod}
        fold = folds[aggregate]
        return [fold(steps) if steps else 0.0 for steps in self.step_scores(solutions)]


def _last(steps: list[float]) -> float:
    return steps[-1]


def open_reward_model(path: str, *, separator: str = "\n") -> RewardModel:
    """Load a folder or hub name.

    Raises:
        MissingExtra: Without transformers.
        ModelError: The folder holds no token classifier with two labels.
    """
    try:
        import transformers
    except ImportError as error:
        raise MissingExtra("transformers", "local") from error
    folder = str(model_folder(path))
    try:
        model = transformers.AutoModelForTokenClassification.from_pretrained(folder).eval()
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise ModelError(f"reward model {path} cannot be loaded: {' '.join(str(error).split())[:300]}") from error
    if model.config.num_labels != 2 or "score.weight" not in dict(model.named_parameters()):
        raise ModelError(f"reward model {path} is no token classifier with two labels (step is wrong, step is good)")
    return RewardModel(path, model, tokenizer, separator=separator)
