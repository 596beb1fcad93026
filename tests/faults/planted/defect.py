"""One thing that goes wrong in an export."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import onnx
import pytest

Patch = pytest.MonkeyPatch
Graph = onnx.ModelProto
LAYER = "layer1.1.conv2"  # both the net and the small one of the plain path have it


@dataclass(frozen=True)
class Defect:
    """One thing that goes wrong.

    Attributes:
        seed: plants it.
        stage: the stage that the message must name.
        tensor: the first wrong tensor that the message must name; None where the stage knows of none.
        code: exit code of `edgekit export`; where it is not 3 there is no verdict but an error that says `says`.
        arguments: options of the export beside the usual ones.
        foreign: whether it shows only with a plain state dict, which is compared with torchvision's own net.
        shows: whether the answers of the plain file are wrong; its form or description is otherwise.
    """

    name: str
    seed: Callable[[Patch], None]
    stage: str
    tensor: str | None = None
    code: int = 3
    arguments: tuple[str, ...] = ()
    foreign: bool = False
    shows: bool = True
    says: str = ""
