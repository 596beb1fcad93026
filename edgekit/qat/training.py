"""A training that goes on with a trained net while its int8 graph rounds: it learns what the int8 file computes.

Beside the task's own loss each output is drawn to what the float32 net answers (Hinton et al. 2015, "Distilling the
Knowledge in a Neural Network"; Polino et al. 2018, "Model compression via distillation and quantization"), so that a
few epochs on few pictures make up for the rounding and do not learn these pictures by heart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgekit.checkpoints.checkpoint import Checkpoint
from edgekit.checkpoints.quantization import Quantization
from edgekit.config.recipe import Recipe
from edgekit.data import Dataset, sample_evenly
from edgekit.errors import UsageError
from edgekit.progress import working
from edgekit.qat.net import QuantizedNet
from edgekit.qat.start import measured_parameters, source_of
from edgekit.spec import ModelSpec, digest
from edgekit.training.task import Batch, Boxes, Score, Training

PICTURES = 96  # that the ranges are measured on, as an export's
SHARE = 0.1  # of the recipe's epochs and learning rates: the net has learnt already


def shortened(recipe: Recipe) -> list[str]:
    """The changes that make a recipe a fine-tuning of what it trained, as `--set` has them."""
    schedule = recipe.schedule
    return [
        f"schedule.epochs={max(1, round(SHARE * schedule.epochs))}",
        f"schedule.lr_head={SHARE * schedule.lr_head:g}",
        f"schedule.lr_trunk={SHARE * schedule.lr_trunk:g}",
        "schedule.weight_decay=0",
        "schedule.warmup=0",
        "schedule.probe_views=0",
        "schedule.refit_head=false",
        "schedule.mix=0",
        "schedule.freeze_epochs=0",
        "schedule.frozen=[]",
        "schedule.patience=0",
        "schedule.evaluate_every=1",
        "compete.share=0",
        "net.weights=none",
        "precision=fp32",
    ]


class QuantizedTraining(Training):
    """`task`, with the net of `checkpoint` and the rounding of its int8 graph.

    Args:
        task: of the recipe that trained the checkpoint; its own net is not used.
        checkpoint: what it made.
        scheme: a name of `edgekit.config.schemes`.
        made: the training pictures were made in code.
        say: is told what was found.

    Raises:
        UsageError: another net, other classes or pictures than the checkpoint's, or a net that cannot be trained so.
        DataError: pictures that cannot be calibrated on.
    """

    scores_start = True

    def __init__(
        self,
        task: Training,
        checkpoint: Checkpoint,
        scheme: str,
        *,
        made: bool = False,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._task, self._say, self.scheme = task, say, scheme
        _require_same(task.spec, checkpoint.spec)
        self.spec, self.heads, self.trained_on = task.spec, task.heads, task.trained_on
        samples = tuple(task.pictures.samples)  # type: ignore[attr-defined]  # both tasks have them
        pictures = sample_evenly(Dataset(samples, self.spec.classes, "made" if made else "training"), PICTURES)
        with working("exporting the graph"):
            self._source = source_of(checkpoint)
        with working("calibration", len(pictures)) as work:
            measured = measured_parameters(self._source, scheme, pictures, lambda done, total: work.step())
        self.net = self._source.net(scheme, measured)
        self._teacher = checkpoint.net().requires_grad_(False)
        self._device: torch.device | None = None
        self._before: Score | None = None

    def __len__(self) -> int:
        return len(self._task)

    def name(self, index: int) -> str:
        return self._task.name(index)

    def digest(self) -> str:
        return digest({"task": self._task.digest(), "scheme": self.scheme, "from": self._source.digest()})

    def sample(self, index: int, seed: int) -> Batch:
        return self._task.sample(index, seed)

    def shown(self, index: int, seed: int) -> tuple[Tensor, Boxes]:
        return self._task.shown(index, seed)

    def collate(self, samples: Sequence[Batch]) -> Batch:
        return self._task.collate(samples)

    def sampling_weights(self) -> Tensor | None:
        return self._task.sampling_weights()

    def loss(self, net: nn.Module, batch: Batch) -> dict[str, Tensor]:
        seen = _Remembering(net)
        losses = self._task.loss(seen, batch)
        assert seen.taken is not None
        with torch.no_grad():
            wanted = _each(self._teaching(seen.taken.device)(seen.taken))
        parts = [(g - w).square().mean() / (w.var() + 1e-6) for g, w in zip(_each(seen.given), wanted, strict=True)]
        taught = torch.stack(parts).mean()
        return {**losses, "loss": losses["loss"] + taught, "taught": taught.detach()}

    def start(self, net: nn.Module) -> None:
        """Says what the float32 net reaches, which is to be kept."""
        self._say(f"float32: {_figures(self._float(net))}; row 0 is {self.scheme} of it")

    def evaluate(self, net: nn.Module) -> Score:
        return self._task.evaluate(net)

    def answers(self, net: nn.Module) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        return self._task.answers(net)

    def draw(self, net: nn.Module, spec: ModelSpec, folder: Path) -> tuple[Path, ...]:
        return self._task.draw(net, spec, folder)

    def net_of(self, checkpoint: Checkpoint) -> nn.Module:
        """With the rounding: the checkpoint has the weights before they are rounded."""
        held = checkpoint.quantization
        assert held is not None
        net = self._source.net(held.scheme, held.parameters)
        with torch.no_grad():
            self._source.restore(net, checkpoint.net())
        return net

    def stored(self, net: nn.Module) -> dict[str, Any]:
        metrics = self._float(net).metrics
        assert isinstance(net, QuantizedNet)
        held = Quantization(self.scheme, net.ranges_of_tensors(), next(iter(metrics.items()), None))
        return {"state_dict": self._source.stored(net), "quantization": held}

    def _float(self, net: nn.Module) -> Score:
        """What the float32 net reaches, measured once."""
        if self._before is None:
            self._before = self._task.evaluate(self._teaching(next(net.parameters()).device))
        return self._before

    def _teaching(self, device: torch.device) -> nn.Module:
        if self._device != device:
            self._teacher, self._device = self._teacher.to(device), device
        return self._teacher


class _Remembering(nn.Module):
    """A net, and what it took and gave last."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.taken: Tensor | None = None
        self.given: Any = None

    def forward(self, x: Tensor) -> Any:
        self.taken, self.given = x, self.net(x)
        return self.given


def _each(given: Any) -> tuple[Tensor, ...]:
    return (given,) if isinstance(given, Tensor) else tuple(given)


def _figures(score: Score) -> str:
    return "  ".join(f"{name} {value:.4f}" for name, value in list(score.metrics.items())[:3]) or "not measured"


def _require_same(recipe: ModelSpec, held: ModelSpec) -> None:
    """Raises UsageError unless the checkpoint is of the recipe's net, pictures and classes."""
    told = {"net": "arch", "arguments": "arch_args", "classes": "classes", "preprocessing": "preprocess"}
    for what, name in told.items():
        wanted, found = getattr(recipe, name), getattr(held, name)
        if what == "arguments":
            wanted, found = wanted or {}, found or {}
        if wanted != found:
            raise UsageError(
                f"The checkpoint has another {what} than the recipe gives.",
                got=str(found)[:200],
                expected=str(wanted)[:200],
                fix="the recipe, --set and --data that it was trained with",
            )
