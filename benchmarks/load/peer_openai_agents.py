"""The orchestration task with openai-agents: asyncio, one `Runner.run` per rollout, tracing off, a pool that fits all slots."""

import asyncio
from collections.abc import Iterator

from agents import Agent, OpenAIChatCompletionsModel, Runner, function_tool, set_tracing_disabled
from openai import AsyncOpenAI, DefaultAioHttpClient, DefaultAsyncHttpxClient

try:
    from httpx2 import Limits
except ImportError:  # openai before 3
    from httpx import Limits
from task import ANSWER, MODEL, WARM_UP, Clock, Load, Spent, multiply, question, read_load, report


async def run(load: Load) -> Spent:
    """Do the load."""
    set_tracing_disabled(True)
    make = DefaultAioHttpClient if load.variant == "aiohttp" else DefaultAsyncHttpxClient
    http = make(limits=Limits(max_connections=2 * load.slots, max_keepalive_connections=2 * load.slots))
    client = AsyncOpenAI(base_url=load.url, api_key="none", max_retries=0, http_client=http)
    model = OpenAIChatCompletionsModel(model=MODEL, openai_client=client)
    tools = [function_tool(multiply)] if load.task == "tool" else []
    agent = Agent(name="bench", instructions=None, model=model, tools=tools)
    await _work(agent, iter(range(WARM_UP)), WARM_UP)
    clock = Clock()
    clock.start(load)
    correct = await _work(agent, iter(range(load.rollouts)), load.slots)
    spent = clock.stop(correct)
    await client.close()
    return spent


async def _work(agent: Agent, numbers: Iterator[int], slots: int) -> int:
    correct = 0

    async def worker() -> None:
        nonlocal correct
        for number in numbers:
            result = await Runner.run(agent, question(number))
            correct += ANSWER in str(result.final_output)

    await asyncio.gather(*(worker() for _ in range(slots)))
    return correct


if __name__ == "__main__":
    report(asyncio.run(run(read_load())))
