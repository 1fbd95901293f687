"""Hostile cells. Each prints ESCAPED when it got what it was after; the expected outcomes are what containment looks like."""

from dataclasses import dataclass, field

from tirage.sandbox import ExecFailure as F

DONE = None
SOFT = (F.TIMEOUT_SOFT, F.TIMEOUT_KILLED)
REFUSED = (F.ERROR, DONE)
LOST = (F.EXIT, F.SIGNAL, F.CHANNEL, F.TIMEOUT_KILLED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """A cell and the outcomes (failure kinds, None for a normal end) that count as contained."""

    name: str
    code: str
    ends: tuple[F | None, ...] = REFUSED
    wall_s: float = 3.0
    rungs: tuple[int, ...] = (1, 2)
    """Where it is contained by promise."""
    open_in: tuple[str, ...] = ()
    """Back ends that let it through, by declaration."""
    reason: str = field(default="")
    """Why a rung or a back end lets it through."""


def guarded(body: str) -> str:
    """A cell that tries `body` and takes a refusal quietly."""
    lines = "\n".join("    " + line for line in body.strip().splitlines())
    return f"import ctypes, os, socket, signal, sys\nlibc = ctypes.CDLL(None, use_errno=True)\ntry:\n{lines}\nexcept OSError as e:\n    print('refused', e)"


def syscall(nr: int, *arguments: str) -> str:
    """A cell that makes one x86-64 system call and reports success as an escape."""
    words = ", ".join(("ctypes.c_long(%d)" % nr, *arguments))
    return guarded(f"r = libc.syscall({words})\nprint('ESCAPED' if r >= 0 else 'refused')")


PROCESSES = (
    Attack(
        name="fork bomb",
        code="import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
        ends=(*SOFT, *LOST, F.ERROR),
        wall_s=1.0,
    ),
    Attack(name="fork without end in one line", code="import os\nfor _ in range(10**6): os.fork()", ends=(*REFUSED, *SOFT, *LOST)),
    Attack(name="zombies", code="import os\nfor _ in range(300):\n    if not os.fork(): os._exit(0)", ends=(F.ERROR, DONE)),
    Attack(
        name="setsid daemon",
        code="import os, time\nif not os.fork():\n    os.setsid()\n    if not os.fork():\n        time.sleep(1000)\n    os._exit(0)\ntime.sleep(0.2)",
        ends=(DONE,),
    ),
    Attack(
        name="daemon that holds the channel while its parent dies",
        code="import os, time\nif not os.fork():\n    os.setsid(); time.sleep(1000)\nos._exit(0)",
        ends=(F.EXIT,),
    ),
    Attack(
        name="threads without end",
        code="import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(99,)).start()",
        ends=(*SOFT, F.ERROR, F.FORK_DENIED, *LOST),
        wall_s=1.0,
    ),
    Attack(name="kill everything", code=guarded("os.kill(-1, 9); print('ok')"), ends=(*REFUSED, *LOST)),
    Attack(name="kill the parent", code=guarded("os.kill(os.getppid(), 9); print('ESCAPED')")),
    Attack(name="kill the process group", code=guarded("os.killpg(0, 9)"), ends=(*REFUSED, *LOST)),
    Attack(name="kill pid 1", code=guarded("os.kill(1, 9); print('sent')"), reason="pid 1 of a namespace cannot be killed from inside"),
    Attack(
        name="kill by number",
        code="import os\nhit = 0\nfor pid in range(2, 40000):\n    if pid != os.getpid():\n        try: os.kill(pid, 9); hit += 1\n        except OSError: pass\nprint('ESCAPED' if hit else 'none')",
        ends=(DONE, *SOFT),
    ),
    Attack(
        name="stop siblings",
        code="import os\nhit = 0\nfor pid in range(2, 40000):\n    if pid != os.getpid():\n        try: os.kill(pid, 19); hit += 1\n        except OSError: pass\nprint('ESCAPED' if hit else 'none')",
        ends=(DONE, *SOFT),
    ),
    Attack(
        name="lower the limits of others",
        code="import os, resource\nhit = 0\nfor pid in range(1, 40000):\n    if pid != os.getpid():\n        try: resource.prlimit(pid, resource.RLIMIT_CPU, (0, 0)); hit += 1\n        except OSError: pass\nprint('ESCAPED' if hit else 'none')",
        ends=(DONE, *SOFT),
    ),
    Attack(name="pidfd of the parent", code=guarded("fd = os.pidfd_open(os.getppid()); signal.pidfd_send_signal(fd, 9); print('ESCAPED')")),
)

RESOURCES = (
    Attack(
        name="memory over children",
        code="import os, time\nfor _ in range(4):\n    if not os.fork():\n        b = bytearray(300 << 20); time.sleep(1); os._exit(0)\nn = sum(os.wait()[1] == 0 for _ in range(4))\nprint('ESCAPED' if n == 4 else 'bounded')",
        ends=(DONE, F.ERROR, F.MEMORY, F.SIGNAL),
        wall_s=6.0,
        open_in=("jupyter",),
        reason="the limits of a kernel are its own, and not its children's together",
    ),
    Attack(
        name="folders nested beyond any stack",
        code="import os\ntry:\n    for _ in range(1500): os.mkdir('d'); os.chdir('d')\nexcept OSError as e: print('refused', e)",
        ends=(DONE, *SOFT),
    ),
    Attack(name="one big block", code="b'x' * (8 << 30)", ends=(F.MEMORY,)),
    Attack(name="many blocks", code="x = []\nwhile True: x.append(bytearray(1 << 20))", ends=(F.MEMORY,)),
    Attack(name="shared mapping", code="import mmap\nm = mmap.mmap(-1, 8 << 30)\nprint('ESCAPED')", ends=(F.ERROR, F.MEMORY)),
    Attack(name="memory file", code=guarded("os.memfd_create('x'); print('ESCAPED')")),
    Attack(name="system v memory", code=syscall(29, "0", "ctypes.c_long(1 << 30)", "0o1666")),
    Attack(name="10 GB file", code="with open('f', 'wb') as f:\n    while True: f.write(bytes(1 << 20))", ends=(F.DISK,)),
    Attack(name="sparse file", code="with open('f', 'wb') as f: f.truncate(1 << 40)", ends=(F.DISK,)),
    Attack(
        name="many files",
        code="for n in range(10**6):\n    with open(f'f{n}', 'wb') as f: f.write(bytes(1 << 16))",
        ends=(F.DISK, *SOFT),
        wall_s=5.0,
        rungs=(1,),
        reason="rung 2 has no mount namespace and so no size for the sum of all files",
    ),
    Attack(
        name="fill shm",
        code=guarded("f = open('/dev/shm/f', 'wb')\nfor _ in range(100): f.write(bytes(1 << 20))\nprint('ESCAPED')"),
        ends=(DONE, F.DISK),
    ),
    Attack(
        name="raise limits", code="import resource\nresource.setrlimit(resource.RLIMIT_AS, (-1, -1))\nprint('ESCAPED')", ends=(F.ERROR,)
    ),
    Attack(name="endless loop", code="while True: pass", ends=(F.TIMEOUT_SOFT,), wall_s=0.3),
    Attack(
        name="loop that eats exceptions",
        code="while True:\n    try:\n        while True: x = 1\n    except BaseException: pass",
        ends=SOFT,
        wall_s=0.3,
    ),
    Attack(name="c loop", code="sum(range(10**12))", ends=(F.TIMEOUT_KILLED,), wall_s=0.3),
    Attack(name="big power", code="10**10**8 % 7", ends=SOFT, wall_s=0.3),
    Attack(name="backtracking", code="import re\nre.match('(a+)+$', 'a' * 40 + 'b')", ends=SOFT, wall_s=0.3),
    Attack(
        name="lock for ever",
        code="import threading\nthreading.Lock().acquire() and threading.Lock()\nl = threading.Lock(); l.acquire(); l.acquire()",
        ends=SOFT,
        wall_s=0.3,
    ),
    Attack(
        name="all signals ignored",
        code="import signal\nfor n in range(1, 32):\n    try: signal.signal(n, signal.SIG_IGN)\n    except (OSError, ValueError): pass\nwhile True: pass",
        ends=(F.TIMEOUT_KILLED,),
        wall_s=0.3,
    ),
    Attack(name="stop itself", code="import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)", ends=(F.TIMEOUT_KILLED,), wall_s=0.3),
    Attack(name="output flood", code="while True: print('x' * 1000)", ends=(F.OUTPUT,), wall_s=10.0),
    Attack(
        name="output flood that eats the stop",
        code="while True:\n    try: print('x' * 1000)\n    except BaseException: pass",
        ends=SOFT,
        wall_s=0.5,
    ),
    Attack(
        name="output flood of a child",
        code="import subprocess\nsubprocess.run(['/bin/sh', '-c', 'while true; do echo xxxxxxxxxxxxxxxxxxxxx; done'])",
        ends=(*SOFT, DONE),
        wall_s=0.5,
    ),
    Attack(name="alarm left armed", code="import signal\nsignal.setitimer(signal.ITIMER_REAL, 0.05)", ends=(DONE,)),
)

READING = (
    Attack(name="shadow", code=guarded("print('ESCAPED', open('/etc/shadow').read()[:9])")),
    Attack(name="host file", code=guarded("print('ESCAPED', open('@CANARY@').read())")),
    Attack(name="root's home", code=guarded("print(os.listdir('/root')); os.listdir('/root/.ssh'); print('ESCAPED')")),
    Attack(name="host names", code=guarded("print('ESCAPED' if '@HOSTDIR@' in ' '.join(os.listdir('/tmp')) else 'none')")),
    Attack(name="environment", code="import os\nprint('ESCAPED' if 'TIRAGE_CANARY' in os.environ else 'none')", ends=(DONE,)),
    Attack(
        name="environment of others",
        code="import os\nfor pid in range(1, 40000):\n    try:\n        if b'TIRAGE_CANARY' in open(f'/proc/{pid}/environ', 'rb').read(): print('ESCAPED')\n    except OSError: pass",
        ends=(DONE, *SOFT),
        wall_s=5.0,
    ),
    Attack(
        name="memory of others",
        code="import os\nfor pid in range(1, 40000):\n    if pid != os.getpid():\n        try: open(f'/proc/{pid}/mem', 'rb'); print('ESCAPED')\n        except OSError: pass",
        ends=(DONE, *SOFT),
        wall_s=5.0,
    ),
    Attack(name="old root", code=guarded("print(os.listdir('/.host')); print('ESCAPED')")),
    Attack(name="root of pid 1", code=guarded("print(os.listdir('/proc/1/root/root')); print('ESCAPED')")),
    Attack(name="link to a host file", code=guarded("os.symlink('/etc/shadow', 'l')\nprint('ESCAPED', open('l').read()[:9])")),
    Attack(
        name="host descriptors",
        code="import os\nfor fd in range(3, 512):\n    try:\n        n = os.readlink(f'/proc/self/fd/{fd}')\n        if 'canary' in n: print('ESCAPED', n)\n    except OSError: pass",
        ends=(DONE,),
    ),
    Attack(name="open by handle", code=syscall(304, "-100", "0", "0")),
    Attack(name="device node", code=guarded("os.mknod('d', 0o60666, os.makedev(254, 0)); open('d', 'rb'); print('ESCAPED')")),
    Attack(name="host disk", code=guarded("open('/dev/vda', 'rb'); print('ESCAPED')")),
)

WRITING = (
    Attack(name="write the interpreter", code=guarded("open(os.__file__, 'a'); print('ESCAPED')")),
    Attack(name="write /usr", code=guarded("open('/usr/lib/x', 'w'); print('ESCAPED')")),
    Attack(name="write /etc", code=guarded("open('/etc/x', 'w'); print('ESCAPED')")),
    Attack(name="delete the interpreter", code=guarded("os.unlink(os.__file__); print('ESCAPED')")),
    Attack(name="remount", code=guarded("r = libc.mount(b'none', b'/', None, 32 | 4096, None); print('ESCAPED' if r == 0 else 'no')")),
    Attack(name="kernel switch", code=guarded("open('/proc/sys/kernel/core_pattern', 'w').write('|/bin/sh'); print('ESCAPED')")),
    Attack(name="oom score", code=guarded("open('/proc/self/oom_score_adj', 'w').write('-1000'); print('ESCAPED')")),
)

NETWORK = (
    Attack(name="tcp", code=guarded("socket.create_connection(('1.1.1.1', 80), 1); print('ESCAPED')")),
    Attack(name="tcp to the host's loopback", code=guarded("socket.create_connection(('127.0.0.1', @PORT@), 1); print('ESCAPED')")),
    Attack(name="udp", code=guarded("socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('1.1.1.1', 53)); print('ESCAPED')")),
    Attack(name="netlink", code=guarded("socket.socket(socket.AF_NETLINK, socket.SOCK_RAW); print('ESCAPED')")),
    Attack(name="raw packets", code=guarded("socket.socket(socket.AF_PACKET, socket.SOCK_RAW); print('ESCAPED')")),
    Attack(name="names", code=guarded("print(socket.getaddrinfo('example.com', 80)); print('ESCAPED')")),
    Attack(
        name="abstract socket of the host", code=guarded("s = socket.socket(socket.AF_UNIX); s.connect(b'\\0@ABSTRACT@'); print('ESCAPED')")
    ),
    Attack(
        name="named socket of the host",
        code=guarded("s = socket.socket(socket.AF_UNIX); s.connect('@CANARY@.sock'); print('ESCAPED')"),
        open_in=("jupyter",),
        reason="kernels speak over named unix sockets, so seccomp lets them be used, and Landlock has no rule for those that everyone may use",
    ),
    Attack(name="docker socket", code=guarded("s = socket.socket(socket.AF_UNIX); s.connect('/var/run/docker.sock'); print('ESCAPED')")),
)

KERNEL = (
    Attack(name="ptrace", code=guarded("r = libc.ptrace(16, os.getppid(), 0, 0); print('ESCAPED' if r == 0 else 'no')")),
    Attack(name="read another process", code=syscall(310, "os.getppid()", "0", "0", "0", "0", "0")),
    Attack(
        name="steal a descriptor",
        code=guarded("fd = os.pidfd_open(os.getppid()); r = libc.syscall(438, fd, 3, 0); print('ESCAPED' if r >= 0 else 'no')"),
    ),
    Attack(name="new user namespace", code=guarded("r = libc.unshare(0x10000000); print('ESCAPED' if r == 0 else 'no')")),
    Attack(name="new user namespace by clone", code=syscall(56, "ctypes.c_long(0x10000011)", "0", "0", "0", "0")),
    Attack(name="clone3", code=syscall(435, "0", "0")),
    Attack(
        name="enter a namespace",
        code=guarded("fd = os.open('/proc/self/ns/net', 0); r = libc.setns(fd, 0); print('ESCAPED' if r == 0 else 'no')"),
    ),
    Attack(name="io_uring", code=syscall(425, "8", "ctypes.create_string_buffer(200)")),
    Attack(name="bpf", code=syscall(321, "0", "ctypes.create_string_buffer(200)", "64")),
    Attack(name="userfaultfd", code=syscall(323, "1")),
    Attack(name="perf", code=syscall(298, "ctypes.create_string_buffer(200)", "0", "-1", "-1", "0")),
    Attack(name="keyring", code=syscall(250, "0", "-3", "1")),
    Attack(name="kexec", code=syscall(246, "0", "0", "0", "0")),
    Attack(name="x32 call", code=syscall(0x40000000 + 39), ends=(F.SIGNAL,)),
    Attack(name="become root", code=guarded("os.setuid(0); print('ESCAPED')")),
    Attack(name="chroot", code=guarded("os.chroot('.'); print('ESCAPED')")),
    Attack(name="make itself traceable", code=guarded("r = libc.prctl(4, 1, 0, 0, 0); print('ESCAPED' if r == 0 else 'no')")),
    Attack(name="push to the terminal", code=guarded("import fcntl; fcntl.ioctl(0, 0x5412, b'x'); print('ESCAPED')")),
    Attack(
        name="capabilities",
        code="print('ESCAPED' if any(int(l.split()[1], 16) for l in open('/proc/self/status') if l[:6] in ('CapEff', 'CapPrm', 'CapBnd')) else 'none')",
        rungs=(1,),
        reason="rung 2 has no /proc to read them from",
    ),
)

FIND = "import os, stat\ndef sockets():\n    for f in range(3, 512):\n        try:\n            if stat.S_ISSOCK(os.fstat(f).st_mode): yield f\n        except OSError: pass\n"

PROTOCOL = (
    Attack(name="junk on the channel", code=FIND + "for f in sockets(): os.write(f, b'\\xff\\x00junk')", ends=(F.CHANNEL,)),
    Attack(name="deep json", code=FIND + "for f in sockets(): os.write(f, b'[' * 100000)", ends=(F.CHANNEL,)),
    Attack(name="wrong id", code=FIND + 'for f in sockets(): os.write(f, b\'{"id":"no","value":"forged"}\')\n\'honest\'', ends=(DONE,)),
    Attack(
        name="flood of packets",
        code=FIND + 'for f in sockets():\n    for _ in range(10**5): os.write(f, b\'{"id":"no"}\')',
        ends=(F.CHANNEL,),
    ),
    Attack(name="pickle", code=FIND + "import pickle\nfor f in sockets(): os.write(f, pickle.dumps(print))", ends=(F.CHANNEL,)),
    Attack(
        name="smuggled descriptors",
        code=FIND
        + 'import socket, array\nfor f in sockets():\n    s = socket.socket(fileno=os.dup(f))\n    socket.send_fds(s, [b\'{"id":"no"}\'], [0, 0, 0])\n1',
        ends=(DONE,),
    ),
    Attack(name="close all descriptors", code="import os\nos.closerange(0, 512)", ends=LOST),
    Attack(name="read the channel", code=FIND + "for f in sockets(): os.read(f, 100)", ends=SOFT, wall_s=0.3),
    Attack(
        name="stdout replaced",
        code="import sys\nclass S:\n    def __getattr__(self, n): raise SystemError(n)\nsys.stdout = sys.stderr = S()",
        ends=(DONE,),
    ),
    Attack(name="seek in the output", code="import os\nprint('x')\nos.lseek(1, 1 << 40, 0)", ends=(DONE, F.ERROR)),
    Attack(name="giant value", code="'x' * (1 << 26)", ends=(DONE,)),
    Attack(name="giant repr", code="class R:\n    def __repr__(self): return 'x' * (1 << 26)\nR()", ends=(DONE,)),
    Attack(
        name="repr that hangs", code="class R:\n    def __repr__(self):\n        while True: pass\nR()", ends=(F.TIMEOUT_SOFT,), wall_s=0.3
    ),
    Attack(name="repr that dies", code="class R:\n    def __repr__(self): import os; os._exit(9)\nR()", ends=(F.EXIT,)),
    Attack(name="hostile exception", code="class E(Exception):\n    def __str__(self): raise E('again')\nraise E", ends=(F.ERROR,)),
    Attack(
        name="exception that hangs",
        code="class E(Exception):\n    def __str__(self):\n        while True: pass\nraise E",
        ends=(*SOFT, F.ERROR),
        wall_s=0.3,
    ),
    Attack(name="recursion", code="def f(): return f()\nf()", ends=(F.ERROR,)),
    Attack(
        name="recursion without limit",
        code="import sys\nsys.setrecursionlimit(10**9)\nclass A:\n    def __getattr__(s, n): return getattr(s, n + 'x')\nA().y",
        ends=(F.SIGNAL, F.MEMORY, F.ERROR, *SOFT),
    ),
    Attack(name="deep syntax", code="(" * 5000 + ")" * 5000, ends=(F.SYNTAX, F.MEMORY)),
    Attack(name="segfault", code="import ctypes; ctypes.string_at(1)", ends=(F.SIGNAL,)),
    Attack(name="builtins broken", code="import builtins\nbuiltins.compile = builtins.exec = builtins.repr = None", ends=(DONE,)),
    Attack(name="signal module broken", code="import signal\nsignal.signal = signal.setitimer = None", ends=(DONE, F.CHANNEL, F.EXIT)),
    Attack(
        name="frames of the guest",
        code="import sys\nf = sys._getframe()\nwhile f: f.f_locals.clear(); f = f.f_back",
        ends=(DONE, F.ERROR, F.EXIT),
    ),
    Attack(name="null bytes", code="x = 1\0", ends=(F.SYNTAX,)),
)

GROUPS: dict[str, tuple[tuple[Attack, ...], str]] = {
    "processes": (PROCESSES, "process limit, pid namespace or signal scope, sweep of what is left"),
    "resources": (RESOURCES, "resource limits, sized scratch, host's clock"),
    "reading": (READING, "mount namespace, Landlock, clean environment"),
    "writing": (WRITING, "read-only mounts, Landlock"),
    "network": (NETWORK, "network namespace, seccomp, Landlock"),
    "kernel": (KERNEL, "seccomp, no capabilities, no new privileges"),
    "protocol": (PROTOCOL, "request ids, checked replies, sealed output files, one process per cell"),
}
"""The attacks by what they are after, with what stops them."""
ATTACKS = tuple(attack for attacks, _ in GROUPS.values() for attack in attacks)
