"""What a measurement stood on: processor, clocks, board, temperatures, versions, load. Read, never changed."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import time
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

from edgekit.benchmark.machine.emulation import emulator
from edgekit.benchmark.machine.nvml import boards
from edgekit.cores import cpu_numbers, cpu_quota
from edgekit.version import __version__

PACKAGES = ("numpy", "onnx", "onnxruntime", "onnxruntime-gpu", "openvino", "opencv-python-headless", "pillow", "torch")
PACKAGES_GPU = ("tensorrt", "tensorrt-rtx", "pycuda")
FLAGS = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16", "asimddp", "i8mm", "bf16")
BUSY = 0.25  # share of the CPUs that others have, from which on a machine is called busy
# what must be equal for two reports to be of the same machine; the rest is for people
IDENTITY = ("cpu", "cores", "cpus", "isa", "machine", "emulated", "gpu", "jetson", "power_mode")


def environment(root: Path | None = None) -> dict[str, Any]:
    """Plain data for JSON. What cannot be read is null, never a guess.

    Args:
        root: of the file system, another one in tests.
    """
    root = root or Path("/")
    cpuinfo = _text(root / "proc/cpuinfo") or ""
    flags = (_field(cpuinfo, "flags") or _field(cpuinfo, "Features") or "").split()
    return {
        "cpu": _field(cpuinfo, "model name") or _text(root / "proc/device-tree/model") or platform.processor() or None,
        "cpu_id": "/".join(_field(cpuinfo, k) or "?" for k in ("cpu family", "model", "stepping")) if cpuinfo else None,
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "cores": _cores(cpuinfo),
        "usable_cpus": len(cpu_numbers()),
        "quota_cpus": cpu_quota(root),
        "isa": [flag for flag in FLAGS if flag in flags],
        "memory_mb": _memory(root),
        "virtual": "hypervisor" in cpuinfo,
        "emulated": emulator(root),
        "governor": _text(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "gpu": _gpu(),
        "jetson": _text(root / "etc/nv_tegra_release"),
        "power_mode": _text(root / "var/lib/nvpmodel/status"),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "edgekit": __version__,
        "versions": versions(),
        "git": git_commit(),
        "nice": os.nice(0) if hasattr(os, "nice") else None,
    }  # fmt: skip


def conditions(root: Path | None = None, look: float = 0.0) -> dict[str, Any]:
    """What changes while one measures: load, clocks, temperatures, throttling. Taken before and after.

    Args:
        root: of the file system, another one in tests.
        look: seconds to watch what the CPUs are busy with, this process sleeping. The load of the last minute, which is
            in the report too, may be that of whatever this process or its caller did before.
    """
    root = root or Path("/")
    busy = _busy_share(root, look) if look else None
    load = (_text(root / "proc/loadavg") or "").split()
    zones = sorted((root / "sys/class/thermal").glob("thermal_zone*"))
    heat = {(_text(z / "type") or z.name): _number(z / "temp") for z in zones}
    throttled = sorted((root / "sys/devices/system/cpu").glob("cpu*/thermal_throttle/core_throttle_count"))
    clocks = [_number(p) for p in sorted((root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_cur_freq"))]
    gpus = boards() if root == Path("/") else None
    running = load[3].split("/")[0] if len(load) > 3 else None
    return {
        "load_1min": float(load[0]) if load else None,
        "busy": busy,
        "running": int(running) if running else None,
        "clocks_mhz": [round(c / 1000) for c in clocks if c is not None] or None,
        "temperatures_c": {k: v / 1000 for k, v in heat.items() if v is not None} or None,
        "throttle_events": sum(int(_number(p) or 0) for p in throttled) if throttled else None,
        "steal_ticks": _steal(root),
        "gpus": gpus.conditions() if gpus is not None else None,
    }


def condition_notes(before: dict[str, Any], after: dict[str, Any], cpus: int) -> list[str]:
    """What in the conditions makes timings doubtful, one sentence each."""
    notes = []
    busy = before.get("busy")
    if busy is not None and busy > BUSY:
        notes.append(f"the machine was busy before the measurement began: {busy:.0%} of {cpus} CPUs")
    if (a := before.get("throttle_events")) is not None and (after.get("throttle_events") or 0) > a:
        notes.append(f"the processor throttled {after['throttle_events'] - a} times")
    if (a := before.get("steal_ticks")) is not None and (after.get("steal_ticks") or 0) - a > 10:
        notes.append(f"the hypervisor took {(after['steal_ticks'] - a) / 100:.1f} CPU seconds away")
    for board in after.get("gpus") or ():
        if board["slowed_by"]:
            notes.append(f"the GPU was slowed by its {' and '.join(board['slowed_by'])} when the measurement ended")
    return notes


def busy_seconds(cpus: Iterable[int] | None = None, root: Path | None = None) -> float | None:
    """Seconds since the start of the machine in which CPUs were not idle or a hypervisor had them; None where unknown.

    Args:
        cpus: which; default those that this process may use.
    """
    if cpus is None:
        cpus = cpu_numbers()
    names = {f"cpu{n}" for n in cpus}
    lines = (_text((root or Path("/")) / "proc/stat") or "").splitlines()
    ticks = [sum(map(int, (*w[1:4], *w[6:9]))) for w in map(str.split, lines) if w and w[0] in names and len(w) > 8]
    return (
        sum(ticks) / os.sysconf("SC_CLK_TCK") if ticks else None
    )  # not idle nor waiting for a disk; guests are in user


def _busy_share(root: Path, seconds: float) -> float | None:
    """The share of the usable CPUs that others had while this process slept; None where it cannot be read."""
    cpus = len(cpu_numbers())
    before, began = busy_seconds(root=root), time.perf_counter()
    time.sleep(seconds)
    after, ended = busy_seconds(root=root), time.perf_counter()
    return None if before is None or after is None else round((after - before) / (ended - began) / cpus, 3)


def versions() -> dict[str, str]:
    """Of the packages that compute, where installed."""
    found = {}
    for name in (*PACKAGES, *PACKAGES_GPU):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def git_commit() -> str | None:
    """The commit of edgekit's own tree, with `+changes` where files differ from it; None for an installed package."""
    here = Path(__file__).parents[2]
    if not (here / ".git").exists():
        return None
    commit = _command("git", "-C", str(here), "rev-parse", "--short=12", "HEAD")
    changed = _command("git", "-C", str(here), "status", "--porcelain", "--untracked-files=no")
    return f"{commit}+changes" if commit and changed else commit


