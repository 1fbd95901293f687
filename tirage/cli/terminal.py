"""What the command line prints: text of models, tools and files is text only, and never acts on the terminal."""

import json
import re
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

_ACTING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but tabs and line ends, changes of direction, and halves of surrogate pairs, which no terminal can be sent."""


class SafeConsole(Console):
    """A rich console without markup or highlighting, on which acting characters of the text are replaced.

    Colours and cursor movements that rich itself makes are untouched. Styles are given by `style=` or `rich.text.Text`.
    """

    def __init__(self, *, stderr: bool = False, quiet: bool = False, soft_wrap: bool = False, width: int | None = None) -> None:
        """`soft_wrap` leaves long lines to the terminal."""
        super().__init__(stderr=stderr, quiet=quiet, soft_wrap=soft_wrap, width=width, markup=False, highlight=False, emoji=False)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """As rich renders, every text made harmless."""
        for segment in super().render(renderable, options):
            acts = not segment.control and _ACTING.search(segment.text) is not None
            yield Segment(_ACTING.sub("\N{REPLACEMENT CHARACTER}", segment.text), segment.style) if acts else segment


def print_json(data: object, *, indent: int | None = None) -> None:
    """Print one JSON document, on one line without `indent`; what could act on a terminal is escaped, as JSON allows."""
    text = json.dumps(data, ensure_ascii=False, indent=indent)
    print(_ACTING.sub(lambda found: f"\\u{ord(found[0]):04x}", text))
