"""Text that nobody vouches for, made harmless for the form it is drawn in."""

from collections.abc import Sequence
from html import escape

_CONTROL = {code: " " for code in [*range(0x20), 0x7F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]}


def clean(text: str) -> str:
    """No control characters, no direction overrides, no half surrogate pairs."""
    return text.translate(_CONTROL).encode("utf-8", "replace").decode("utf-8")


def for_dot(lines: Sequence[str]) -> str:
    """What stands between the quotes of a Graphviz label."""
    return "\\n".join(clean(line).replace("\\", "\\\\").replace('"', '\\"') for line in lines)


def for_mermaid(lines: Sequence[str]) -> str:
    """What stands between the quotes of a Mermaid label."""
    return "<br/>".join("".join(f"#{ord(char)};" if char in '"#<>&;`|[]{}()\\' else char for char in clean(line)) for line in lines)


def for_html(text: str) -> str:
    """Element content and quoted attributes."""
    return escape(clean(text), quote=True)
