"""Packets between host and guest: one JSON object each, kept apart by the kernel (SOCK_SEQPACKET)."""

import json
import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any

# Below the size from which malloc maps fresh memory for each receive; longer code travels in a file.
MAX_PACKET = 60_000
MAX_FDS = 4
encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def send(channel: socket.socket, message: Mapping[str, Any], fds: Sequence[int] = ()) -> None:
    """Send one packet. Raises `OSError` when the other side is gone."""
    data = encode(message).encode("utf-8", "replace")
    if fds:
        socket.send_fds(channel, [data], fds)
    else:
        channel.send(data)


def receive(channel: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Wait for one packet and its descriptors. Raises `EOFError` when the other side is gone."""
    data, fds, _, _ = socket.recv_fds(channel, MAX_PACKET, MAX_FDS)
    if not data:
        raise EOFError
    for fd in fds:
        os.set_inheritable(fd, False)
    return json.loads(data), list(fds)


def close_all(fds: Sequence[int]) -> None:
    """Close descriptors that came with a packet."""
    for fd in fds:
        os.close(fd)
