"""One step of the optimizer, on whatever the machine has: loss, gradient, clipping, in one process or several."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer
from accelerate.state import AcceleratorState
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from edgekit.errors import DataError, EdgekitError, UsageError
from edgekit.screen import some
from edgekit.training.loop.batches import LoadedBatch
from edgekit.training.loop.result import BEST, LAST
from edgekit.training.task import Training


class DivergedError(Exception):
    """The loss or the gradient is NaN or infinite: `what` it is of the two, and its `value`."""

    def __init__(self, what: str, value: float) -> None:
        super().__init__(what, value)
        self.what, self.value = what, value

    def told(self, place: str, pictures: str, out: Path) -> EdgekitError:
        """The same for the user: in which batch, on which pictures, and which checkpoints in `out` are sound."""
        kept = [name for name in (BEST, LAST) if (out / name).exists()]
        return EdgekitError(
            f"The {self.what} is not a number any more, in {place}.",
            got=f"{self.value} on {pictures}",
            expected="a finite number",
            fix=f"a lower learning rate (--set schedule.lr_trunk=...), or look at these pictures; "
            f"{' and '.join(kept) + ' in ' + str(out) + ' are from before' if kept else 'nothing was saved yet'}",
        )


class Stepper:
    """Learns from one batch after the other.

    Args:
        net: whose parameters learn; what is called is `net` itself or a wrapper of it.
        optimizer: of `net`, as the accelerator prepared it.
        clip: the longest gradient, L2 over all parameters; longer ones are shortened to it, 0 leaves them.
    """

    def __init__(
        self, task: Training, net: nn.Module, optimizer: AcceleratedOptimizer, accelerator: Accelerator, clip: float
    ) -> None:
        self._task, self._net, self._optimizer = task, net, optimizer
        self._accelerator, self._clip = accelerator, clip

    def __call__(self, net: nn.Module, part: LoadedBatch) -> dict[str, float]:
        """One step on `part`. Gives the losses by name, their mean over all processes.

        Args:
            net: the net, or with several processes torch's DistributedDataParallel of it.

        Raises:
            DataError: not one picture of the batch could be read.
            DivergedError: nothing was changed.
        """
        if part.batch is None:
            raise DataError("Not one picture of a batch can be read.", got=some(part.unread), fix="is the disk there?")
        accelerator = self._accelerator
        batch = {name: tensor.to(accelerator.device, non_blocking=True) for name, tensor in part.batch.items()}
        with accelerator.autocast():
            losses = self._task.loss(net, batch)
        values = self._mean({name: value.detach() for name, value in losses.items()})
        if not math.isfinite(values["loss"]):
            raise DivergedError("loss", values["loss"])
        accelerator.backward(losses["loss"])
        self._shorten()
        self._optimizer.step()
        self._optimizer.zero_grad()
        return values

    def _shorten(self) -> None:
        """Clips the gradient."""
        self._accelerator.unscale_gradients()
        learning = [p for p in self._net.parameters() if p.grad is not None]
        total = get_total_norm([p.grad for p in learning if p.grad is not None])
        norm = float(total)
        # with fp16 an overflow is the scaler's business: it skips the step and scales less
        if self._accelerator.scaler is None and not math.isfinite(norm):
            raise DivergedError("gradient", norm)
        if self._clip and math.isfinite(norm) and norm > self._clip:
            clip_grads_with_norm_(learning, self._clip, total)

    def _mean(self, values: dict[str, Tensor]) -> dict[str, float]:
        if self._accelerator.num_processes == 1:
            return {name: float(value) for name, value in values.items()}
        stacked: Any = self._accelerator.reduce(torch.stack([v.float() for v in values.values()]), reduction="mean")
        return dict(zip(values, stacked.tolist(), strict=True))


@contextlib.contextmanager
def full_precision() -> Iterator[None]:
    """float32 as the CPU and an exported file compute it: on a GPU convolutions round to TF32's 10 bits otherwise."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def make_accelerator(precision: str) -> Accelerator:
    """The processes and the device of a training. Raises UsageError: "fp16" without a GPU."""
    if precision == "fp16" and not torch.cuda.is_available():
        raise UsageError("fp16 training needs a GPU.", got="a CPU", fix="--set precision=fp32, or bf16")
    AcceleratorState._reset_state()  # one for the whole process: an earlier training's precision would bind this one
    mixed = "no" if precision == "fp32" else precision
    return Accelerator(mixed_precision=mixed, cpu=not torch.cuda.is_available())
