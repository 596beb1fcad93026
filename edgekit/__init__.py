"""edgekit: from a PyTorch checkpoint to a verified model on an edge camera.

The public names below are imported when they are first used, so that `import edgekit` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from edgekit.artifact import read_onnx
    from edgekit.errors import EdgekitError
    from edgekit.graph.fold_bn import fold_bn
    from edgekit.loading import open_predictor
    from edgekit.pipeline import export
    from edgekit.predictor import Predictor
    from edgekit.spec import ModelSpec, PreprocessSpec, TensorSpec
    from edgekit.training.checkpoint import load_checkpoint, save_checkpoint
    from edgekit.vision.image import read_picture

_HOME = {
    "EdgekitError": "edgekit.errors",
    "ModelSpec": "edgekit.spec",
    "Predictor": "edgekit.predictor",
    "PreprocessSpec": "edgekit.spec",
    "TensorSpec": "edgekit.spec",
    "export": "edgekit.pipeline",
    "fold_bn": "edgekit.graph.fold_bn",
    "load_checkpoint": "edgekit.training.checkpoint",
    "open_predictor": "edgekit.loading",
    "read_onnx": "edgekit.artifact",
    "read_picture": "edgekit.vision.image",
    "save_checkpoint": "edgekit.training.checkpoint",
}

__all__ = [
    "EdgekitError",
    "ModelSpec",
    "Predictor",
    "PreprocessSpec",
    "TensorSpec",
    "__version__",
    "export",
    "fold_bn",
    "load_checkpoint",
    "open_predictor",
    "read_onnx",
    "read_picture",
    "save_checkpoint",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'edgekit' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
