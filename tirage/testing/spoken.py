"""SpokenModel: a double that says scripted texts in the tokens of a real tokenizer, as a back end with token ids would sample them."""

import re
from collections.abc import Sequence

from tirage.core.errors import ModelRequestError
from tirage.core.step import Usage
from tirage.models.base import Capabilities, Completion, Request
from tirage.models.template import HFRenderer


class SpokenModel:
    """Says one text after the other. A special token that a text spells is sampled as that token."""

    name = "spoken"

    def __init__(self, renderer: HFRenderer, script: Sequence[str], *, end: str | None = None) -> None:
        """`script`: what it says, turn by turn; `end`: the token that ends a turn which does not end with one, by default the first."""
        self.renderer = renderer
        self.capabilities = Capabilities(raw_continuation=True, prefill=True, token_ids=True, logprobs=True, seed=True, n=True)
        self.requests: list[Request] = []
        """Every request, in order of arrival."""
        self.sampled: list[tuple[int, ...]] = []
        """What was sampled for each."""
        self._script = list(script)
        self._end = min(renderer.eos_ids) if end is None else int(renderer.backend.token_to_id(end))
        texts = [token.content for token in renderer.backend.get_added_tokens_decoder().values()]
        self._tokens = re.compile("(" + "|".join(re.escape(text) for text in sorted(texts, key=len, reverse=True)) + ")")

    async def complete(self, request: Request) -> tuple[Completion, ...]:
        """The next text, cut at the first stop string or the limit. Raises `ModelRequestError` for a request without ids."""
        if request.ids is None or request.sampling.n != 1:
            raise ModelRequestError("a SpokenModel goes on from token ids, once")
        self.requests.append(request)
        ids = self.tokens(self._script.pop(0))
        finish, fired = "stop", None
        if ids[-1:] and ids[-1] not in self.renderer.eos_ids:
            ids = (*ids, self._end)
        for count in range(1, len(ids) + 1):
            said = self.renderer.decode(ids[:count])
            fired = next((stop for stop in request.sampling.stop if stop in said), None)
            if fired is not None:
                ids, finish = ids[:count], "stop_string"
                break
        if len(ids) > request.sampling.max_tokens:
            ids, finish, fired = ids[: request.sampling.max_tokens], "length", None
        self.sampled.append(ids)
        completion = Completion(
            text=self.renderer.decode(ids),
            finish="stop_string" if finish == "stop_string" else "length" if finish == "length" else "stop",
            stop_string=fired,
            ids=ids,
            logprobs=(-0.125,) * len(ids) if request.sampling.logprobs else None,
            prompt_ids=request.ids,
            usage=Usage(tokens_in=len(request.ids), tokens_out=len(ids), model_calls=1),
        )
        return (completion,)

    async def close(self) -> None:
        """Nothing is held."""

    def tokens(self, text: str) -> tuple[int, ...]:
        """The ids that say `text` in the middle of a conversation."""
        ids: list[int] = []
        for number, part in enumerate(self._tokens.split(text)):
            if number % 2:
                ids.append(int(self.renderer.backend.token_to_id(part)))
            elif part:
                ids.extend(self.renderer.encode(part))
        return tuple(ids)
