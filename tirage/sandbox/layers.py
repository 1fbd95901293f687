"""Which isolation layers this host gives, found out by trying each one."""

import json
import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tirage.core.errors import SandboxError

PROBE_S = 60.0
SANDBOX_UIDS = range(61_184, 65_520)
"""Users that no account has; a box or container takes one, because the kernel counts processes per user."""
BOOT = "import sys; sys.path.insert(0, sys.argv[1]); from guest import probe; probe.main()"
REMEDIES = {
    "namespaces": "allow unprivileged user namespaces (Ubuntu: sysctl kernel.apparmor_restrict_unprivileged_userns=0; elsewhere "
    "user.max_user_namespaces > 0; not given inside default Docker), or accept min_rung=2",
    "landlock": "boot a kernel >= 5.13 with landlock in its list of security modules (lsm=landlock,...)",
    "landlock-scope": "boot a kernel >= 6.12; without it user code may not send any signal on rung 2",
    "seccomp": "run on x86-64 or aarch64, and outside of a container that forbids seccomp filters",
    "rlimits": "run on Linux",
    "user": "run as an ordinary user, or as a root that may change its user (CAP_SETUID, CAP_SETGID)",
    "preload": "install the module in this environment, or leave it out of `preload`",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerReport:
    """One layer on this host."""

    name: str
    available: bool
    tried: str
    """What was done and seen, or why it failed."""
    remedy: str
    """How to get the layer; empty when it is available."""


def probe() -> list[LayerReport]:
    """Try every layer in processes of their own, which takes a fraction of a second; on other systems all are missing.

    Raises `SandboxError` when the probing program itself does not run.
    """
    if sys.platform != "linux":
        reason = f"{platform.system()} has no such layer"
        return [LayerReport(name=name, available=False, tried=reason, remedy="run inside Linux") for name in REMEDIES if name != "preload"]
    command = [sys.executable, "-S", "-s", "-P", "-c", BOOT, str(Path(__file__).parent)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PROBE_S, check=False, env={"LANG": "C.UTF-8"})
    try:
        answers = json.loads(done.stdout)
    except ValueError:
        raise SandboxError(f"the layer probe did not run: {done.stderr.strip()[-500:]}; try: {sys.executable} -c 'import ctypes'") from None
    return [
        LayerReport(name=name, available=bool(available), tried=str(tried), remedy="" if available else REMEDIES[name])
        for name, (available, tried) in answers.items()
    ]


def best_rung(reports: list[LayerReport]) -> int | None:
    """The strongest rung these layers allow: 1, 2, or None when neither can be had."""
    have = {report.name for report in reports if report.available}
    if not {"seccomp", "rlimits", "user", "landlock"} <= have:
        return None
    return 1 if "namespaces" in have else 2
