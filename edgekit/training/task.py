"""What the loop needs to know about a task: its net, its samples, its loss and its score. One file a task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgekit.artifacts.metadata import MADE, RECORDED
from edgekit.checkpoints.checkpoint import Checkpoint
from edgekit.data import Dataset
from edgekit.errors import UsageError
from edgekit.spec import ModelSpec, PreprocessSpec

Batch = dict[str, Tensor]
Boxes = Sequence[tuple[float, float, float, float]]


@dataclass(frozen=True)
class Score:
    """How good a net is on the validation data.

    Attributes:
        metrics: figures for the record, by name; what was not measured is not among them.
        key: what decides which net is better, larger being better, compared in order. Empty where nothing could be
            measured: then the later one is kept.
        spec: the task's ModelSpec, with what was fitted on the validation data (temperature, thresholds).
    """

    metrics: Mapping[str, float]
    key: tuple[float, ...]
    spec: ModelSpec


class Training(ABC):
    """One kind of net on one set of data.

    Attributes:
        spec: what the net is.
        net: float32, on the CPU, with its first weights.
        heads: names of the modules that are new and learn at `lr_head`; all others are the trunk.
        trained_on: as in `edgekit.artifacts.metadata.Metadata`.
        scores_start: what the net is before the first step competes too, as row 0.
    """

    spec: ModelSpec
    net: nn.Module
    heads: tuple[str, ...]
    trained_on: str = ""
    scores_start: bool = False

    @abstractmethod
    def __len__(self) -> int:
        """Training samples."""

    @abstractmethod
    def name(self, index: int) -> str:
        """What messages call a training sample."""

    @abstractmethod
    def digest(self) -> str:
        """Hash of the training samples' names and labels: a training is only resumed on the same ones."""

    @abstractmethod
    def sample(self, index: int, seed: int) -> Batch:
        """One varied training sample, the same for the same seed. Runs in loader processes. Raises PictureError."""

    def shown(self, index: int, seed: int) -> tuple[Tensor, Boxes]:
        """What `sample` shows the net, for people: uint8 [3, H, W] RGB, and boxes x1 y1 x2 y2 in its pixels."""
        return self.sample(index, seed)["image"], ()

    @abstractmethod
    def collate(self, samples: Sequence[Batch]) -> Batch:
        """A batch of samples, on the CPU. Runs in loader processes."""

    @abstractmethod
    def loss(self, net: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Scalars by name; `loss` is what is minimized, a mean over the batch's samples.

        Args:
            net: the task's, maybe wrapped for several processes: call it, don't look into it.
            batch: on the net's device.
        """

    @abstractmethod
    def evaluate(self, net: nn.Module) -> Score:
        """The score of `net` (evaluation mode, its own device) on the validation data."""

    def answers(self, net: nn.Module) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Logits [N, C] of `net` (evaluation mode) on the validation pictures, and their labels [N].

        Raises:
            UsageError: a task whose pictures have no one label each.
        """
        raise UsageError("This task has no answers that could compete.", got=type(self).__name__)

    @abstractmethod
    def draw(self, net: nn.Module, spec: ModelSpec, folder: Path) -> tuple[Path, ...]:
        """Pictures of what `net` does on the validation data, for people; returns what was written to `folder`."""

    def sampling_weights(self) -> Tensor | None:
        """float64 [len(self)]: how often each sample is drawn in relation to the others, or None for once an epoch."""
        return None

    def net_of(self, checkpoint: Checkpoint) -> nn.Module:
        """What a checkpoint of this training answers by, in evaluation mode."""
        return checkpoint.net()

    def stored(self, net: nn.Module) -> dict[str, Any]:
        """What a checkpoint keeps of `net`: the arguments of `edgekit.checkpoints.checkpoint.Checkpoint` for it."""
        return {"state_dict": net.state_dict()}

    def start(self, net: nn.Module) -> None:  # noqa: B027 - most tasks have nothing to do
        """Called before the first step, and with `refit_head` after the last, with the net on its device.

        May fit the head; must leave the rest alone.
        """


def origin(train: Dataset, credit: str) -> str:
    """What files say of where a model comes from: of made pictures that alone, else what the recipe says of them."""
    return MADE if train.layout == "made" else credit or RECORDED


def after(before: str, now: str) -> str:
    """What files say of a model that learnt from both, one after the other; whose pictures they are stays said."""
    if before in ("", now) or (before == MADE and now != MADE):
        return now
    return RECORDED if {before, now} == {MADE, RECORDED} else f"{now}, and before that on {before}"


def normalised(images: Tensor, spec: PreprocessSpec) -> Tensor:
    """uint8 [N, 3, H, W] in RGB -> float32, bit for bit as `edgekit.vision.preprocess.normalise`, channels last.

    Done on rows of W * 3 numbers: with the mean repeated along a row it is three times as fast as broadcasting it.
    """
    rows = images.permute(0, 2, 3, 1)  # [N, H, W, 3]
    if spec.color == "bgr":
        rows = rows.flip(3)
    n, h, w, _ = rows.shape
    x = rows.reshape(n, h, w * 3).float().div_(255)
    x.sub_(_row(spec.mean, w, x.device))
    x.div_(_row(spec.std, w, x.device))
    return x.view(n, h, w, 3).permute(0, 3, 1, 2)


@lru_cache(maxsize=64)
def _row(values: tuple[float, ...], width: int, device: torch.device) -> Tensor:
    """float32 [3 width]: of each pixel of a row. Made once: a GPU would wait for the host at every step."""
    return torch.tensor(values, dtype=torch.float32, device=device).repeat(width)


def stacked(images: Sequence[Tensor]) -> Tensor:
    """[3, H, W] each -> [N, 3, H, W], channels last as decoded pictures are: nothing is turned over in memory."""
    return torch.stack([image.permute(1, 2, 0) for image in images]).permute(0, 3, 1, 2)
