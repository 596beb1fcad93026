"""What decides the content of an engine and where it may run: build options, the machine, and the key made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from edgekit.errors import UsageError
from edgekit.spec import digest

SUFFIX = ".engine"
TITLES = {"tensorrt": "TensorRT", "tensorrt_rtx": "TensorRT-RTX"}
SHORT = {"tensorrt": "trt", "tensorrt_rtx": "rtx"}


class Batch(NamedTuple):
    """Sizes of a dynamic batch: the smallest and largest that the engine takes, and the one that it is tuned for."""

    minimum: int
    optimum: int
    maximum: int

    @classmethod
    def parse(cls, text: str) -> Batch:
        """From `MIN:OPT:MAX`, or `N` for one size. Raises UsageError."""
        parts = text.split(":")
        sizes = [int(part) for part in parts if part.isascii() and part.isdigit()]
        if len(sizes) == len(parts) == 1:
            sizes *= 3
        if len(sizes) != 3 or len(parts) not in (1, 3) or not 1 <= sizes[0] <= sizes[1] <= sizes[2]:
            raise UsageError("--batch does not take this value.", got=text, expected="N or MIN:OPT:MAX, such as 1:4:8")
        return cls(*sizes)

    def __str__(self) -> str:
        return f"{self.minimum}:{self.optimum}:{self.maximum}"


@dataclass(frozen=True)
class BuildOptions:
    """What decides the content of a plan, beside the ONNX, the library's version and the GPU.

    Attributes:
        library: `tensorrt` or `tensorrt_rtx`; never the one for the other.
        sms: compute capabilities, such as 8.7; TensorRT builds for the one of its own GPU.
        batch: of a graph with a dynamic batch; None when it is fixed.
        workspace_mib: most scratch memory in MiB; None for the library's own limit.
        hardware: `none`, `same-sm` (any GPU of this compute capability) or `ampere-plus` (8.0 and newer).
        version_compatible: whether later versions can load it, through the builder's lean runtime.
        dla: core of the deep learning accelerator; layers that it cannot run go to the GPU.
        level: the builder's effort, 0 to 5; None for its own default.
    """

    library: str
    sms: tuple[str, ...]
    batch: Batch | None = None
    workspace_mib: int | None = None
    hardware: str = "none"
    version_compatible: bool = False
    dla: int | None = None
    level: int | None = None

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "sms": list(self.sms), "batch": None if self.batch is None else list(self.batch)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> BuildOptions:
        batch = data["batch"]
        return cls(**{**data, "sms": tuple(data["sms"]), "batch": None if batch is None else Batch(*batch)})


@dataclass(frozen=True)
class Place:
    """A machine as far as an engine depends on it; what is not known is empty.

    Attributes:
        library, version: as in BuildOptions, and e.g. 10.3.0.
        sm: compute capability, such as 8.7.
        gpu, cuda, l4t, jetpack: name, CUDA version, and on a Jetson the releases of its system.
    """

    library: str
    version: str
    sm: str = ""
    gpu: str = ""
    cuda: str = ""
    l4t: str = ""
    jetpack: str = ""

    def describe(self) -> str:
        parts = (f"{TITLES[self.library]} {self.version}", self.sm and f"SM {self.sm}", self.gpu, self.jetpack)
        return ", ".join(part for part in parts if part)


def engine_key(onnx_sha256: str, version: str, options: BuildOptions) -> str:
    """sha256 (hex) of everything that decides a plan's content and where it may run."""
    return digest({"onnx": onnx_sha256, "version": version, "options": options.to_dict()})


def engine_name(onnx: Path, precision: str, version: str, options: BuildOptions) -> str:
    """`hornet.fp16.trt10.3-sm87.engine`: the precision once, the version as people say it, then the GPUs."""
    kind, _, _ = precision.partition("-")  # int8-trt is int8
    stem = onnx.name.removesuffix(".onnx").removesuffix(f".{precision}").removesuffix(f".{kind}")
    sms = "-".join(sm.replace(".", "") for sm in options.sms)
    parts = [f"{SHORT[options.library]}{'.'.join(version.split('.')[:2])}", f"sm{sms}"]
    parts += [options.hardware] if options.hardware != "none" else []
    parts += [f"dla{options.dla}"] if options.dla is not None else []
    return f"{stem}.{kind}.{'-'.join(parts)}{SUFFIX}"


def numbers(version: str) -> tuple[int, ...]:
    """A version or compute capability as numbers to compare."""
    return tuple(int(part) for part in version.split(".") if part.isdigit())
