"""How a model file is opened: what runs it, and what is said of a checkpoint that does not say it itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgekit.spec import PreprocessSpec


@dataclass(frozen=True)
class RunOptions:
    """What runs an exported ONNX. A checkpoint runs in torch on the CPU, an engine on the GPU that it was built for.

    Attributes:
        backend: a name of `edgekit.backends.BACKENDS`.
        provider: onnxruntime's execution provider: `cpu`, `cuda` or `tensorrt`.
        threads: CPU threads; 0 is one per physical core.
        streams: runs at once, sharing `threads`.
        frugal: of onnxruntime: keep less memory.
    """

    backend: str = "onnxruntime"
    provider: str = "cpu"
    threads: int = 0
    streams: int = 1
    frugal: bool = False


@dataclass(frozen=True)
class CheckpointOptions:
    """What the caller says of a checkpoint; a file that says it itself is not contradicted.

    Attributes:
        classes: names in the order of the logits.
        preprocess: from a picture to the numbers that the net was trained on.
        norm: `group`, `layer` or `instance`, where the keys do not tell.
        arch: the net, such as `resnet18` or `timm:NAME`, which keys alone do not prove.
        weights_key: which of several sets of weights in a file, such as `model_ema`.
        multi_label: whether a picture may have several labels, so that scores are sigmoids.
    """

    classes: Sequence[str] | None = None
    preprocess: PreprocessSpec | None = None
    norm: str | None = None
    arch: str | None = None
    weights_key: str | None = None
    multi_label: bool | None = None

    def arguments(self) -> dict[str, Any]:
        """The keyword arguments of `edgekit.checkpoints.checkpoint.load_checkpoint`."""
        return {
            "classes": self.classes,
            "preprocess": self.preprocess,
            "norm": self.norm,
            "arch": self.arch,
            "weights_key": self.weights_key,
            "multi_label": self.multi_label,
        }


BY_DEFAULT = RunOptions()
NOTHING_TOLD = CheckpointOptions()
