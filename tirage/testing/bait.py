"""What hostile cells are after: a file, sockets, a directory and a variable of the host, made for the time of a check."""

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path


@contextmanager
def bait() -> Iterator[dict[str, str]]:
    """Set it out; the mapping fills the placeholders of `hostile.ATTACKS`. Linux."""
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="canary-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        folder.chmod(0o755)
        canary = folder / "canary.txt"
        canary.write_text("secret", encoding="ascii")
        canary.chmod(0o644)
        name = f"tirage-canary-{os.getpid()}"
        named, abstract, tcp = (stack.enter_context(socket.socket(family)) for family in (socket.AF_UNIX, socket.AF_UNIX, socket.AF_INET))
        named.bind(f"{canary}.sock")
        os.chmod(f"{canary}.sock", 0o777)
        abstract.bind(f"\0{name}")
        tcp.bind(("127.0.0.1", 0))
        for listener in (named, abstract, tcp):
            listener.listen(8)
        hostdir = Path(tempfile.gettempdir()) / name
        hostdir.mkdir()
        stack.callback(hostdir.rmdir)
        os.environ["TIRAGE_CANARY"] = "secret"
        stack.callback(os.environ.pop, "TIRAGE_CANARY", None)
        yield {"CANARY": str(canary), "ABSTRACT": name, "PORT": str(tcp.getsockname()[1]), "HOSTDIR": name}
