"""What each extra of edgekit needs, as pyproject.toml has it, and which distributions write into one folder."""

from __future__ import annotations

import sys
from dataclasses import dataclass

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
        "opencv-python-headless cv2 4.8",
    ),
    "camera": _parts(
        "cryptography cryptography 42", "paho-mqtt paho.mqtt 2.0", "prometheus-client prometheus_client 0.20",
        "starlette starlette 0.39", "uvicorn uvicorn 0.29",
    ),
    "label": _parts(*_PICTURES, "starlette starlette 0.37", "uvicorn uvicorn 0.29"),
    "tensorrt": _parts("tensorrt tensorrt 10.3", "pycuda pycuda 2024.1"),
    "rtx": _parts("tensorrt-rtx tensorrt_rtx 1.2", "cuda-bindings cuda 12.6"),
}  # fmt: skip
