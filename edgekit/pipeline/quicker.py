"""What makes a smaller precision quick in the target's runtime, and whether it is quicker on this machine."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import onnx

from edgekit.artifacts.onnx_file import Artifact
from edgekit.benchmark.machine.emulation import emulator
from edgekit.config.target import Target
from edgekit.graph.passes.space_to_depth import SpaceToDepth
from edgekit.metrics.statistics import Interval, paired_ratio
from edgekit.pipeline.embed_metadata import session_options
from edgekit.predictor import Frame, Predictor
from edgekit.quantize.place import Quantized
from edgekit.screen import count_of

PAIRS, FEWEST, SECONDS = 40, 12, 2.0
# machines, by Python's name of them, on which a graph of this scheme runs as it does on its target
MACHINES = {"int8-x86": ("x86_64", "AMD64"), "int8-arm": ("aarch64", "arm64")}


@dataclass(frozen=True)
class Speed:
    """Inference of the two graphs in turns, one picture at a time.

    Attributes:
        times: how many times as fast as float32, with its 95 % interval.
        fp32_ms, ms: medians in milliseconds.
        pairs: how often both ran.
        backend, threads: of the target's runtime; 0 threads are one per physical core.
    """

    times: Interval
    fp32_ms: float
    ms: float
    pairs: int
    backend: str
    threads: int

    @property
    def quicker(self) -> bool:
        """Whether it is shown to be: the whole interval is above 1."""
        return self.times.low > 1

    def line(self) -> str:
        """A sentence without its subject."""
        what = "quicker than" if self.quicker else "slower than" if self.times.high < 1 else "not shown quicker than"
        return (
            f"{what} fp32 in {self.backend} on this machine: {self.times.value:.2f} times as fast "
            f"[{self.times.low:.2f}, {self.times.high:.2f}], {self.ms:.1f} ms against {self.fp32_ms:.1f} "
            f"({count_of(self.pairs, 'pair')} of runs)"
        )

    def to_dict(self) -> dict[str, object]:
        """For JSON."""
        return {**vars(self), "times": self.times.to_dict(), "quicker": self.quicker, "text": self.line()}


def laid_out(quantized: Quantized, target: Target) -> Quantized:
    """The same graph, bit for bit in its answers, as the target's runtime likes it (`SpaceToDepth`).

    For onnxruntime on x86 alone: OpenVINO and TensorRT have kernels for three channels, on ARM nothing was measured.
    """
    if quantized.scheme != "int8-x86" or target.runtime.backend != "onnxruntime":
        return quantized
    model = onnx.ModelProto()
    model.CopyFrom(quantized.model)
    return replace(quantized, model=model) if SpaceToDepth()(model) else quantized


def foreign(target: Target) -> str | None:
    """Why this machine's times say nothing of the target's; None where they do."""
    if target.engine is not None:
        return "the target compiles the graph: edgekit build, and edgekit bench there"
    if platform.machine() not in MACHINES.get(str(target.scheme), ()):
        return f"this machine is no {target.name}: edgekit bench there"
    name = emulator()
    return None if name is None else f"this processor is emulated by {name}"


def told_speed(fp32: Artifact, other: Artifact, picture: Frame, target: Target) -> dict[str, object]:
    """For an export's report: `Speed.to_dict`, or why there is none."""
    if why := foreign(target):
        return {"times": None, "text": f"speed not measured: {why}"}
    options = session_options(target.runtime)
    with Predictor.from_artifact(fp32, **options) as base, Predictor.from_artifact(other, **options) as made:
        return speed(base, made, picture, target).to_dict()


def speed(
    fp32: Predictor,
    other: Predictor,
    picture: Frame,
    target: Target,
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> Speed:
    """Runs both in turns, `FEWEST` to `PAIRS` times and about `SECONDS`; what meets the whole machine meets both.

    Args:
        fp32, other: of the same net, in the target's runtime.
        picture: resized, uint8 [H, W, 3] BGR.
        clock: gives seconds.
    """
    spent: tuple[list[float], list[float]] = ([], [])
    begin = clock()
    while len(spent[0]) < FEWEST or (len(spent[0]) < PAIRS and clock() - begin < SECONDS):
        order = (0, 1) if len(spent[0]) % 2 == 0 else (1, 0)
        for which in order:
            graph = (fp32, other)[which]
            graph.answers([picture], batch=1)  # what the other one left in the caches is not counted
            start = clock()
            graph.answers([picture], batch=1)
            spent[which].append(max(clock() - start, 1e-9))
    return Speed(
        times=paired_ratio(*spent),
        fp32_ms=float(np.median(spent[0])) * 1e3,
        ms=float(np.median(spent[1])) * 1e3,
        pairs=len(spent[0]),
        backend=target.runtime.backend,
        threads=target.runtime.threads,
    )
