"""This machine, as far as an engine depends on it."""

from __future__ import annotations

import re
from pathlib import Path

from edgekit.artifacts.engine_key import Place
from edgekit.backends.cuda.base import Device
from edgekit.backends.trt.library import Library

RELEASE = Path("/etc/nv_tegra_release")
PACKAGES = Path("/var/lib/dpkg/status")


def this_place(library: Library, device: Device | None = None) -> Place:
    """The library here, and the GPU where one was opened."""
    gpu = {"sm": device.sm, "gpu": device.name, "cuda": device.cuda} if device is not None else {}
    return Place(library.name, library.version, l4t=_l4t(), jetpack=_jetpack(), **gpu)


def _l4t() -> str:
    """The release of a Jetson's system, e.g. 36.4.3, from "# R36 (release), REVISION: 4.3, ..."."""
    match = re.search(r"# R(\d+) \(release\), REVISION: ([\d.]+)", _text(RELEASE))
    return f"{match[1]}.{match[2]}" if match else ""


def _jetpack() -> str:
    """Version of the package nvidia-jetpack; empty where only parts of JetPack are installed."""
    if not RELEASE.exists():
        return ""
    match = re.search(r"^Package: nvidia-jetpack$(?:\n.+)*?\nVersion: (\S+)", _text(PACKAGES), re.MULTILINE)
    return f"JetPack {match[1]}" if match else ""


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
