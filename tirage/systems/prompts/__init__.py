"""The published systems' prompts, `SYSTEM/ROLE.md`: templates of `str.format`."""

from functools import partial

from tirage.agents.prompts import template

prompt = partial(template, __package__)
"""A template of a published system, as it stands in its file: `prompt("lats", "rate")`."""
