"""A graph with its description inside, and what made it."""

from __future__ import annotations

import platform
from importlib import metadata as packages
from pathlib import Path
from typing import Any

import onnx

from edgekit.artifacts.metadata import Metadata
from edgekit.artifacts.onnx_file import Artifact, embed, parse_onnx
from edgekit.config.target import Runtime
from edgekit.version import __version__


def sealed(model: onnx.ModelProto, described: Metadata, path: Path) -> Artifact:
    """The bytes of `model` with its metadata, read back from them as a loader does."""
    embed(model, described)
    return parse_onnx(model.SerializeToString(), path)


def session_options(runtime: Runtime) -> dict[str, Any]:
    own = {"provider": runtime.provider} if runtime.backend == "onnxruntime" else {}
    return {"backend": runtime.backend, "threads": runtime.threads, **own}


def tools() -> dict[str, str]:
    names = ("torch", "onnx", "onnxscript", "numpy")
    return {"edgekit": __version__, **{name: packages.version(name) for name in names}}


def environment() -> dict[str, str]:
    runtime = {"onnxruntime": _version("onnxruntime") or _version("onnxruntime-gpu"), "pillow": _version("pillow")}
    return {"python": platform.python_version(), "machine": platform.machine(), **tools(), **runtime}


def _version(package: str) -> str:
    try:
        return packages.version(package)
    except packages.PackageNotFoundError:
        return ""
