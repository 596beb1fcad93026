"""One step of the optimizer, on whatever the machine has: loss, gradient, clipping, in one process or several."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
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
from edgekit.training.loop.result import BEST, LAST
from edgekit.training.loop.steps.batches import LoadedBatch
from edgekit.training.task import Training

NORM = "gradient"  # the gradient's length among a step's values


class Stepper:
    """Learns from one batch after the other, and never waits for the device.

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

    def __call__(self, net: nn.Module, part: LoadedBatch) -> dict[str, Tensor]:
        """One step on `part`.

        Args:
            net: the net, or what torch made of it for several processes or compiled.

        Returns:
            Scalars on the device: the losses by name, their mean over all processes, and under `NORM` the gradient's
            length before it was shortened. `require_finite` tells whether the weights are still numbers.

        Raises:
            DataError: not one picture of the batch could be read.
        """
        if part.batch is None:
            raise DataError("Not one picture of a batch can be read.", got=some(part.unread), fix="is the disk there?")
        accelerator = self._accelerator
        batch = {name: tensor.to(accelerator.device, non_blocking=True) for name, tensor in part.batch.items()}
        with accelerator.autocast():
            losses = self._task.loss(net, batch)
        values = self._mean({name: value.detach() for name, value in losses.items()})
        accelerator.backward(losses["loss"])
        norm = self._shorten()
        self._optimizer.step()
        self._optimizer.zero_grad()
        # with fp16 an overflow is the scaler's business: it skips the step and scales less
        return values if accelerator.scaler is not None else {**values, NORM: norm}

    def _shorten(self) -> Tensor:
        """Clips the gradient; gives its length before."""
        self._accelerator.unscale_gradients()
        learning = [p for p in self._net.parameters() if p.grad is not None]
        norm = get_total_norm([p.grad for p in learning if p.grad is not None])
        if self._clip:
            clip_grads_with_norm_(learning, self._clip, norm)
        return norm

    def _mean(self, values: dict[str, Tensor]) -> dict[str, Tensor]:
        if self._accelerator.num_processes == 1:
            return values
        stacked: Any = self._accelerator.reduce(torch.stack([v.float() for v in values.values()]), reduction="mean")
        return dict(zip(values, stacked, strict=True))


def require_finite(values: Mapping[str, float], place: str, pictures: str, out: Path) -> None:
    """Raises EdgekitError where a step's loss or gradient is NaN or infinite.

    Args:
        values: of the step.
        place: in which batch it was.
        pictures: of the batch.
        out: folder of the run: which checkpoints in it are sound is said.
    """
    for what in ("loss", NORM):
        if not math.isfinite(values.get(what, 0.0)):
            kept = [name for name in (BEST, LAST) if (out / name).exists()]
            raise EdgekitError(
                f"The {what} is not a number any more, in {place}.",
                got=f"{values[what]} on {pictures}",
                expected="a finite number",
                fix=f"a lower learning rate (--set schedule.lr_trunk=...), or look at these pictures; "
                f"{' and '.join(kept) + ' in ' + str(out) + ' are from before' if kept else 'nothing was saved yet'}",
            )


@contextlib.contextmanager
def compiling(asked: bool) -> Iterator[None]:
    """Turns what torch.compile raises, which it does at the first call, into a UsageError."""
    if not asked:
        yield
        return
    try:
        yield
    except torch._dynamo.exc.TorchDynamoException as error:
        raise UsageError(
            "The net cannot be compiled here.",
            got=str(error).strip().splitlines()[0][:200],
            expected="a net and a machine (on a CPU with a C++ compiler) that torch.compile takes",
            fix="--set schedule.compile=false",
        ) from error


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
