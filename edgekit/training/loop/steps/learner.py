"""What learns in a training: the net, the mean of its weights, its optimizer, and what torch makes of the net."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from edgekit.config.recipe import Schedule
from edgekit.training.loop.schedule import RatePlan, freeze, make_optimizer, require_parts, set_rates
from edgekit.training.loop.steps.batches import LoadedBatch
from edgekit.training.loop.steps.ema import Ema, between
from edgekit.training.loop.steps.step import Stepper, compiling
from edgekit.training.loop.steps.sync_norm import shared_norms
from edgekit.training.task import Training


class Learner:
    """The net of a task on its device, and its mean.

    Attributes:
        net: what learns.
        ema: its mean, which is evaluated and kept.

    Raises:
        UsageError: the schedule freezes a part that is not there, or all of them.
    """

    def __init__(self, task: Training, schedule: Schedule, plan: RatePlan, accelerator: Accelerator) -> None:
        self._heads, self._schedule, self._plan, self._accelerator = task.heads, schedule, plan, accelerator
        require_parts(task.net, schedule.frozen)
        net = shared_norms(task.net, accelerator.num_processes, accelerator.device)
        self.net: nn.Module = net.to(accelerator.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.follow()
        optimizer = make_optimizer(self.net, schedule, task.heads)
        self._optimizer = accelerator.prepare_optimizer(optimizer, device_placement=False)
        self._stepper = Stepper(task, self.net, self._optimizer, accelerator, schedule.clip)
        self._called: nn.Module | None = None

    def follow(self) -> None:
        """Begins the mean anew, at the net as it is."""
        self.ema = Ema(self.net, self._schedule.ema)

    def begin(self, epoch: int) -> None:
        """Makes the net learn as it shall in this epoch (0 is the first)."""
        frozen, several = self._plan.frozen_epochs, self._accelerator.num_processes > 1
        freeze(self.net, self._schedule, self._heads, trunk=epoch < frozen)
        if self._called is None or (several and epoch == frozen):
            # wrapped anew when the trunk thaws: a DDP module fixes what learns when it is made
            wrapped = self._accelerator.prepare_model(self.net) if several else self.net
            # what is compiled shares the parameters and is only called: checkpoints come from the net itself
            self._called = cast(nn.Module, torch.compile(wrapped)) if self._schedule.compile else wrapped

    def rates(self, step: int) -> tuple[float, float]:
        """Learns as fast as the plan says of `step` (0 is the first); the head's rate and the trunk's."""
        return set_rates(self._optimizer, self._plan, step)

    def learn(self, part: LoadedBatch) -> dict[str, Tensor]:
        """One step on `part`, which the mean takes in; its values as `Stepper` gives them."""
        assert self._called is not None
        with compiling(self._schedule.compile):
            values = self._stepper(self._called, part)
        self.ema.update(self.net)
        return values

    def mix(self, start: Mapping[str, Tensor], share: float) -> None:
        """Mixes `share` of the weights `start` into the mean."""
        self.ema.net.load_state_dict(between(start, self.ema.net.state_dict(), share))

    def state_dict(self) -> dict[str, Any]:
        """Plain data and tensors, from which `load_state_dict` goes on."""
        scaler = self._accelerator.scaler
        return {
            "net": self.net.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "scaler": scaler.state_dict() if scaler is not None else {},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of `state_dict`."""
        self.net.load_state_dict(state["net"])
        self.ema.load_state_dict(state["ema"])
        self._optimizer.load_state_dict(state["optimizer"])
        if self._accelerator.scaler is not None and state["scaler"]:
            self._accelerator.scaler.load_state_dict(state["scaler"])
