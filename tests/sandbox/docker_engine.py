"""Whether this machine has what the tests of the docker back end need."""

import functools
import gc
import os
import platform
import warnings

import docker

from tirage.sandbox.docker.engine import LABEL

IMAGE = os.environ.get("TIRAGE_IMAGE", "tirage-python")


@functools.cache
def missing() -> str:
    """Why these tests cannot run here, with the remedy; empty when they can."""
    try:
        with_engine = api()
    except docker.errors.DockerException as error:
        error.__traceback__ = error.__context__ = error.__cause__ = None
        forget_unconnected()
        return "no Docker engine answers; run scripts/docker_engine.sh"
    try:
        with_engine.inspect_image(IMAGE)
    except docker.errors.ImageNotFound:
        return f"the engine has no image {IMAGE}; run scripts/docker_image.sh {IMAGE}"
    finally:
        with_engine.close()
    return ""


def forget_unconnected() -> None:
    """The client library does not close a socket that it could not connect."""
    with warnings.catch_warnings(action="ignore"):
        gc.collect()


def api() -> docker.APIClient:
    """A client of the tests' own."""
    return docker.APIClient(**docker.utils.kwargs_from_env(), version="auto")


def containers(pid: int | None = None) -> list[str]:
    """Containers that a process of this machine has made: this one, or the one of `pid`."""
    client = api()
    try:
        owner = f"{platform.node()}:{pid or os.getpid()}:"
        found = client.containers(all=True, filters={"label": LABEL})
        return [item["Id"] for item in found if item["Labels"][LABEL].startswith(owner)]
    finally:
        client.close()


def running(container: str) -> list[int]:
    """Pids, as the engine's machine numbers them, of a container's processes that are not zombies."""
    client = api()
    try:
        table = client.top(container, ps_args="-eo pid,stat")["Processes"]
    finally:
        client.close()
    return sorted(int(pid) for pid, state in table if state[0] not in "ZX")
