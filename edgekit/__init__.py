"""edgekit: from a PyTorch checkpoint to a verified model on an edge camera.

    model = edgekit.load("hornet-mobile")
    found = model("hive.jpg")

`train`, `export`, `adopt`, `verify`, `evaluate`, `bench`, `data_report` and `convert_data` do what the commands do.

The public names below are imported when they are first used, so that `import edgekit` costs nothing. Where a package is
missing that one of them needs, as torch on a device, the name is still there and says so when it is called.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from edgekit.version import __version__

if TYPE_CHECKING:
    from edgekit.api.adopt import adopt
    from edgekit.api.alarms import false_alarms
    from edgekit.api.bench import BenchOptions, bench
    from edgekit.api.erasing import erasing
    from edgekit.api.evaluate import evaluate
    from edgekit.api.label import label
    from edgekit.api.latency import latency
    from edgekit.api.model import Model, load
    from edgekit.api.train import train
    from edgekit.api.verify import verify
    from edgekit.artifacts.onnx_file import read_onnx
    from edgekit.artifacts.opening import CheckpointOptions, RunOptions
    from edgekit.checkpoints.checkpoint import load_checkpoint, save_checkpoint
    from edgekit.data.survey.report import data_report
    from edgekit.data.writing.convert import convert_data
    from edgekit.errors import EdgekitError
    from edgekit.graph.fold_bn import fold_bn
    from edgekit.loading import open_predictor
    from edgekit.pipeline import export
    from edgekit.predictor import Predictor
    from edgekit.spec import ModelSpec, PreprocessSpec, Suppression, TensorSpec
    from edgekit.vision.image import read_picture
    from edgekit.vision.labels import Label, Labels
    from edgekit.vision.results import Classification, Detection, Detections
    from edgekit.vision.segmentation.masks import Masks
    from edgekit.vision.vector import Features

_HOME = {
    "BenchOptions": "edgekit.api.bench",
    "CheckpointOptions": "edgekit.artifacts.opening",
    "Classification": "edgekit.vision.results",
    "Detection": "edgekit.vision.results",
    "Detections": "edgekit.vision.results",
    "EdgekitError": "edgekit.errors",
    "Features": "edgekit.vision.vector",
    "Label": "edgekit.vision.labels",
    "Labels": "edgekit.vision.labels",
    "Masks": "edgekit.vision.segmentation.masks",
    "Model": "edgekit.api.model",
    "ModelSpec": "edgekit.spec",
    "Predictor": "edgekit.predictor",
    "PreprocessSpec": "edgekit.spec",
    "RunOptions": "edgekit.artifacts.opening",
    "Suppression": "edgekit.spec",
    "TensorSpec": "edgekit.spec",
    "adopt": "edgekit.api.adopt",
    "bench": "edgekit.api.bench",
    "convert_data": "edgekit.data.writing.convert",
    "data_report": "edgekit.data.survey.report",
    "erasing": "edgekit.api.erasing",
    "evaluate": "edgekit.api.evaluate",
    "export": "edgekit.pipeline",
    "false_alarms": "edgekit.api.alarms",
    "fold_bn": "edgekit.graph.fold_bn",
    "label": "edgekit.api.label",
    "latency": "edgekit.api.latency",
    "load": "edgekit.api.model",
    "load_checkpoint": "edgekit.checkpoints.checkpoint",
    "open_predictor": "edgekit.loading",
    "read_onnx": "edgekit.artifacts.onnx_file",
    "read_picture": "edgekit.vision.image",
    "save_checkpoint": "edgekit.checkpoints.checkpoint",
    "train": "edgekit.api.train",
    "verify": "edgekit.api.verify",
}

__all__ = [
    "BenchOptions",
    "CheckpointOptions",
    "Classification",
    "Detection",
    "Detections",
    "EdgekitError",
    "Features",
    "Label",
    "Labels",
    "Masks",
    "Model",
    "ModelSpec",
    "Predictor",
    "PreprocessSpec",
    "RunOptions",
    "Suppression",
    "TensorSpec",
    "__version__",
    "adopt",
    "bench",
    "convert_data",
    "data_report",
    "erasing",
    "evaluate",
    "export",
    "false_alarms",
    "fold_bn",
    "label",
    "latency",
    "load",
    "load_checkpoint",
    "open_predictor",
    "read_onnx",
    "read_picture",
    "save_checkpoint",
    "train",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'edgekit' has no attribute {name!r}")
    try:
        return getattr(import_module(_HOME[name]), name)
    except ImportError as error:
        if (error.name or "edgekit").partition(".")[0] == "edgekit":
            raise
        return _missing(name, error)


def _missing(name: str, error: ImportError) -> Any:
    """What stands for a function whose package is not installed: `help`, `hasattr` and `import *` go on working."""

    def missing(*arguments: Any, **options: Any) -> Any:
        raise ImportError(f"edgekit.{name} needs {error.name}, which is not installed", name=error.name) from error

    missing.__name__ = missing.__qualname__ = name
    missing.__doc__ = f"Needs {error.name}, which is not installed: `edgekit doctor` says how to get it."
    missing.__module__ = __name__
    return missing


def __dir__() -> list[str]:
    return __all__
