"""What is installed for each extra: how new it is, whether it imports, and what else lies in the same folder."""

from __future__ import annotations

import functools
import json
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import Any

CPU, GPU = "onnxruntime", "onnxruntime-gpu"
# distributions that write into one folder: the last one that was installed wins, and removing either breaks the other
SHARED: dict[str, tuple[str, ...]] = {
    "onnxruntime": (CPU, GPU, "onnxruntime-openvino", "onnxruntime-directml", "onnxruntime-rocm", "onnxruntime-qnn"),
    "cv2": (
        "opencv-python-headless",
        "opencv-python",
        "opencv-contrib-python-headless",
        "opencv-contrib-python",
    ),
    "PIL": ("pillow", "pillow-simd"),
}
# modules that a Jetson's or a distribution's own packages provide without telling pip
BY_IMPORT = {"cv2", "tensorrt", "onnxruntime"}
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


@dataclass(frozen=True)
class Part:
    """One requirement of an extra.

    Attributes:
        name: the distribution that is installed where nothing is there.
        module: what must be importable.
        floor: the oldest version that will do, as in pyproject.toml.
    """

    name: str
    module: str
    floor: str

    @property
    def requirement(self) -> str:
        return f"{self.name}>={self.floor}"


def _parts(*rows: str) -> tuple[Part, ...]:
    return tuple(Part(*row.split()) for row in rows)


_PICTURES = ("opencv-python-headless cv2 4.8", "pyyaml yaml 6")  # every command that looks at labelled pictures
EXTRAS: dict[str, tuple[Part, ...]] = {
    "base": _parts(
        "numpy numpy 1.24", "onnx onnx 1.21", "pillow PIL 10.1", "pydantic pydantic 2.5", "rich rich 13",
        *(["tomli tomli 2"] if sys.version_info < (3, 11) else []), "typer typer 0.16",
    ),
    "cpu": _parts("onnxruntime onnxruntime 1.18", *_PICTURES),
    "gpu": _parts("onnxruntime-gpu onnxruntime 1.18", *_PICTURES),
    "openvino": _parts("openvino openvino 2025.0", "onnxruntime onnxruntime 1.18", *_PICTURES),
    "train": _parts(
        "torch torch 2.6", "torchvision torchvision 0.21", "onnxscript onnxscript 0.5", "safetensors safetensors 0.4",
        "accelerate accelerate 1.0", "tensorboard tensorboard 2.16", "matplotlib matplotlib 3.8", "timm timm 1.0",
    ),
    "camera": _parts(
        "prometheus-client prometheus_client 0.20", "starlette starlette 0.37", "uvicorn uvicorn 0.29"
    ),
    "tensorrt": _parts("tensorrt tensorrt 10.3", "pycuda pycuda 2024.1"),
    "rtx": _parts("tensorrt-rtx tensorrt_rtx 1.2", "cuda-bindings cuda 12.6"),
}  # fmt: skip


@dataclass(frozen=True)
class Extra:
    """How an extra stands.

    Attributes:
        missing: distributions that are not there.
        wrong: what is there and will not do, in words.
        doubts: what does for now, and breaks at the next `pip install` or `uninstall`.
        fix: the command that mends all of it; None where there is nothing to mend.
    """

    missing: tuple[str, ...]
    wrong: tuple[str, ...]
    doubts: tuple[str, ...]
    fix: str | None

    @property
    def ok(self) -> bool:
        return not self.missing and not self.wrong


def look_at(name: str) -> Extra:
    """Looks at the distributions of an extra: there, new enough, importable, alone in their folder."""
    missing: list[str] = []
    wrong: list[str] = []
    doubts: list[str] = []
    install: list[str] = []
    remove: list[str] = []
    for part in EXTRAS[name]:
        there = held_by(part)
        if part.name == "pycuda" and not there and version_of("cuda-bindings"):
            continue  # either will do
        if part.name == "pycuda" and not there:
            part = Part("cuda-bindings", "cuda", "12.6")  # it has wheels; pycuda is compiled with CUDA's own compiler
        if there or (part.module in BY_IMPORT and part.name != GPU and has_module(part.module)):
            trouble = _trouble(part, there)
            if trouble is None:
                continue
            (wrong if trouble.blocks else doubts).append(trouble.what)
            install += trouble.install
            remove += trouble.remove
        else:
            missing.append(part.name)
            install.append(_fitting_torchvision() if part.name == "torchvision" else part.requirement)
            remove += others(part) if part.name == GPU else ()  # the CPU build would win
    fix = _command(remove, install) if install else None
    return Extra(tuple(missing), tuple(wrong), tuple(doubts), fix)


@dataclass(frozen=True)
class _Trouble:
    """With one part: what, in words; what to install and to remove before; whether it keeps the extra from working."""

    what: str
    install: tuple[str, ...]
    remove: tuple[str, ...] = ()
    blocks: bool = True


