"""The assembled programs, run by a small BPF machine: what each system call meets on both architectures."""

import struct

import pytest

from tirage.sandbox.guest.walls import seccomp, syscalls

ALLOW, KILL, EPERM, ENOSYS = 0x7FFF0000, 0x80000000, 0x00050001, 0x00050026


def decide(program: bytes, arch: int, nr: int, *arguments: int) -> int:
    """Interpret a classic BPF program on one system call."""
    words = (arguments + (0,) * 6)[:6]
    data = struct.pack("=iIQ6Q", nr, arch, 0, *words)
    steps = list(struct.iter_unpack("=HBBI", program))
    at, value = 0, 0
    while True:
        code, yes, no, k = steps[at]
        at += 1
        if code == seccomp.RETURN:
            return k
        if code == seccomp.LOAD:
            value = struct.unpack_from("=I", data, k)[0]
            continue
        hit = {seccomp.JUMP_EQUAL: value == k, seccomp.JUMP_AT_LEAST: value >= k, seccomp.JUMP_SET: bool(value & k)}[code]
        at += yes if hit else no


MACHINES = ["x86_64", "aarch64"]


def numbers(machine: str) -> dict[str, int]:
    return {**syscalls.denied(machine), **syscalls.filtered(machine), **syscalls.signalling(machine)}


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("mount", (), EPERM),
        ("ptrace", (16,), EPERM),
        ("io_uring_setup", (), EPERM),
        ("clone3", (), ENOSYS),
        ("clone", (17,), ALLOW),
        ("clone", (0x003D0F00,), ALLOW),
        ("clone", (0x10000011,), EPERM),
        ("clone", (0x00020011,), EPERM),
        ("unshare", (0x00010000,), ALLOW),
        ("unshare", (0x10000000,), EPERM),
        ("unshare", (0,), EPERM),
        ("socket", (1, 1), ALLOW),
        ("socket", (2, 1), EPERM),
        ("socket", (16, 3), EPERM),
        ("prctl", (38, 1), ALLOW),
        ("prctl", (36, 0), ALLOW),
        ("prctl", (4, 1), EPERM),
        ("prlimit64", (0, 7), ALLOW),
        ("prlimit64", (123, 7), EPERM),
        ("sched_setaffinity", (0,), ALLOW),
        ("sched_setaffinity", (9,), EPERM),
        ("setpriority", (0, 0, 5), ALLOW),
        ("setpriority", (0, 9, 5), EPERM),
        ("setpriority", (2, 0, 5), EPERM),
        ("ioctl", (0, 0x5401), ALLOW),
        ("ioctl", (0, 0x5412), EPERM),
        ("ioctl", (0, 0x541C), EPERM),
        ("kill", (1, 9), ALLOW),
    ],
)
def test_decisions(machine: str, name: str, arguments: tuple[int, ...], expected: int) -> None:
    program = seccomp.assemble(machine, unix_sockets=True)
    assert decide(program, syscalls.AUDIT_ARCH[machine], numbers(machine)[name], *arguments) == expected


@pytest.mark.parametrize("machine", MACHINES)
def test_every_denied_call_is_refused_and_read_write_are_not(machine: str) -> None:
    program = seccomp.assemble(machine, unix_sockets=True)
    arch = syscalls.AUDIT_ARCH[machine]
    for name, nr in syscalls.denied(machine).items():
        assert decide(program, arch, nr) == EPERM, name
    for nr in {"x86_64": (0, 1, 9, 57, 59, 231), "aarch64": (63, 64, 222, 221, 94)}[machine]:
        assert decide(program, arch, nr) == ALLOW


def test_foreign_architectures_and_x32_are_killed() -> None:
    program = seccomp.assemble("x86_64", unix_sockets=True)
    assert decide(program, syscalls.AUDIT_ARCH["aarch64"], 0) == KILL
    assert decide(program, 0x40000003, 0) == KILL
    assert decide(program, syscalls.AUDIT_ARCH["x86_64"], 0x40000000 + 39) == KILL


@pytest.mark.parametrize("machine", MACHINES)
def test_options(machine: str) -> None:
    arch, table = syscalls.AUDIT_ARCH[machine], numbers(machine)
    closed = seccomp.assemble(machine, unix_sockets=False, signals=False)
    assert decide(closed, arch, table["socket"], 1, 1) == EPERM
    for name in syscalls.signalling(machine):
        assert decide(closed, arch, table[name], 1, 9) == EPERM


def test_numbers_match_the_system_headers() -> None:
    from pathlib import Path

    headers = {"x86_64": "/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "aarch64": "/usr/include/asm-generic/unistd.h"}
    checked = 0
    for machine, path in headers.items():
        if not Path(path).exists():
            continue
        defined = {}
        for line in Path(path).read_text().splitlines():
            words = line.split()
            if len(words) == 3 and words[0] == "#define" and words[1].startswith(("__NR_", "__NR3264_")) and words[2].isdigit():
                defined[words[1].removeprefix("__NR_").removeprefix("__NR3264_")] = int(words[2])
        for name, nr in numbers(machine).items():
            if name in defined:
                assert defined[name] == nr, (machine, name)
                checked += 1
    if not checked:
        pytest.skip("no kernel headers; install linux-libc-dev")
