"""Rich displays, named by media type as Jupyter does: what `display` was given, the last value, open figures."""

import base64
import builtins
import io
import json
import sys
from typing import Any

MAX_BYTES = 8 << 20
METHODS = {
    "_repr_html_": "text/html",
    "_repr_markdown_": "text/markdown",
    "_repr_svg_": "image/svg+xml",
    "_repr_png_": "image/png",
    "_repr_jpeg_": "image/jpeg",
    "_repr_latex_": "text/latex",
    "_repr_json_": "application/json",
}
_pending: list[dict[str, str]] = []
_repr = builtins.repr


def display(*objects: object) -> None:
    """Show objects richly, as in a notebook."""
    for item in objects:
        _pending.append(rich(item) or {"text/plain": _repr(item)})


def rich(item: object) -> dict[str, str]:
    """What an object says of itself beyond its repr; empty when that is nothing. A method that raises costs only its own form."""
    kind = type(item)
    if kind.__module__ == "builtins":
        return {}
    given: dict[str, Any] = {}
    if hasattr(kind, "_repr_mimebundle_"):
        bundle = _said(item, "_repr_mimebundle_")
        bundle = bundle[0] if isinstance(bundle, tuple) and bundle else bundle
        given = dict(bundle) if isinstance(bundle, dict) else {}
    for method, media in METHODS.items():
        if media not in given and hasattr(kind, method):
            said = _said(item, method)
            given[media] = said[0] if isinstance(said, tuple) and said else said
    texts = {str(media): _text(data) for media, data in given.items() if data is not None and media != "text/plain"}
    return {media: text for media, text in texts.items() if text is not None}


def _said(item: object, method: str) -> Any:
    try:
        return getattr(item, method)()
    except Exception:
        return None


def _text(data: object) -> str | None:
    if isinstance(data, str):
        return data
    if isinstance(data, bytes | bytearray):
        return base64.b64encode(data).decode()
    try:
        return json.dumps(data)
    except (TypeError, ValueError):
        return None


def value(item: object) -> None:
    """Keep what the last expression's value shows richly."""
    shown = rich(item)
    if shown:
        _pending.append(shown)


def figures() -> None:
    """Keep and close matplotlib's open figures, where the cell or one before it has loaded pyplot."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is None:
        return
    for number in pyplot.get_fignums():
        picture = io.BytesIO()
        pyplot.figure(number).savefig(picture, format="png", bbox_inches="tight")
        _pending.append({"image/png": base64.b64encode(picture.getvalue()).decode()})
    pyplot.close("all")


def take() -> bytes:
    """All that is kept, as a JSON list of at most `MAX_BYTES`; the rest is dropped. Empty when there is nothing."""
    if not _pending:
        return b""
    parts: list[bytes] = []
    size = 2
    for item in _pending:
        part = json.dumps(item).encode()
        size += len(part) + 1
        if size > MAX_BYTES:
            break
        parts.append(part)
    cut = len(parts) < len(_pending)
    _pending.clear()
    return b"[" + b",".join([*parts, b"null"] if cut else parts) + b"]"
