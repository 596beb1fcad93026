"""`edgekit doctor`: what is here, what is missing for which job, and the command that mends it. Changes nothing."""

from __future__ import annotations

import os
import re
import sys
from importlib import util
from pathlib import Path
from typing import Annotated, Any

import typer

from edgekit import __version__
from edgekit.cli.options import Format, FormatOption, next_command, print_json

# what each extra brings: distribution -> the module that must be importable
EXTRAS: dict[str, dict[str, str]] = {
    "base": {"numpy": "numpy", "onnx": "onnx", "pillow": "PIL", "pydantic": "pydantic", "typer": "typer"},
    "cpu": {"onnxruntime": "onnxruntime", "opencv-python-headless": "cv2"},
    "gpu": {"onnxruntime-gpu": "onnxruntime", "opencv-python-headless": "cv2"},
    "train": {
        name: name for name in ("torch", "torchvision", "onnxscript", "safetensors", "accelerate", "tensorboard")
    },
    "camera": {"starlette": "starlette", "uvicorn": "uvicorn", "prometheus-client": "prometheus_client"},
    "tensorrt": {"tensorrt": "tensorrt", "pycuda": "pycuda"},
    "rtx": {"tensorrt-rtx": "tensorrt_rtx", "cuda-bindings": "cuda"},
}
JOBS = {
    "cpu": "predict, eval and verify exported models on a CPU",
    "gpu": "the same on an NVIDIA GPU",
    "train": "train, and export checkpoints",
    "camera": "the page of edgekit camera",
    "tensorrt": "build and run engines on Jetsons and GPUs",
    "rtx": "build engines for GeForce and RTX boards, and run them there",
}
# modules that a Jetson's or a distribution's own packages provide under another distribution name
BY_IMPORT = {"cv2", "tensorrt", "onnxruntime"}


def doctor(
    selftest: Annotated[
        bool, typer.Option("--selftest", help="Build small engines, run them, and compare with onnxruntime.")
    ] = False,
    output_format: FormatOption = Format.text,
) -> int:
    """Say what this machine has and what is missing for which job. Exit code 5 when no model can run."""
    if selftest:
        return _selftest(output_format)
    found = examine()
    if output_format is Format.json:
        print_json(found)
    else:
        _print(found)
    extras = found["extras"]
    runtime = any(not extras[name]["missing"] for name in ("cpu", "gpu"))
    if extras["base"]["missing"] or not runtime:
        return 5
    next_command("edgekit", "demo")
    return 0


def _selftest(output_format: Format) -> int:
    """Exit code 0 when all that is installed ran right, 3 when something ran wrong, 5 when nothing ran."""
    from dataclasses import asdict

    from edgekit.selftest import selftest

    checks = []
    for check in selftest():
        checks.append(check)
        if output_format is Format.text:
            verdict = {True: "ok", False: "WRONG", None: "not run"}[check.passed]
            parts = [f"{check.library:<24}", f"{check.precision:<5}", f"{verdict:<8}"]
            parts += [f"max|d|/max {check.difference:.1e}"] if check.difference is not None else []
            parts += [f"{check.int8} int8 convolutions"] if check.int8 else []
            parts += [f"built in {check.seconds:.1f} s"] if check.seconds is not None else []
            typer.echo("  ".join([*parts, check.note]).rstrip())
    if output_format is Format.json:
        print_json([asdict(check) for check in checks])
    if any(check.passed is False for check in checks):
        return 3
    return 0 if any(check.passed for check in checks) else 5


def examine() -> dict[str, Any]:
    """Everything doctor says, as plain data."""
    import platform

    return {
        "edgekit": __version__,
        "python": {"version": platform.python_version(), "executable": sys.executable},
        "machine": {
            "system": platform.platform(),
            "processor": _processor(),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "memory_gb": _memory(),
            "instructions": _instructions(),
        },
        "accelerators": _accelerators(),
        "packages": {
            name: version
            for extra in EXTRAS.values()
            for name, module in extra.items()
            if (version := _version(name, module))
        },
        "onnxruntime_providers": _providers(),
        "opencv": _opencv(),
        "engines": _engines(),
        "extras": {name: _extra(name, parts) for name, parts in EXTRAS.items()},
    }


def _extra(name: str, parts: dict[str, str]) -> dict[str, Any]:
    missing = [dist for dist, module in parts.items() if not _version(dist, module)]
    if "pycuda" in missing and _version("cuda-bindings", "cuda"):
        missing.remove("pycuda")  # either will do
    wanted = "edgekit" if name == "base" else f"edgekit[{name}]"
    fix = f"pip install '{wanted}'"
    if name == "gpu" and missing and _distribution("onnxruntime"):
        fix = f"pip uninstall -y onnxruntime && {fix}"  # the two share one folder and the CPU one would win
    return {"for": JOBS.get(name, "everything"), "missing": missing, "fix": fix if missing else None}


