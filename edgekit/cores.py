"""The CPUs that this process may use: fewer than the machine has under taskset, in a container or a systemd service."""

from __future__ import annotations

import math
import os
from pathlib import Path, PurePosixPath


def cpu_numbers() -> frozenset[int]:
    """The CPUs that the system may put this process on."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


def cpu_quota(root: Path = Path("/")) -> float | None:
    """CPUs' worth of time that cgroup v2 gives this process; None where nothing limits it.

    A group has at most what each group above it has. In a container its own group is the root.

    Args:
        root: of the file system, another one in tests.
    """
    text = _text(root / "proc/self/cgroup")
    own = next((line[3:] for line in text.splitlines() if line.startswith("0::/")), "/")
    found = []
    for group in (PurePosixPath(own), *PurePosixPath(own).parents):
        words = _text(root / "sys/fs/cgroup" / str(group).lstrip("/") / "cpu.max").split()
        if len(words) == 2 and words[0] != "max":
            found.append(float(words[0]) / float(words[1]))
    return min(found, default=None)


def usable_cpus(root: Path = Path("/")) -> int:
    """How many threads are worth starting: the CPUs of this process, at most its quota rounded up, and at least 1."""
    quota = cpu_quota(root)
    number = len(cpu_numbers())
    return number if quota is None else max(1, min(number, math.ceil(quota)))


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, ValueError):
        return ""
