"""A stand-in for a Windows pipe."""

import socket


class Pipe:
    """A socket that asyncio does not know as one, as a Windows pipe is."""

    def __init__(self, end: socket.socket) -> None:
        self.recv, self.sendall = end.recv, end.sendall
