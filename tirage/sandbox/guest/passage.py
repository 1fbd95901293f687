"""A way to the interpreter's files for a user who may not walk there: descriptors opened while still allowed.

Root's interpreter often lies below a directory that only root may enter (/root/.pyenv, /root/.local/share/uv). Where there
is no mount namespace to show it elsewhere, the sandbox user reaches the open directories through /proc/self/fd.
"""

import os
import sys
from collections.abc import Iterable


def open_all(paths: Iterable[str]) -> dict[str, int]:
    """Open existing directories; the caller may still walk to them."""
    return {path: os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC) for path in dict.fromkeys(paths) if os.path.isdir(path)}


def keep_needed(doors: dict[str, int]) -> dict[str, str]:
    """After the change of user: what cannot be walked to any more, and the path through which it is reached now."""
    ways = {}
    for path, fd in doors.items():
        if os.access(path, os.R_OK | os.X_OK):
            os.close(fd)
        else:
            ways[path] = f"/proc/self/fd/{fd}"
    return ways


def redirect(ways: dict[str, str]) -> None:
    """Let imports, also of submodules of what is loaded, take the new ways."""
    if not ways:
        return
    tops = sorted(ways, key=len, reverse=True)

    def moved(path: str) -> str:
        top = next((top for top in tops if path == top or path.startswith(top + "/")), None)
        return path if top is None else ways[top] + path[len(top) :]

    sys.path[:] = [moved(path) for path in sys.path]
    for module in list(sys.modules.values()):
        for holder, name in ((module, "__path__"), (getattr(module, "__spec__", None), "submodule_search_locations")):
            places = getattr(holder, name, None)
            if isinstance(places, list):
                places[:] = [moved(place) for place in places]
        file = getattr(module, "__file__", None)
        if isinstance(file, str):
            module.__file__ = moved(file)
    sys.path_importer_cache.clear()
