"""The way out of a box whose sandbox has a network allow-list: a listener in the box's own network, served by the host."""

import fcntl
import socket
import struct

PORT = 3128
URL = f"http://127.0.0.1:{PORT}"
ENVIRONMENT = {name: URL for lower in ("http_proxy", "https_proxy") for name in (lower, lower.upper())}
BACKLOG = 64
SIOCSIFFLAGS, IFF_UP = 0x8914, 1


def listen() -> socket.socket:
    """Switch the loopback device of this network namespace on and listen there. Raises `OSError`."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    fcntl.ioctl(listener, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
    listener.bind(("127.0.0.1", PORT))
    listener.listen(BACKLOG)
    return listener
