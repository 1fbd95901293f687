"""Fewer, larger pages under the preloaded modules: a fork copies one page table entry for 2 MB instead of 512."""

import ctypes

MADV_COLLAPSE = 25
_libc = ctypes.CDLL(None, use_errno=True)
_libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)


def collapse() -> int:
    """Have the kernel (6.1 or newer) put this process's heap on huge pages; returns how many it made.

    A saving, never a need: what cannot be collapsed stays as it is. A branch that writes to a huge page copies 4 kB of it.
    """
    try:
        with open("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size", encoding="ascii") as file:
            size = int(file.read())
        with open("/proc/self/maps", encoding="utf-8", errors="replace") as file:
            lines = [line.split(maxsplit=5) for line in file]
    except (OSError, ValueError):
        return 0
    made = 0
    for fields in lines:
        if fields[1] == "rw-p" and (len(fields) < 6 or fields[5].strip() == "[heap]"):
            start, end = (int(part, 16) for part in fields[0].split("-"))
            first = -(-start // size) * size
            made += sum(not _libc.madvise(place, size, MADV_COLLAPSE) for place in range(first, end - size + 1, size))
    return made
