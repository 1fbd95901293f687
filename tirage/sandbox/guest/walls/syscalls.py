"""Numbers of the system calls that seccomp refuses; x86-64 and aarch64."""

AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

_PAIRS = """
mount 165 40, umount2 166 39, pivot_root 155 41, move_mount 429 429, open_tree 428 428, fsopen 430 430, fsconfig 431 431,
fsmount 432 432, fspick 433 433, mount_setattr 442 442, open_tree_attr 467 467, chroot 161 51, quotactl 179 60, quotactl_fd 443 443,
swapon 167 224, swapoff 168 225, setns 308 268, kexec_load 246 104, kexec_file_load 320 294, init_module 175 105,
finit_module 313 273, delete_module 176 106, create_module 174 -, bpf 321 280, perf_event_open 298 241, userfaultfd 323 282,
io_uring_setup 425 425, io_uring_enter 426 426, io_uring_register 427 427, ptrace 101 117, process_vm_readv 310 270,
process_vm_writev 311 271, process_madvise 440 440, process_mrelease 448 448, kcmp 312 272, pidfd_getfd 438 438, add_key 248 217,
request_key 249 218, keyctl 250 219, reboot 169 142, settimeofday 164 170, clock_settime 227 112, clock_adjtime 305 266,
adjtimex 159 171, sethostname 170 161, setdomainname 171 162, acct 163 89, syslog 103 116, iopl 172 -, ioperm 173 -,
modify_ldt 154 -, open_by_handle_at 304 265, name_to_handle_at 303 264, lookup_dcookie 212 18, fanotify_init 300 262,
vhangup 153 58, memfd_create 319 279, memfd_secret 447 447, shmget 29 194, shmat 30 196, shmctl 31 195, shmdt 67 197,
msgget 68 186, msgsnd 69 189, msgrcv 70 188, msgctl 71 187, semget 64 190, semop 65 193, semtimedop 220 192, semctl 66 191,
mq_open 240 180, mq_unlink 241 181, mbind 237 235, move_pages 279 239, set_mempolicy 238 237, set_mempolicy_home_node 450 450,
migrate_pages 256 238, uselib 134 -, ustat 136 -, sysfs 139 -, ioprio_set 251 30, personality 135 92
"""

_SIGNALS = """
kill 62 129, tkill 200 130, tgkill 234 131, rt_sigqueueinfo 129 138, rt_tgsigqueueinfo 297 240, pidfd_send_signal 424 424
"""

_FILTERED = """
unshare 272 97, clone 56 220, clone3 435 435, socket 41 198, prctl 157 167, prlimit64 302 261, sched_setaffinity 203 122,
sched_setattr 314 274, sched_setscheduler 144 119, sched_setparam 142 118, setpriority 141 140, ioctl 16 29
"""


def _table(text: str, machine: str) -> dict[str, int]:
    column = {"x86_64": 1, "aarch64": 2}[machine]
    rows = (item.split() for item in text.replace("\n", " ").split(","))
    return {row[0]: int(row[column]) for row in rows if row[column] != "-"}


def denied(machine: str) -> dict[str, int]:
    """Calls refused whatever their arguments."""
    return _table(_PAIRS, machine)


def signalling(machine: str) -> dict[str, int]:
    """Calls that send a signal to a process."""
    return _table(_SIGNALS, machine)


def filtered(machine: str) -> dict[str, int]:
    """Calls refused for some arguments."""
    return _table(_FILTERED, machine)