def _trouble(part: Part, there: tuple[str, ...]) -> _Trouble | None:
    held = Part(there[0], part.module, part.floor) if there and part.name not in there else part
    known = len(there) == 1
    version = version_of(held.name) if known else module_version(part.module)
    error = import_error(part.module)
    no_cuda = part.name == GPU and "CUDAExecutionProvider" not in providers()
    if len(there) > 1:
        told = f"{' and '.join(f'{name} {version_of(name)}' for name in there)} share one folder"
        if part.module == "onnxruntime" and not error:
            told += f"; the one that imports has {', '.join(providers())}"
        blocks = bool(error) or no_cuda or (version is not None and older(version, part.floor))
        return _Trouble(told + (f"; {error}" if error else ""), (held.requirement,), there, blocks)
    if version is not None and older(version, part.floor):
        return _Trouble(f"{held.name} {version} is too old, {part.floor} or newer is needed", (held.requirement,))
    if error and part.module == "torchvision":
        return _torchvision(error)
    if error:
        return _Trouble(f"{held.name} {version or ''} does not import: {error}", (held.requirement,), there)
    if no_cuda:
        told = f"{GPU} {version} is installed, and what imports has no CUDA provider: {', '.join(providers())}"
        return _Trouble(told, (part.requirement,), there)
    return None


def _torchvision(error: str) -> _Trouble:
    torch, vision = version_of("torch"), version_of("torchvision")
    told = f"torchvision {vision} does not import beside torch {torch}: {error}"
    fitting = _fitting_torchvision()
    if not fitting.startswith("torchvision=="):
        return _Trouble(told, (fitting,), ("torchvision",))
    if _release(vision or "")[:2] != _release(fitting.partition("==")[2])[:2]:
        return _Trouble(told, (fitting,))
    # the versions fit, but one is built for a CPU and one for CUDA: installing both again takes them from one index
    return _Trouble(told, ("torch>=2.6", "torchvision>=0.21"), ("torch", "torchvision"))


def _fitting_torchvision() -> str:
    """torchvision is compiled against one torch: 0.21 against 2.6, and so on, a minor version for a minor version."""
    release = _release(version_of("torch") or "")
    known = len(release) >= 2 and release[0] == 2
    return f"torchvision==0.{release[1] + 15}.*" if known else "torchvision>=0.21"


def held_by(part: Part) -> tuple[str, ...]:
    """The installed distributions that provide a part's module; of the GPU build of onnxruntime only with itself."""
    names = SHARED.get(part.module, (part.name,))
    found = tuple(name for name in names if version_of(name))
    return found if part.name != GPU or GPU in found else ()


def others(part: Part) -> list[str]:
    """Installed distributions that write into the folder of a part that is missing."""
    return [name for name in SHARED.get(part.module, ()) if name != part.name and version_of(name)]


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
    width = max(len(_release(version)), len(_release(floor)))
    padded = [(*_release(v), *(0,) * (width - len(_release(v)))) for v in (version, floor)]
    return bool(_release(version)) and padded[0] < padded[1]


def _release(version: str) -> tuple[int, ...]:
    found = re.match(r"\d+(\.\d+)*", version.removeprefix("v"))
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def _command(remove: Iterable[str], install: Iterable[str]) -> str:
    """What is removed is also forgotten, so that pip does not call the half that is left installed already."""
    away, packages = list(dict.fromkeys(remove)), list(dict.fromkeys(install))
    steps = [f"{pip()} uninstall -y {' '.join(away)}"] if away else []
    return " && ".join([*steps, f"{pip()} install {' '.join(shlex.quote(p) for p in packages)}"])


def pip() -> str:
    """How pip is called so that it installs here and not into another Python."""
    found = shutil.which("pip")
    here = found is not None and Path(found).parent == Path(sys.executable).parent
    return "pip" if here else f"{shlex.quote(sys.executable)} -m pip"


def notes() -> list[str]:
    """What stands in the way of every `pip install` above."""
    found = []
    if not util.find_spec("pip"):
        found.append(f"this Python has no pip: {shlex.quote(sys.executable)} -m ensurepip")
    managed = Path(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED").exists() and sys.prefix == sys.base_prefix
    if managed:
        found.append("this Python belongs to the system, and pip refuses to change it: python3 -m venv .venv first")
    return found


def opens_files() -> str:
    """Why onnxruntime does not open files of the kind that edgekit writes (IR 10, opset 20); empty where it does."""
    from onnx import TensorProto, helper

    from edgekit.backends.onnxruntime_ import run_once
    from edgekit.errors import ArtifactError

    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("a", "b")]
    graph = helper.make_graph([helper.make_node("Relu", ["a"], ["b"])], "probe", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    import numpy as np

    try:
        run_once(model.SerializeToString(), {"a": np.ones(1, np.float32)})
    except ArtifactError as error:
        return f"{error.what} {error.got}; {error.expected}"
    return ""


def as_data(found: Extra, purpose: str) -> dict[str, Any]:
    """Plain data for JSON."""
    return {
        "for": purpose, "ok": found.ok, "missing": list(found.missing), "wrong": list(found.wrong),
        "doubts": list(found.doubts), "fix": found.fix,
    }  # fmt: skip