def _version(distribution: str, module: str) -> str | None:
    version = _distribution(distribution)
    if version:
        return version
    # the GPU build of onnxruntime is another distribution of the same module, and so counts only by its own name
    if module in BY_IMPORT and distribution != "onnxruntime-gpu" and util.find_spec(module):
        return "present (not from pip)"
    return None


def _distribution(name: str) -> str | None:
    from importlib import metadata  # 20 ms, which `edgekit --help` need not spend

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _providers() -> list[str]:
    try:
        import onnxruntime
    except ImportError:
        return []
    return list(onnxruntime.get_available_providers())


def _engines() -> dict[str, str]:
    """The libraries that compile engines, and the GPU as they would find it; or why not."""
    from edgekit.backends._cuda import open_cuda
    from edgekit.backends.trt.library import load_library
    from edgekit.engine_key import TITLES
    from edgekit.errors import BackendError

    found = {}
    for name, title in TITLES.items():
        try:
            found[title] = load_library(name).version
        except BackendError as error:
            found[title] = "not installed" if error.what.endswith("is not installed.") else f"unusable: {error.got}"
    try:
        cuda = open_cuda()
        device = cuda.device
        found["CUDA"] = f"{device.name}, SM {device.sm}, CUDA {device.cuda} through {cuda.binding}"
    except BackendError as error:
        found["CUDA"] = f"no GPU: {error.got}"
    return found


def _opencv() -> dict[str, Any] | None:
    try:
        import cv2
    except ImportError:
        return None
    text = cv2.getBuildInformation()
    parts = {}
    for part in ("GStreamer", "FFMPEG", "V4L/V4L2", "CUDA", "NVIDIA CUDA"):
        match = re.search(rf"^\s+{re.escape(part)}:\s+(.+)$", text, re.MULTILINE)
        if match:
            parts[part] = match.group(1).strip()
    return {"version": cv2.__version__, **parts}


def _processor() -> str:
    for line in _lines("/proc/cpuinfo"):
        if line.startswith(("model name", "Model")):
            return line.split(":", 1)[1].strip()
    return os.uname().machine


def _instructions() -> list[str]:
    """The vector instructions that decide how fast int8 and bf16 are."""
    telling = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "amx_int8", "amx_bf16", "asimd", "asimddp", "i8mm", "bf16")
    for line in _lines("/proc/cpuinfo"):
        if line.startswith(("flags", "Features")):
            flags = set(line.split(":", 1)[1].split())
            return [name for name in telling if name in flags]
    return []


def _memory() -> float | None:
    for line in _lines("/proc/meminfo"):
        if line.startswith("MemTotal"):
            return round(int(line.split()[1]) / 1e6, 1)
    return None


def _accelerators() -> list[str]:
    found = [f"Jetson: {line}" for line in _lines("/proc/device-tree/model") if "NVIDIA" in line]
    for folder in sorted(Path("/proc/driver/nvidia/gpus").glob("*")):
        name = next((x.split(":", 1)[1].strip() for x in _lines(folder / "information") if x.startswith("Model")), "")
        found.append(f"NVIDIA GPU: {name or folder.name}")
    if Path("/dev/dri/renderD128").exists():
        found.append("GPU with a render node: /dev/dri/renderD128")
    return found


def _lines(path: str | Path) -> list[str]:
    try:
        return Path(path).read_text(errors="replace").replace("\0", "").splitlines()
    except OSError:
        return []


def _print(found: dict[str, Any]) -> None:
    machine = found["machine"]
    rows = [
        ("edgekit", f"{found['edgekit']}, Python {found['python']['version']} ({found['python']['executable']})"),
        ("system", machine["system"]),
        ("processor", f"{machine['processor']}, {machine['cores']} cores usable, {machine['memory_gb']} GB"),
        ("instructions", " ".join(machine["instructions"]) or "none that matter here"),
        ("accelerators", "; ".join(found["accelerators"]) or "none found"),
        ("onnxruntime", ", ".join(found["onnxruntime_providers"]) or "not installed"),
        ("OpenCV", ", ".join(f"{k} {v}" for k, v in found["opencv"].items()) if found["opencv"] else "not installed"),
    ]
    rows += list(found["engines"].items())
    for name, value in rows:
        typer.echo(f"{name:<13} {value}")
    typer.echo("")
    for name, version in found["packages"].items():
        typer.echo(f"  {name:<24} {version}")
    typer.echo("")
    for name, extra in found["extras"].items():
        state = "ok" if not extra["missing"] else "missing " + ", ".join(extra["missing"])
        typer.echo(f"  {name:<9} {state:<40} {extra['for']}")
        if extra["fix"]:
            typer.echo(f"            {extra['fix']}")
