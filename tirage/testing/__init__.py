"""Shipped doubles and conformance suites, for tests of tirage and of whatever is built on it.

A suite tries what a port promises on an object of yours, and `require` fails naming what does not hold:

    from tirage.testing import check_strategy, require

    def test_my_search():
        require(check_strategy(MySearch))

`check_strategy`, `check_recipe` and `check_embedder` are plain functions; `check_model`, `check_sandbox`, `check_system`, `check_tool` and
`check_verifier` are awaited.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tirage.testing.suites.embedders import check_embedder
    from tirage.testing.suites.findings import Finding, require
    from tirage.testing.suites.models import check_model
    from tirage.testing.suites.recipes import check_recipe
    from tirage.testing.suites.sandboxes import check_sandbox
    from tirage.testing.suites.strategies import check_strategy
    from tirage.testing.suites.systems import check_system
    from tirage.testing.suites.tools import check_tool
    from tirage.testing.suites.verifiers import check_verifier

__all__ = [
    "Finding",
    "check_embedder",
    "check_model",
    "check_recipe",
    "check_sandbox",
    "check_strategy",
    "check_system",
    "check_tool",
    "check_verifier",
    "require",
]
_HOMES = {
    "Finding": "findings",
    "require": "findings",
    "check_embedder": "embedders",
    "check_model": "models",
    "check_recipe": "recipes",
    "check_sandbox": "sandboxes",
    "check_strategy": "strategies",
    "check_system": "systems",
    "check_tool": "tools",
    "check_verifier": "verifiers",
}


def __getattr__(name: str) -> Any:
    """A suite is imported when it is asked for: each needs the room that it checks, and the doubles need none of them."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"tirage.testing.suites.{_HOMES[name]}"), name)