def _gpu() -> str | None:
    return _command("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader")


def _command(*words: str) -> str | None:
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=10, check=True)  # noqa: S603 - fixed words
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def _text(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace").strip("\0\n ") or None
    except OSError:
        return None


def _number(path: Path) -> float | None:
    text = _text(path)
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _field(text: str, name: str) -> str | None:
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return None


def _cores(cpuinfo: str) -> int | None:
    """Physical cores: distinct pairs of package and core."""
    pairs: set[tuple[str | None, str | None]] = set()
    for block in cpuinfo.split("\n\n"):
        core = _field(block, "core id")
        if core is not None:
            pairs.add((_field(block, "physical id"), core))
    return len(pairs) or None


def _memory(root: Path) -> int | None:
    total = _field(_text(root / "proc/meminfo") or "", "MemTotal")
    return int(total.split()[0]) // 1024 if total else None


def _steal(root: Path) -> int | None:
    words = (_text(root / "proc/stat") or "").splitlines()[:1]
    ticks = words[0].split() if words else []
    return int(ticks[8]) if len(ticks) > 8 else None


def peak_memory_mb() -> float | None:
    """Largest resident size of this process so far; None where /proc is not there.

    Not getrusage's: that one starts from the size of the process that started this one.
    """
    return _status_mb("VmHWM")


def resident_mb() -> float | None:
    """Resident size of this process now; None where /proc is not there."""
    return _status_mb("VmRSS")


def _status_mb(name: str) -> float | None:
    line = _field(_text(Path("/proc/self/status")) or "", name)
    return int(line.split()[0]) / 1024 if line else None
