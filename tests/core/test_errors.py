import asyncio
import inspect

import pytest

from tirage.core import errors
from tirage.core.errors import (
    CapabilityError,
    ConfigError,
    DataError,
    MissingExtra,
    ModelError,
    ModelRateLimited,
    ModelUnavailable,
    SandboxError,
    TirageError,
    ToolError,
    TrainingError,
    VerifierError,
    boundary,
)

FAMILY = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, TirageError)]


@pytest.mark.parametrize(
    ("kind", "code"),
    [(ConfigError, 2), (DataError, 3), (ModelError, 4), (SandboxError, 5), (TrainingError, 6), (ToolError, 1), (VerifierError, 1)],
)
def test_exit_codes_are_documented_and_inherited(kind, code):
    assert kind.exit_code == code
    assert all(sub.exit_code == code for sub in FAMILY if issubclass(sub, kind))
    assert f"|- {kind.__name__}" in errors.__doc__ or f"`- {kind.__name__}" in errors.__doc__


def test_every_error_is_in_the_tree_that_the_docs_show():
    for kind in FAMILY:
        assert kind.__name__ in errors.__doc__


@pytest.mark.parametrize(
    ("name", "kind"), [("model", ModelError), ("tool", ToolError), ("sandbox", SandboxError), ("verifier", VerifierError)]
)
def test_a_foreign_exception_becomes_the_boundarys_own(name, kind):
    with pytest.raises(kind, match=f"{name} failed: KeyError: 'x'") as caught, boundary(name):
        raise KeyError("x")
    assert type(caught.value) is kind
    assert caught.value.boundary == name
    assert isinstance(caught.value.__cause__, KeyError)


def test_a_tirage_error_keeps_its_type_and_its_first_stamp():
    with pytest.raises(ModelUnavailable) as caught, boundary("tool"), boundary("model"):
        raise ModelUnavailable("down")
    assert caught.value.boundary == "model"
    assert str(caught.value) == "down"
    assert caught.value.__cause__ is None


def test_an_outer_boundary_does_not_restamp_a_converted_error():
    with pytest.raises(SandboxError) as caught, boundary("tool"), boundary("sandbox"):
        raise OSError("gone")
    assert caught.value.boundary == "sandbox"


@pytest.mark.parametrize("kind", [asyncio.CancelledError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_cancellation_and_exits_pass(kind):
    with pytest.raises(kind), boundary("model"):
        raise kind


async def test_a_cancelled_task_stays_cancelled_through_a_boundary():
    async def wait():
        with boundary("model"):
            await asyncio.sleep(60)

    task = asyncio.ensure_future(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_nothing_happens_when_nothing_fails():
    with boundary("model"):
        value = 1
    assert value == 1


def test_messages_name_the_remedy():
    assert str(MissingExtra("torch", "local")) == "torch is not installed; install it with: pip install 'tirage[local]'"
    assert ModelRateLimited("slow down", retry_after_s=2.5).retry_after_s == 2.5
    assert ModelRateLimited("slow down").retry_after_s is None
    assert CapabilityError("x").boundary is None
