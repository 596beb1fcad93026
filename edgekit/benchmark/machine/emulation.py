"""Whether this processor is emulated: answers then mean what they say, and times mean nothing."""

from __future__ import annotations

import os
from pathlib import Path

from edgekit.errors import BackendError


def emulator(root: Path | None = None) -> str | None:
    """The program that translates this process's instructions, such as `qemu-aarch64-static`; None where none does.

    A user-mode emulator answers /proc/self/exe with the program that it runs, or that program would not find its own
    files. The same link by its thread's name is the kernel's own answer, which names the emulator (qemu 7.2). An
    emulated machine with a kernel of its own is not told from a real one.

    Args:
        root: of the file system, another one in tests.
    """
    proc = (root or Path("/")) / "proc"
    try:
        told, real = ((proc / which / "exe").readlink() for which in ("self", "thread-self"))
    except OSError:
        return None
    return None if told == real else real.name


def require_real_processor() -> None:
    """Raises BackendError where times would be an emulator's."""
    if (name := emulator()) is not None:
        raise BackendError(
            "Speed is not measured where the processor is emulated.",
            got=f"{os.uname().machine} emulated by {name}",
            expected="the device itself",
            fix="predict, eval and verify answer here as they do there; measure on the device",
        )
