"""Small pieces of HTML. Every text that comes from a report passes `escape` here."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape as _escape
from typing import Any

from tirage.evaluation.figures import scalar

_INVISIBLE = {code: None for code in [*range(0x09), 0x0B, 0x0C, *range(0x0E, 0x20), 0x7F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]}
"""Control characters, which HTML forbids, and direction overrides, which can make a text read as another."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A table cell: what is shown and what the column sorts by."""

    text: str
    order: float | str | None = None
    """None: sorts as its text; numbers that are unknown stay last."""
    css: str = ""


def escape(text: object) -> str:
    """Escape for element content and for quoted attributes."""
    return _escape(str(text).translate(_INVISIBLE), quote=True)


def table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[Cell]], *, note: str = "") -> str:
    """A table whose columns sort by click or Enter. The first column names the row, the others are numbers."""
    heads = "".join(
        f'<th scope="col"{"" if index == 0 else " class=num"}><button type="button">{escape(column)}</button></th>'
        for index, column in enumerate(columns)
    )
    body = "".join(f"<tr>{''.join(_cell(cell, first=index == 0) for index, cell in enumerate(row))}</tr>" for row in rows)
    foot = f'<p class="note">{escape(note)}</p>' if note else ""
    return (
        f'<div class="scroll"><table class="sortable"><caption>{escape(caption)}</caption>'
        f"<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>{foot}"
    )


def pairs(caption: str, rows: Mapping[str, Any]) -> str:
    """A table of keys and values."""
    body = "".join(f'<tr><th scope="row">{escape(key)}</th><td>{escape(scalar(value))}</td></tr>' for key, value in rows.items())
    return f'<div class="card"><h3>{escape(caption)}</h3><table class="pairs"><tbody>{body}</tbody></table></div>'


def section(anchor: str, title: str, *blocks: str, lead: str = "") -> str:
    """A titled section; empty when no block has content."""
    content = "".join(blocks)
    if not content:
        return ""
    intro = f'<p class="lead">{escape(lead)}</p>' if lead else ""
    return f'<section aria-labelledby="{escape(anchor)}"><h2 id="{escape(anchor)}">{escape(title)}</h2>{intro}{content}</section>'


def tile(label: str, value: str, detail: str = "") -> str:
    """A key figure."""
    small = f'<span class="detail">{escape(detail)}</span>' if detail else ""
    return f'<div class="tile"><span class="label">{escape(label)}</span><span class="value">{escape(value)}</span>{small}</div>'


def _cell(cell: Cell, *, first: bool) -> str:
    order = "" if cell.order is None else f' data-order="{escape(cell.order)}"'
    if first:
        return f'<th scope="row"{order}>{escape(cell.text)}</th>'
    css = f"num {cell.css}".strip()
    return f'<td class="{escape(css)}"{order}>{escape(cell.text)}</td>'
