"""How each extra stands here: what is missing, what will not do and why, and the command that mends it."""

from __future__ import annotations

import shlex
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import Any

from edgekit.cli.shared import packages
from edgekit.cli.shared.extras import BY_IMPORT, EXTRAS, GPU, SHARED, Part


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
        if part.name == "pycuda" and not there and packages.version_of("cuda-bindings"):
            continue  # either will do
        if part.name == "pycuda" and not there:
            part = Part("cuda-bindings", "cuda", "12.6")  # it has wheels; pycuda is compiled with CUDA's own compiler
        if there or (part.module in BY_IMPORT and part.name != GPU and packages.has_module(part.module)):
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
    version = packages.version_of(held.name) if known else packages.module_version(part.module)
    error = packages.import_error(part.module)
    no_cuda = part.name == GPU and "CUDAExecutionProvider" not in packages.providers()
    if len(there) > 1:
        told = f"{' and '.join(f'{name} {packages.version_of(name)}' for name in there)} share one folder"
        if part.module == "onnxruntime" and not error:
            told += f"; the one that imports has {', '.join(packages.providers())}"
        blocks = bool(error) or no_cuda or (version is not None and packages.older(version, part.floor))
        return _Trouble(told + (f"; {error}" if error else ""), (held.requirement,), there, blocks)
    if version is not None and packages.older(version, part.floor):
        return _Trouble(f"{held.name} {version} is too old, {part.floor} or newer is needed", (held.requirement,))
    if error and part.module == "torchvision":
        return _torchvision(error)
    if error:
        return _Trouble(f"{held.name} {version or ''} does not import: {error}", (held.requirement,), there)
    if no_cuda:
        told = f"{GPU} {version} is installed, and what imports has no CUDA provider: {', '.join(packages.providers())}"
        return _Trouble(told, (part.requirement,), there)
    return None


def _torchvision(error: str) -> _Trouble:
    torch, vision = packages.version_of("torch"), packages.version_of("torchvision")
    told = f"torchvision {vision} does not import beside torch {torch}: {error}"
    fitting = _fitting_torchvision()
    if not fitting.startswith("torchvision=="):
        return _Trouble(told, (fitting,), ("torchvision",))
    if packages.release(vision or "")[:2] != packages.release(fitting.partition("==")[2])[:2]:
        return _Trouble(told, (fitting,))
    # the versions fit, but one is built for a CPU and one for CUDA: installing both again takes them from one index
    return _Trouble(told, ("torch>=2.6", "torchvision>=0.21"), ("torch", "torchvision"))


def _fitting_torchvision() -> str:
    """torchvision is compiled against one torch: 0.21 against 2.6, and so on, a minor version for a minor version."""
    release = packages.release(packages.version_of("torch") or "")
    known = len(release) >= 2 and release[0] == 2
    return f"torchvision==0.{release[1] + 15}.*" if known else "torchvision>=0.21"


def held_by(part: Part) -> tuple[str, ...]:
    """The installed distributions that provide a part's module; of the GPU build of onnxruntime only with itself."""
    names = SHARED.get(part.module, (part.name,))
    found = tuple(name for name in names if packages.version_of(name))
    return found if part.name != GPU or GPU in found else ()


def others(part: Part) -> list[str]:
    """Installed distributions that write into the folder of a part that is missing."""
    return [name for name in SHARED.get(part.module, ()) if name != part.name and packages.version_of(name)]


def _command(remove: Iterable[str], install: Iterable[str]) -> str:
    """What is removed is also forgotten, so that pip does not call the half that is left installed already."""
    away, wanted = list(dict.fromkeys(remove)), list(dict.fromkeys(install))
    steps = [f"{packages.pip()} uninstall -y {' '.join(away)}"] if away else []
    return " && ".join([*steps, f"{packages.pip()} install {' '.join(shlex.quote(p) for p in wanted)}"])


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
