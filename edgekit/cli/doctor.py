"""`edgekit doctor`: what is here, what is missing for which job, and the command that mends it. Changes nothing."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from edgekit.cli.shared import after, installed, packages
from edgekit.cli.shared.extras import BY_IMPORT, EXTRAS, GPU, Part
from edgekit.cli.shared.helptext import Group
from edgekit.cli.shared.options import Format, FormatOption, next_command, print_json
from edgekit.cores import usable_cpus
from edgekit.version import __version__

JOBS = {
    "base": "everything",
    "cpu": "predict, eval and verify exported models on a CPU",
    "gpu": "the same on an NVIDIA GPU",
    "openvino": "the same in OpenVINO: bench, tune, and what tune chose",
    "train": "train, and export checkpoints",
    "camera": "the page of edgekit camera",
    "label": "give pictures boxes, on a page: edgekit label",
    "tensorrt": "build and run engines on GPUs, and on Jetsons (there JetPack's own: sudo apt install tensorrt)",
    "rtx": "build engines for GeForce and RTX boards, and run them there",
}
MEANS = {
    0: "exported models run here",
    5: "no model runs here, or not with every command, until base and one of cpu and gpu are ok",
}
# a made scene of 15 s, watched with the shipped detector: what runs wherever an exported model does
_WATCHED = "synthetic://hive?seed=2&fps=20&frames=300"
LOOKED = Group("What is looked at")


def doctor(
    selftest: Annotated[
        bool, LOOKED("--selftest", "Build small engines, run them, and compare with onnxruntime.")
    ] = False,
    output_format: FormatOption = Format.text,
) -> int:
    """Say what this machine has and what is missing for which job.

    Versions, providers and imports are tried, not only their presence. Exit code 5 when no exported model can run.

    Examples:
        edgekit doctor
        edgekit doctor --selftest
    """
    if selftest:
        return _selftest(output_format)
    found = examine()
    if output_format is Format.json:
        print_json(found)
    else:
        _print(found)
    code = int(found["exit_code"])
    if code == 0 and found["extras"]["train"]["ok"]:
        out = after.fresh("demo-output")
        elsewhere: list[str | Path] = [] if out.name == "demo-output" else ["--out", out]
        next_command("edgekit", "demo", *elsewhere)
    elif code == 0:
        out = after.fresh("watched")
        next_command("edgekit", "camera", "--source", _WATCHED, "--model", "hornet-mobile", "--out", out)
    return code


def _selftest(output_format: Format) -> int:
    """Exit code 0 when all that is installed ran right, 3 when something ran wrong, 5 when nothing ran."""
    from dataclasses import asdict

    from edgekit.engines.selftest import selftest

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
    if not any(check.passed for check in checks):
        return 5
    next_command("edgekit", "bench", "hornet-mobile", "--out", after.fresh("bench"))
    return 0


def examine() -> dict[str, Any]:
    """Everything doctor says, as plain data."""
    import platform

    from edgekit.benchmark.machine.emulation import emulator

    extras = {name: installed.look_at(name) for name in EXTRAS}
    runtime = any(extras[name].ok for name in ("cpu", "gpu"))
    refusal = installed.opens_files() if runtime else ""
    code = 0 if extras["base"].ok and runtime and not refusal else 5
    versions = {
        part.name: version
        for parts in EXTRAS.values()
        for part in parts
        if (version := _version(part))
    }  # fmt: skip
    return {
        "edgekit": __version__,
        "python": {"version": platform.python_version(), "executable": sys.executable},
        "machine": {
            "system": platform.platform(),
            "processor": _processor(),
            "emulated": emulator(),
            "cores": usable_cpus(),
            "memory_gb": _memory(),
            "instructions": _instructions(),
        },
        "accelerators": _accelerators(),
        "packages": versions,
        "onnxruntime_providers": packages.providers(),
        "onnxruntime_refuses": refusal,
        "opencv": _opencv(),
        "engines": _engines(),
        "extras": {name: installed.as_data(found, JOBS[name]) for name, found in extras.items()},
        "notes": installed.notes(),
        "exit_code": code,
        "means": MEANS[code],
    }


def _version(part: Part) -> str | None:
    """As pip has it, with the names of other packages that provide the same; or the module's own where pip has none."""
    there = installed.held_by(part)
    if there:
        shown = (f"{packages.version_of(name)}{'' if name == part.name else f' ({name})'}" for name in there)
        return ", ".join(shown)
    if part.module in BY_IMPORT and part.name != GPU and packages.has_module(part.module):
        return f"{packages.module_version(part.module) or 'present'} (not from pip)"
    return None


def _engines() -> dict[str, str]:
    """The libraries that compile engines, and the GPU as they would find it; or why not."""
    from edgekit.artifacts.engine_key import TITLES
    from edgekit.backends.cuda.open import open_cuda
    from edgekit.backends.trt.library import load_library
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
    if not packages.has_module("cv2") or packages.import_error("cv2"):
        return None
    import cv2

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
        *([("emulated", f"by {machine['emulated']}: times here are no device's")] if machine["emulated"] else []),
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
        state = [f"missing {', '.join(extra['missing'])}"] if extra["missing"] else []
        typer.echo(f"  {name:<9} {'; '.join([*state, *extra['wrong']]) or 'ok'}")
        typer.echo(f"            for: {extra['for']}")
        for doubt in extra["doubts"]:
            typer.echo(f"            but: {doubt}")
        if extra["fix"]:
            typer.echo(f"            fix: {extra['fix']}")
    typer.echo("")
    if found["onnxruntime_refuses"]:
        typer.echo(f"onnxruntime does not open what edgekit writes: {found['onnxruntime_refuses']}")
    for note in found["notes"]:
        typer.echo(f"note: {note}")
    typer.echo(f"exit code {found['exit_code']}: {found['means']}")
