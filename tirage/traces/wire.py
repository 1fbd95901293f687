"""One rollout, one line: the text form of a stored record.

Key and stage come first in a line, so that a scan learns what a file holds without decoding it.
"""

import json
import math
import re
from typing import Any

from tirage.core.codec import SCHEMA_VERSION, decode, encode
from tirage.core.errors import DataError
from tirage.core.rollout import Rollout
from tirage.traces.base import RecordKind
from tirage.traces.migrate import upgrade

_STRING = rb'"((?:[^"\\]|\\.)*)"'
_HEAD = re.compile(rb'\{"v":(\d+),"kind":"(\w+)","key":' + _STRING + rb',"stage":' + _STRING + rb"[,}]")
_FIELDS = frozenset({"v", "kind"})

_dumps = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), check_circular=False).encode
_dumps_ascii = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":"), check_circular=False).encode


def to_line(rollout: Rollout) -> bytes:
    """Encode `rollout` as UTF-8 JSON with its newline.

    Numbers that JSON lacks become the strings "NaN", "Infinity" and "-Infinity", which read back as floats
    wherever a field is a float. Raises `TypeError` for values that JSON cannot hold (say, bytes in
    `Observation.data`).
    """
    record = {"v": SCHEMA_VERSION, "kind": RecordKind.ROLLOUT.value, **encode(rollout)}
    try:
        text = _dumps(record)
    except ValueError:
        record = without_infinities(record)
        text = _dumps(record)
    try:
        return text.encode() + b"\n"
    except UnicodeEncodeError:
        # Half of a surrogate pair, as a byte-level decoder can produce: valid in JSON only when escaped.
        return _dumps_ascii(record).encode() + b"\n"


def from_line(line: bytes) -> Rollout:
    """Decode one line. Raises `DataError` without a place; the caller knows file and offset."""
    try:
        record = json.loads(line)
    except ValueError as error:
        raise DataError(f"not a JSON record ({error})") from error
    if not isinstance(record, dict):
        raise DataError(f"expected a JSON object, found {type(record).__name__}")
    record = upgrade(record)
    if record.get("kind") != RecordKind.ROLLOUT:
        raise DataError(f"unknown record kind {record.get('kind')!r}; known: {', '.join(RecordKind)}")
    rollout = decode(Rollout, {name: value for name, value in record.items() if name not in _FIELDS})
    _check_tree(rollout)
    return rollout


def peek(line: bytes) -> tuple[str, str]:
    """Key and stage of a line, in the common case without parsing it. Raises `DataError` like `from_line`."""
    head = _HEAD.match(line)
    if head is not None and int(head[1]) == SCHEMA_VERSION and head[2] == b"rollout" and line.endswith(b"}\n"):
        return _unquote(head[3]), _unquote(head[4])
    rollout = from_line(line)
    return rollout.key, rollout.stage


def _unquote(raw: bytes) -> str:
    if b"\\" in raw:
        text: str = json.loads(b'"' + raw + b'"')
        return text
    return raw.decode()


def _check_tree(rollout: Rollout) -> None:
    tree = rollout.tree
    count = len(tree.nodes)
    if not len(tree.children) == len(tree.visits) == len(tree.value_sum) == count:
        raise DataError(f"rollout {rollout.key!r}: tree lists disagree in length with its {count} nodes")
    for place, node in enumerate(tree.nodes):
        if node.index != place or not (0 <= node.parent < place or (place == 0 and node.parent == -1)):
            raise DataError(f"rollout {rollout.key!r}: node {place} has index {node.index} and parent {node.parent}")
    for chosen in (rollout.chosen, tree.chosen):
        if not 0 <= chosen < count:
            raise DataError(f"rollout {rollout.key!r}: chosen node {chosen} is not among its {count} nodes")
    for index in rollout.verdicts:
        if not 0 <= index < count:
            raise DataError(f"rollout {rollout.key!r}: verdict on node {index}, which is not among its {count} nodes")


def without_infinities(value: Any) -> Any:
    """Spell non-finite floats in JSON data out, in place: "NaN", "Infinity", "-Infinity". Returns the data."""
    box = [value]
    todo: list[Any] = [box]
    while todo:
        parent = todo.pop()
        items = list(parent.items()) if isinstance(parent, dict) else list(enumerate(parent))
        for place, item in items:
            if isinstance(item, float) and not math.isfinite(item):
                parent[place] = "NaN" if math.isnan(item) else "Infinity" if item > 0 else "-Infinity"
            elif isinstance(item, (dict, list)):
                todo.append(item)
    return box[0]
