"""Prompts: system messages that explain a dialect to models which were not trained on it, from files.

A file `FOLDER/NAME.md` is a template of `str.format`; the newline at its end is not part of it.
"""

from functools import cache, partial
from importlib import resources

TOOL_INTEGRATED_REASONING = (
    "Solve the problem step by step, mixing reasoning in words with Python. When code helps, write it in a ```python block "
    "that prints what you need, and close the block: what it printed then follows in an ```output block, and you go on from "
    "there. Variables persist between blocks. Put the final answer in \\boxed{}."
)
"""For the fenced dialect, after the prompt style of ToRA (arXiv 2309.17452) and Qwen2.5-Math TIR (arXiv 2409.12122)."""

TOOL_CALLING = (
    "Solve the problem step by step. Call the python tool whenever exact computation helps; print what you need to see. "
    "Put the final answer in \\boxed{}."
)
"""For native tool calls."""

REASONING = "Solve the problem step by step. Put the final answer in \\boxed{}."
"""Without tools."""

SHIPPED = {"tool-integrated-reasoning": TOOL_INTEGRATED_REASONING, "tool-calling": TOOL_CALLING, "reasoning": REASONING}
"""By the name under which a configuration asks for them."""


@cache
def template(package: str, folder: str, name: str) -> str:
    """The template `folder/NAME.md` beside the module of a package, `__package__` of it."""
    return resources.files(package).joinpath(folder, f"{name}.md").read_text(encoding="utf-8").removesuffix("\n")


prompt = partial(template, __package__)
"""A template of this package, as it stands in its file."""
