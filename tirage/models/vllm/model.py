"""VLLMModel: a model behind a vLLM server of our own, started on opening and restarted when it dies."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from tirage.core.errors import ModelError, ModelUnavailable
from tirage.models.base import Capabilities, Completion, Request
from tirage.models.openai.model import OpenAIModel, open_openai
from tirage.models.template import HFRenderer
from tirage.models.vllm.process import Launch, ServerProcess, default_device, find_python
from tirage.models.weights import weights_hash


class VLLMModel:
    """A model served by a managed vLLM process.

    When the server dies, the calls in flight raise `ModelUnavailable`; the next call (a retry's, say) restarts it,
    at most `restarts` times, after which `ModelError` says that it keeps dying.
    """

    def __init__(
        self,
        name: str,
        launch: Launch,
        process: ServerProcess,
        client: OpenAIModel,
        *,
        restarts: int,
        read: Callable[[Path], HFRenderer] = HFRenderer,
    ) -> None:
        """`process` is ready and `client` talks to it; `read` reads the tokenizer again after a restart."""
        self._name = name
        self._launch = launch
        self._process = process
        self._client = client
        self._restarts_left = restarts
        self._read = read
        self._restarting = asyncio.Lock()
        self._closed = False

    @property
    def name(self) -> str:
        """`vllm/NAME@hash`; without a hash where the weights are not a local folder."""
        return self._name

    @property
    def capabilities(self) -> Capabilities:
        """What the probe proved when the server was first started."""
        return self._client.capabilities

    @property
    def renderer(self) -> HFRenderer | None:
        """The model's tokenizer."""
        return self._client.renderer

    @property
    def process(self) -> ServerProcess:
        """The server that runs now."""
        return self._process

    async def complete(self, request: Request) -> tuple[Completion, ...]:
        """Sample completions, restarting the server when it was found dead before. Raises as `OpenAIModel.complete`."""
        if self._closed:
            raise ModelError(f"{self._name} is closed")
        client = await self._living()
        process = self._process
        try:
            return await client.complete(request)
        except ModelUnavailable as error:
            # A dying process can refuse connections a moment before it is seen to be gone.
            await asyncio.sleep(0.05)
            if process.alive:
                raise
            raise process.died() from error

    async def close(self) -> None:
        """Stop the server with everything it started; idempotent."""
        self._closed = True
        async with self._restarting:
            await self._client.close()
            await self._process.stop()

    async def _living(self) -> OpenAIModel:
        if self._process.alive:
            return self._client
        async with self._restarting:
            # Of many callers that find it dead, the first starts it; the others wait here and find it alive.
            if not self._process.alive:
                await self._restart()
            return self._client

    async def _restart(self) -> None:
        if self._closed:
            raise ModelError(f"{self._name} is closed")
        if self._restarts_left < 1:
            raise ModelError(f"{self._name} keeps dying. {self._process.last_words()}")
        self._restarts_left -= 1
        old, facts = self._client, self._client.facts
        await self._process.stop()
        process = ServerProcess(self._launch, log=self._process.log)
        await process.wait_ready()
        self._client = await open_openai(
            process.base_url,
            self._launch.served_name,
            api_key=process.api_key,
            facts=facts,
            tokenizer=_local(self._launch.model),
            read=self._read,
        )
        self._process = process
        await old.close()


async def open_vllm(
    model: str | Path,
    *,
    name: str | None = None,
    launch: Launch | None = None,
    python: str | Path | None = None,
    args: Sequence[str] = (),
    log: Path | None = None,
    restarts: int = 3,
    read: Callable[[Path], HFRenderer] = HFRenderer,
) -> VLLMModel:
    """Start a vLLM server for `model` and wait until it serves.

    Args:
        model: Folder or hub name.
        name: What the model is called; its folder's name by default.
        launch: Everything about the start; overrides `python` and `args`.
        python: Interpreter of vLLM's environment; see `find_python`.
        args: Further arguments of the server.
        log: Where the server's output is appended; a temporary file by default.
        restarts: How often a server that died is restarted.
        read: Reads tokenizer and template, as in `open_local`; the server is told of another template by `args`.

    Raises:
        ConfigError: There is no vLLM; the folder holds no weights, a broken template, or nothing that ends a turn.
        ModelError: The server did not start; with the end of its log.
    """
    folder = _local(str(model))
    called = name or (folder.resolve().name if folder is not None else str(model))
    if launch is None:
        launch = Launch(
            python=find_python(python),
            model=str(folder.resolve()) if folder is not None else str(model),
            served_name=called,
            device=default_device(),
            arguments=tuple(args),
        )
    identity = f"vllm/{called}" + (f"@{weights_hash(folder)}" if folder is not None else "")
    if folder is not None:
        # Better now than when the server has started.
        read(folder).check()
    process = ServerProcess(launch, log=log)
    await process.wait_ready()
    try:
        client = await open_openai(process.base_url, launch.served_name, api_key=process.api_key, tokenizer=folder, read=read)
    except BaseException:
        await process.stop()
        raise
    return VLLMModel(identity, launch, process, client, restarts=restarts, read=read)


def _local(model: str) -> Path | None:
    """The model's folder, None for a hub name."""
    folder = Path(model)
    return folder if folder.is_dir() else None
