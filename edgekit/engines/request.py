"""What an engine is asked for, and the build options that follow from it, the target and the GPU that is here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgekit.artifacts.engine_key import Batch, BuildOptions
from edgekit.artifacts.onnx_file import Artifact
from edgekit.backends.cuda.base import Device
from edgekit.backends.cuda.open import open_cuda
from edgekit.config.target import EngineTable, Target
from edgekit.errors import BackendError, UsageError


@dataclass(frozen=True)
class EngineRequest:
    """How an engine is built; what is left out is the target's.

    Attributes:
        fallbacks: the same model with more bits (fp16, fp32), tried in this order when the board refuses the graph.
        out: folder; default is the model's own.
        sms: compute capabilities instead of the target's; TensorRT-RTX only.
        batch: sizes of a dynamic batch.
        workspace_mib: most scratch memory in MiB.
        timing_cache: folder for the builder's measurements.
        cpu_only: build for the named GPUs without looking for one here; TensorRT-RTX only.
        binding: how CUDA is reached, as `edgekit.backends.cuda.open.open_cuda` takes it.
        force: replace an engine that was built with other files or options.
    """

    fallbacks: Sequence[Path] = ()
    out: Path | None = None
    sms: Sequence[str] = ()
    batch: Batch | None = None
    workspace_mib: int | None = None
    timing_cache: Path | None = None
    cpu_only: bool = False
    binding: str = "auto"
    force: bool = False


AS_THE_TARGET = EngineRequest()


def engine_table(target: Target, asked: EngineRequest) -> EngineTable:
    """The target's table [engine]. Raises UsageError where it has none, or the request does not go with it."""
    if target.engine is None:
        raise UsageError(
            f"{target.name} runs the ONNX itself: there is no engine to build.",
            got=f"--target {target.name}",
            expected="a target with a table [engine]",
            fix="edgekit predict MODEL.onnx runs it; or --target jetson-orin-nano, rtx-ada and the like",
        )
    if target.engine.library != "tensorrt_rtx" and (asked.cpu_only or asked.sms):
        raise UsageError(
            "TensorRT builds for the GPU that it runs on.",
            got="--cpu-only" if asked.cpu_only else f"--sm {asked.sms[0]}",
            expected="neither --cpu-only nor --sm, which are for targets of TensorRT-RTX",
            fix=f"edgekit build on the {target.name} itself",
        )
    wrong = [sm for sm in asked.sms if not re.fullmatch(r"\d+\.\d", sm)]
    if wrong:
        raise UsageError("--sm does not take this value.", got=wrong[0], expected="a compute capability such as 8.9")
    return target.engine


def find_device(binding: str, table: EngineTable) -> Device:
    """The GPU that is here. Raises BackendError, with the way out where the library builds without one."""
    try:
        return open_cuda(binding).device
    except BackendError as error:
        if table.library == "tensorrt_rtx":
            error.fix = "--cpu-only builds for SM " + " and ".join(table.sms) + " without a GPU"
        raise


def build_options(table: EngineTable, target: Target, asked: EngineRequest, device: Device | None) -> BuildOptions:
    """The target's options with what was asked for instead; no batch yet, which is the graph's.

    Raises:
        UsageError: `device` is not of the kind that the engine is for.
    """
    wanted = tuple(asked.sms) or table.sms
    if device is not None and device.sm not in wanted:
        raise UsageError(
            f"This machine is not a {target.name}.",
            got=f"{device.name}, SM {device.sm}",
            expected="SM " + " or ".join(wanted),
            fix="the --target of this machine"
            + ("; --cpu-only builds for another one" if table.library == "tensorrt_rtx" else ""),
        )
    return BuildOptions(
        library=table.library,
        sms=wanted if table.library == "tensorrt_rtx" or device is None else (device.sm,),
        workspace_mib=table.workspace_mib if asked.workspace_mib is None else asked.workspace_mib,
        hardware=table.hardware,
        version_compatible=table.version_compatible,
        dla=table.dla,
        level=table.level,
    )


def with_batch(options: BuildOptions, artifact: Artifact, batch: Batch | None, table: EngineTable) -> BuildOptions:
    """The target's batch where the graph's is dynamic; what was asked for in any case, so that it can be refused."""
    dynamic = not artifact.model.graph.input[0].type.tensor_type.shape.dim[0].HasField("dim_value")
    return replace(options, batch=batch or (Batch(*table.batch) if dynamic else None))
