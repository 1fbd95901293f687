"""Text that nobody vouches for, made harmless for the form it is drawn in."""

import re
from collections.abc import Sequence
from html import escape

_MERMAID_ENTITIES = {ord(char): f"#{ord(char)};" for char in '"#&;<>`'}
_MERMAID_WORDS = re.compile(r"\\(?=n)|\$(?=\$)|:(?=fa-)|styl(?=e)|classDe(?=f)")
_CONTROL = {code: " " for code in [*range(0x20), 0x7F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]}


def clean(text: str) -> str:
    """No control characters, no direction overrides, no half surrogate pairs."""
    return text.translate(_CONTROL).encode("utf-8", "replace").decode("utf-8")


def for_dot(lines: Sequence[str]) -> str:
    """What stands between the quotes of a Graphviz label, where entities and backslashes are read too."""
    return "\\n".join(clean(line).replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"') for line in lines)


def for_mermaid(lines: Sequence[str]) -> str:
    """What stands between the quotes of a Mermaid label."""
    # Mermaid acts on some words even where entities hide their characters; a zero-width space parts those.
    return "<br/>".join(_MERMAID_WORDS.sub("\\g<0>\u200b", clean(line)).translate(_MERMAID_ENTITIES) for line in lines)


def for_html(text: str) -> str:
    """Element content and quoted attributes."""
    return escape(clean(text), quote=True)
