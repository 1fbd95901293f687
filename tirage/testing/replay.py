"""ReplayModel: says what a model said before, from a recording; `Recorded` makes one."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tirage.core.codec import decode, encode
from tirage.core.errors import DataError, ModelRequestError
from tirage.models.base import Capabilities, Completion, Model, Renderer, Request
from tirage.models.request_key import request_key
from tirage.models.wrap.around import Around
from tirage.testing.scripted import ByteRenderer, Reply, write


def draw_key(request: Request) -> str:
    """The identity of a request whatever model it goes to and however many completions it asks for."""
    return request_key("", replace(request, sampling=replace(request.sampling, n=1)))


class Recorded(Around):
    """Writes each completion of a model to a JSONL file that `ReplayModel` reads."""

    def __init__(self, model: Model, path: str | Path) -> None:
        """`path` is appended to."""
        super().__init__(model)
        self._path = Path(path)

    async def complete(self, request: Request) -> tuple[Completion, ...]:
        """Complete and record. Raises what the wrapped model raises; errors are not recorded."""
        completions = await self.model.complete(request)
        key = draw_key(request)
        with self._path.open("a", encoding="utf-8") as stream:
            for draw, completion in enumerate(completions):
                line = {"key": key, "draw": draw, "model": self.name, "completion": encode(completion)}
                stream.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")
        return completions


class ReplayModel:
    """Answers from a recording.

    Two kinds of lines, which may be mixed in one file:

    - `{"key": ..., "draw": 0, "completion": {...}}`, written by `Recorded`: the answer to exactly that request.
    - `{"prompt": "...", "text": "..."}`: a whole response, tool output included. A request whose text is the prompt
      and a part of the response is answered with the rest, up to its next stop string; so a recorded transcript
      drives an agent turn by turn, as long as its tools answer what they answered then.

    With ids the transcripts are spoken by `ByteRenderer`; a recording of ids needs the `renderer` of the model that made it.
    """

    def __init__(self, source: str | Path | Mapping[str, str], *, renderer: Renderer | None = None, name: str | None = None) -> None:
        """`source`: a JSONL file, or a mapping from prompts to responses. Raises `DataError` for a line that cannot be read."""
        self._where = "the given mapping" if isinstance(source, Mapping) else str(source)
        self.name = name or ("replay" if isinstance(source, Mapping) else f"replay/{source}")
        self.renderer: Renderer = renderer if renderer is not None else ByteRenderer()
        self.capabilities = Capabilities(
            raw_continuation=True, prefill=True, token_ids=True, logprobs=True, native_tools=True, seed=True, n=True
        )
        self._draws: dict[tuple[str, int], Completion] = {}
        self._texts: list[tuple[str, str]] = []
        if isinstance(source, Mapping):
            self._texts = list(source.items())
        else:
            for place, line in _lines(Path(source)):
                self._read(place, line)

    @classmethod
    def load(cls, path: str | Path) -> "ReplayModel":
        """The recording in a JSONL file. Raises `DataError`."""
        return cls(path)

    async def complete(self, request: Request) -> tuple[Completion, ...]:
        """The recorded completions. Raises `ModelRequestError` when there is none, naming how far the recording fits."""
        key = draw_key(request)
        return tuple(self._draw(request, key, draw) for draw in range(request.sampling.n))

    async def close(self) -> None:
        """Nothing is held open."""

    def _draw(self, request: Request, key: str, draw: int) -> Completion:
        recorded = self._draws.get((key, draw))
        if recorded is not None:
            return recorded
        prompt, text = self._text(request)
        fits = [(said, rest) for said, rest in self._texts if text.startswith(said) and rest.startswith(text[len(said) :])]
        if not fits:
            raise ModelRequestError(f"{self._where} holds no answer to this request (draw {draw}); {self._nearest(text)}")
        # Of several responses to one prompt, draw i takes the i-th.
        said, whole = fits[draw % len(fits)]
        return write(
            Reply(text=whole[len(text) - len(said) :]), request.sampling, prompt, with_ids=request.ids is not None, first=draw == 0
        )

    def _text(self, request: Request) -> tuple[tuple[int, ...], str]:
        if request.ids is not None:
            return request.ids, self.renderer.decode(request.ids)
        text = request.text if request.text is not None else self.renderer.render(request.messages or ())[0].text
        return self.renderer.encode(text), text

    def _nearest(self, text: str) -> str:
        """Where the best-fitting recording parts from `text`."""
        best = max(((_common(said + rest, text), said + rest) for said, rest in self._texts), default=None)
        if best is None:
            return "it holds no transcripts"
        length, recorded = best
        there, here = recorded[length : length + 40], text[length : length + 40]
        return f"the nearest transcript differs at character {length}: recorded ...{there!r}, asked ...{here!r}"

    def _read(self, place: str, line: dict[str, Any]) -> None:
        if "key" in line:
            completion = decode(Completion, line.get("completion"))
            self._draws[str(line["key"]), int(line.get("draw", 0))] = completion
        elif isinstance(line.get("prompt"), str) and isinstance(line.get("text"), str):
            self._texts.append((line["prompt"], line["text"]))
        else:
            raise DataError(
                f"{place}: a recording's line has key, draw and completion, or prompt and text; found {', '.join(sorted(line))}"
            )


def _lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    if not path.is_file():
        raise DataError(f"there is no recording {path}")
    with path.open(encoding="utf-8") as stream:
        for number, text in enumerate(stream, start=1):
            if not text.strip():
                continue
            place = f"{path}:{number}"
            try:
                line = json.loads(text)
            except ValueError as error:
                raise DataError(f"{place}: not JSON: {error}") from error
            if not isinstance(line, dict):
                raise DataError(f"{place}: expected an object, found {text[:40]!r}")
            yield place, line


def _common(one: str, other: str) -> int:
    """Length of the common beginning."""
    return next((place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
