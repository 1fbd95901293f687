"""The orchestration task with smolagents: synchronous, so one thread and one agent per slot, one shared client."""

import threading
from collections.abc import Iterator

from openai import DefaultHttpxClient
from smolagents import LogLevel, OpenAIModel, ToolCallingAgent, tool

try:
    from httpx2 import Limits
except ImportError:  # openai before 3
    from httpx import Limits
from task import ANSWER, MODEL, WARM_UP, Clock, Load, Spent, multiply, question, read_load, report


def run(load: Load) -> Spent:
    """Do the load."""
    http = DefaultHttpxClient(limits=Limits(max_connections=2 * load.slots, max_keepalive_connections=2 * load.slots))
    model = OpenAIModel(MODEL, api_base=load.url, api_key="none", client_kwargs={"max_retries": 0, "http_client": http})
    tools = [tool(multiply)] if load.task == "tool" else []
    agents = [ToolCallingAgent(tools=tools, model=model, verbosity_level=LogLevel.OFF) for _ in range(load.slots)]
    _work(agents[:WARM_UP], iter(range(WARM_UP)))
    clock = Clock()
    clock.start(load)
    return clock.stop(_work(agents, iter(range(load.rollouts))))


def _work(agents: list[ToolCallingAgent], numbers: Iterator[int]) -> int:
    right: list[bool] = []
    guard = threading.Lock()

    def worker(agent: ToolCallingAgent) -> None:
        while True:
            with guard:
                number = next(numbers, None)
            if number is None:
                return
            right.append(ANSWER in str(agent.run(question(number))))

    threads = [threading.Thread(target=worker, args=(agent,)) for agent in agents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(right)


if __name__ == "__main__":
    report(run(read_load()))
