"""One package here: whether it is there, how new it is, and whether it imports."""

from __future__ import annotations

import functools
import json
import re
import shlex
import shutil
import subprocess
import sys
from importlib import util
from pathlib import Path

# with compiled code of their own: installed does not mean that they import, so that is tried in another process
TRIED = ("onnxruntime", "cv2", "torchvision", "openvino")
_TRY = """
import importlib, json, sys
sys.path[:] = [place for place in sys.path if place]
for name in sys.argv[1:]:
    print(json.dumps([name]), flush=True)
    try:
        importlib.import_module(name)
    except Exception as error:
        print(json.dumps([name, f"{type(error).__name__}: {error}"]), flush=True)
    else:
        print(json.dumps([name, ""]), flush=True)
"""


def has_module(module: str) -> bool:
    """Whether there is code to import; a folder that an uninstalled package left behind is none."""
    spec = util.find_spec(module)
    return spec is not None and spec.origin is not None


def version_of(distribution: str) -> str | None:
    from importlib import metadata  # 20 ms, which `edgekit --help` need not spend

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def module_version(module: str) -> str | None:
    """Of a module that pip does not know; None where it does not import or does not say."""
    if not has_module(module) or import_error(module):
        return None
    import importlib

    return getattr(importlib.import_module(module), "__version__", None)


def providers() -> list[str]:
    """Of the onnxruntime that imports; empty where none does."""
    if not has_module("onnxruntime") or import_error("onnxruntime"):
        return []
    import onnxruntime

    return list(onnxruntime.get_available_providers())


def import_error(module: str) -> str:
    """Why a module does not import, in one line; empty where it does, or where importing it would tell nothing."""
    if module not in TRIED or module in sys.modules:
        return ""
    return _tried().get(module, "")


@functools.cache
def _tried() -> dict[str, str]:
    """Each of TRIED that is installed, imported in a process of its own: broken ones may end it."""
    left = [name for name in TRIED if has_module(name)]
    found: dict[str, str] = {}
    while left:
        try:
            done = subprocess.run(  # noqa: S603 - ourselves
                [sys.executable, "-c", _TRY, *left], capture_output=True, text=True, timeout=300, check=False
            )
        except subprocess.TimeoutExpired:
            return {**found, **dict.fromkeys(left, "it did not come to an end in 5 minutes")}
        said = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('["')]
        found |= {line[0]: " ".join(line[1].split()) for line in said if len(line) == 2}
        if said and len(said[-1]) == 1:
            found[said[-1][0]] = f"the interpreter ended with {done.returncode}"
        elif not said:
            return {**found, **dict.fromkeys(left, f"the interpreter ended with {done.returncode}")}
        left = [name for name in left if name not in found]
    return found


def older(version: str, floor: str) -> bool:
    """Whether a version's numbers are below the floor's; what stands behind them (rc1, +cu130) plays no part."""
    width = max(len(release(version)), len(release(floor)))
    padded = [(*release(v), *(0,) * (width - len(release(v)))) for v in (version, floor)]
    return bool(release(version)) and padded[0] < padded[1]


def release(version: str) -> tuple[int, ...]:
    """The numbers that a version begins with."""
    found = re.match(r"\d+(\.\d+)*", version.removeprefix("v"))
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def pip() -> str:
    """How pip is called so that it installs here and not into another Python."""
    found = shutil.which("pip")
    here = found is not None and Path(found).parent == Path(sys.executable).parent
    return "pip" if here else f"{shlex.quote(sys.executable)} -m pip"
