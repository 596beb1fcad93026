"""State dicts of kilobytes, and how a checkpoint of them is written and read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from edgekit.checkpoints.checkpoint import Checkpoint, load_checkpoint
from edgekit.nets.resnet import ResNet

CLASSES = ("Biene", "Hornisse ä", "nothing")


def light_of(norm: str = "batch", classes: int = 3, arch: str = "resnet18") -> dict[str, Tensor]:
    """The keys and shapes of a ResNet, each tensor one number: a file of kilobytes."""
    with torch.device("meta"):
        shapes = {k: v.shape for k, v in ResNet(arch, classes, norm).state_dict().items()}  # type: ignore[arg-type]
    return {k: torch.tensor(float(i)).expand(shape) for i, (k, shape) in enumerate(shapes.items())}


def loaded(path: Path, content: object, **options: Any) -> Checkpoint:
    """What is read of `content`, saved under `path`."""
    torch.save(content, path)
    return load_checkpoint(path, **{"classes": CLASSES, **options})
