"""The one training loop, for every task: on a CPU, on GPUs, in one process or several (torchrun), interruptible."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import broadcast_object_list
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from edgekit.artifacts.atomic import make_folder
from edgekit.checkpoints.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from edgekit.config.recipe import Recipe
from edgekit.cores import usable_cpus
from edgekit.errors import DataError, EdgekitError, OutputError, UsageError
from edgekit.screen import some
from edgekit.spec import ModelSpec
from edgekit.training.loop.batches import LoadedBatch, feed, order_for
from edgekit.training.loop.ema import Ema
from edgekit.training.loop.interrupt import Interrupt, Stopped
from edgekit.training.loop.journal import Journal
from edgekit.training.loop.schedule import RatePlan, freeze, make_optimizer, require_parts, set_rates
from edgekit.training.loop.state import Progress, load_state, restore_random, save_state, telling_why
from edgekit.training.loop.sync_norm import shared_norms
from edgekit.training.task import Score, Task

STATE, LAST, BEST = "last.state.pt", "last.pt", "best.pt"


@dataclass(frozen=True)
class TrainResult:
    """How a training ended.

    Attributes:
        best, last: checkpoints, with the weights' running mean where the recipe has one.
        metrics: of the best checkpoint, on the validation data, as the file itself has them.
        final: of the last one. It was not chosen by its score, so it flatters less.
        epochs: done.
        best_epoch: the row of `best`: an epoch counted from 1, 0 for the fitted head alone, `epochs` + 1 for the head
            that was fitted again at the end.
        seconds: of this process, evaluation included.
        images_per_second: while training, evaluation left out.
        skipped: pictures that could not be read on the way.
        rows: what metrics.csv has, one an epoch, and one each for the head that was fitted before and after. `scored`
            marks those that were evaluated, `best` the one of the best checkpoint.
    """

    best: Path
    last: Path
    metrics: Mapping[str, float]
    final: Mapping[str, float]
    epochs: int
    best_epoch: int
    seconds: float
    images_per_second: float
    skipped: tuple[str, ...]
    rows: tuple[Mapping[str, float], ...] = ()


def train(
    task: Task, recipe: Recipe, out: Path, *, resume: bool = False, say: Callable[[str], None] = lambda _: None
) -> TrainResult:
    """Trains `task` as `recipe` says and writes last.pt, best.pt, last.state.pt, metrics.csv and TensorBoard to `out`.

    Args:
        resume: go on with the run in `out`; its final weights equal those of a run that was never interrupted, on a
            CPU with the same number of threads bit for bit.

    Raises:
        OutputError: `out` holds a training already and `resume` is False, or cannot be written to.
        EdgekitError: the loss is not a number; last.pt and best.pt are from before.
        KeyboardInterrupt: Ctrl-C; the state was saved at the end of the step that ran.
        UsageError: the recipe and the machine or the run in `out` contradict each other.
    """
    run = _Run(task, recipe, out, resume, say)
    result = run.run()
    if run.processes > 1:  # else the threads of its process group are still there when the process ends, and abort it
        run.accelerator.end_training()
    return result


class _Run:
    def __init__(self, task: Task, recipe: Recipe, out: Path, resume: bool, say: Callable[[str], None]) -> None:
        self.began = time.monotonic()
        self.task, self.recipe, self.out = task, recipe, out
        schedule = recipe.schedule
        self.accelerator = _accelerator(recipe)
        self.first = self.accelerator.is_main_process
        self.say = say if self.first else lambda _: None
        state = out / STATE
        make_folder(out)
        if resume and not state.is_file():
            raise OutputError(f"{out} holds no training to go on with.", got=f"no {STATE}", fix="leave --resume out")
        self.accelerator.wait_for_everyone()
        if state.exists() and not resume:
            raise OutputError(
                f"{out} holds a training already.", got=STATE, fix="--resume goes on with it, or another --out"
            )

        self.device = self.accelerator.device
        self.processes, self.rank = self.accelerator.num_processes, self.accelerator.process_index
        self.order = order_for(task, schedule.batch, self.processes, schedule.seed)
        self.plan = RatePlan(
            self.order.steps,
            schedule.epochs,
            schedule.freeze_epochs,
            schedule.warmup,
            schedule.cosine,
            schedule.drops,
        )
        require_parts(task.net, schedule.frozen)
        net = shared_norms(task.net, self.processes, self.device)
        self.net = net.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.progress = Progress()
        content: Mapping[str, Any] | None = None
        if resume:
            content, self.progress = load_state(state, recipe.model_dump(mode="json"), task.digest())
            self.net.load_state_dict(content["net"])
        self.ema = Ema(self.net, schedule.ema)
        optimizer = make_optimizer(self.net, schedule, task.heads)
        self.optimizer = self.accelerator.prepare_optimizer(optimizer, device_placement=False)
        if content is not None:
            self.ema.load_state_dict(content["ema"])
            self.optimizer.load_state_dict(content["optimizer"])
            if self.accelerator.scaler is not None and content["scaler"]:
                self.accelerator.scaler.load_state_dict(content["scaler"])
            restore_random(content["random"])
        self.journal = Journal(out, active=self.first, say=self.say, total=self.plan.steps, step=self.progress.step)
        self.spec = task.spec if content is None else ModelSpec.from_dict(content["spec"])
        self.metrics: Mapping[str, float] = {} if content is None else content["metrics"]
        self.wrapped: nn.Module | None = None
        self.interrupt = Interrupt(active=self.processes == 1)
        self.busy, self.seen = 0.0, 0
        self.changed = False  # since it was saved

    def run(self) -> TrainResult:
        progress, plan = self.progress, self.plan
        if progress.step:
            self.say(f"going on at step {progress.step} of {plan.steps}")
        try:
            with self.journal, self.interrupt:
                self._train()
        except Stopped:
            self._save()
            self.say(f"stopped at step {progress.step} of {plan.steps}; the same command with --resume goes on")
            raise
        self.accelerator.wait_for_everyone()
        of_best, of_last = self._figures()
        return TrainResult(
            best=self.out / BEST,
            last=self.out / LAST,
            metrics=of_best,
            final=of_last,
            epochs=progress.step // plan.epoch_steps,
            best_epoch=int(of_best.get("epoch", progress.best_epoch)),
            seconds=time.monotonic() - self.began,
            images_per_second=self.seen / self.busy if self.busy else 0.0,
            skipped=tuple(progress.skipped),
            rows=tuple(progress.rows),
        )

    def _train(self) -> None:
        """What of the plan is left, from whatever moment the run was cut off at."""
        progress, plan, schedule = self.progress, self.plan, self.recipe.schedule
        if progress.step == 0:
            self._start()
        elif progress.count == 0 and not self._scored and not progress.rows[-1].get("refitted"):
            self._end_epoch(progress.step // plan.epoch_steps - 1)
        for epoch in range(progress.step // plan.epoch_steps, plan.epochs):
            if progress.stopped:
                break
            self._epoch(epoch)
            self._end_epoch(epoch)
        if schedule.refit_head and not progress.refitted:
            self._refit()
        if self.changed:
            self._save()
        self.interrupt.check()

    def _start(self) -> None:
        """Row 0, where the head is fitted first: what it reaches alone. Training has to beat it, or best.pt stays this.

        A run that was interrupted before its first step begins here again.
        """
        torch.manual_seed(self.recipe.schedule.seed)
        with self.interrupt.harmless():
            self.task.start(self.net)
        self.ema = Ema(self.net, self.recipe.schedule.ema)
        if self.recipe.schedule.probe_views:
            self.progress.rows[:], self.progress.best = [{"epoch": 0.0, "step": 0.0}], None
            self._score(0)
            self.journal.epoch(self.progress.rows)

    def _end_epoch(self, epoch: int) -> None:
        """Evaluates where that is due; all of it can be done again."""
        progress, schedule = self.progress, self.recipe.schedule
        if epoch + 1 < self.plan.epochs and (epoch + 1) % schedule.evaluate_every:
            self.journal.epoch(progress.rows)
        else:
            self._score(epoch + 1)
            best = max(progress.best_epoch, self.plan.frozen_epochs)
            if schedule.patience and epoch + 1 - best >= schedule.patience:
                progress.stopped = True
            self.journal.epoch(progress.rows)
            if progress.stopped:
                self.say(f"stopped: nothing better for {schedule.patience} epochs")
        if progress.step % schedule.save_steps == 0:
            self._save()
        self.interrupt.check()

    def _refit(self) -> None:
        """Fits the mean's head to features at the evaluation's size, which gives a row of its own.

        A trunk trained on crops sees other statistics on whole, larger pictures (Touvron et al. 2019, "Fixing the
        train-test resolution discrepancy").
        """
        progress = self.progress
        if progress.rows[-1].get("refitted"):
            progress.rows.pop()  # it was interrupted before it was scored
        with self.interrupt.harmless():
            self.task.start(self.ema.net)
        number = progress.step // self.plan.epoch_steps + 1
        progress.rows.append({"epoch": float(number), "step": float(progress.step), "refitted": 1.0})
        self._score(number)
        progress.refitted = True
        self.journal.epoch(progress.rows)

    def _epoch(self, epoch: int) -> None:
        schedule, plan, progress = self.recipe.schedule, self.plan, self.progress
        freeze(self.net, schedule, self.task.heads, trunk=epoch < plan.frozen_epochs)
        if self.wrapped is None or (self.processes > 1 and epoch == plan.frozen_epochs):
            # wrapped anew when the trunk thaws: a DDP module fixes what learns when it is made
            self.wrapped = self.accelerator.prepare_model(self.net) if self.processes > 1 else self.net
        done = progress.step % plan.epoch_steps
        workers = self.recipe.data.workers
        if workers is None:
            workers = min(8, max(1, usable_cpus() - 1)) if self.device.type == "cuda" else 0
        began, seen = time.monotonic(), 0
        fed = feed(self.task, self.order, epoch, done, rank=self.rank, processes=self.processes, workers=workers)
        for part in fed:
            self._note_unread(part)
            rates = set_rates(self.optimizer, plan, progress.step)
            losses = self._step(self.wrapped, part, epoch)
            progress.step += 1
            progress.count += 1
            self.changed = True
            for name, value in losses.items():
                progress.sums[name] = progress.sums.get(name, 0.0) + value
            seen += len(part.indices) * self.processes
            label = f"{epoch + 1}/{plan.epochs}"
            self.journal.step(progress.step, label, losses["loss"], {"lr_head": rates[0], "lr_trunk": rates[1]})
            if progress.step % plan.epoch_steps:  # else the epoch's row is still to come
                if progress.step % schedule.save_steps == 0:
                    self._save()
                self.interrupt.check()
        spent = time.monotonic() - began
        self.busy, self.seen = self.busy + spent, self.seen + seen
        row = {"epoch": epoch + 1.0, "step": float(progress.step), "lr_head": rates[0], "lr_trunk": rates[1]}
        row |= {name: total / progress.count for name, total in progress.sums.items()}
        row |= {"images_per_second": seen / spent}
        progress.rows.append(row)
        progress.sums, progress.count = {}, 0

    def _step(self, net: nn.Module, part: LoadedBatch, epoch: int) -> dict[str, float]:
        if part.batch is None:
            raise DataError("Not one picture of a batch can be read.", got=some(part.unread), fix="is the disk there?")
        batch = {name: tensor.to(self.device, non_blocking=True) for name, tensor in part.batch.items()}
        with self.accelerator.autocast():
            losses = self.task.loss(net, batch)
        values = self._mean({name: value.detach() for name, value in losses.items()})
        if not math.isfinite(values["loss"]):
            self._diverged("loss", values["loss"], part, epoch)
        self.accelerator.backward(losses["loss"])
        self._clip(part, epoch)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.ema.update(self.net)
        return values

    def _clip(self, part: LoadedBatch, epoch: int) -> None:
        self.accelerator.unscale_gradients()
        learning = [p for p in self.net.parameters() if p.grad is not None]
        total = get_total_norm([p.grad for p in learning if p.grad is not None])
        norm, most = float(total), self.recipe.schedule.clip
        # with fp16 an overflow is the scaler's business: it skips the step and scales less
        if self.accelerator.scaler is None and not math.isfinite(norm):
            self._diverged("gradient", norm, part, epoch)
        if most and math.isfinite(norm) and norm > most:
            clip_grads_with_norm_(learning, most, total)

    def _mean(self, values: dict[str, Tensor]) -> dict[str, float]:
        if self.processes == 1:
            return {name: float(value) for name, value in values.items()}
        stacked = self.accelerator.reduce(torch.stack([v.float() for v in values.values()]), reduction="mean")
        return dict(zip(values, stacked.tolist(), strict=True))

    def _diverged(self, what: str, value: float, part: LoadedBatch, epoch: int) -> None:
        step = self.progress.step % self.plan.epoch_steps + 1
        kept = [name for name in (BEST, LAST) if (self.out / name).exists()]
        raise EdgekitError(
            f"The {what} is not a number any more, in epoch {epoch + 1}, batch {step} of {self.plan.epoch_steps}.",
            got=f"{value} on {some([self.task.name(i) for i in part.indices])}",
            expected="a finite number",
            fix=f"a lower learning rate (--set schedule.lr_trunk=...), or look at these pictures; "
            f"{' and '.join(kept) + ' in ' + str(self.out) + ' are from before' if kept else 'nothing was saved yet'}",
        )

    def _note_unread(self, part: LoadedBatch) -> None:
        for name in part.unread:
            if name not in self.progress.skipped:
                self.progress.skipped.append(name)
                self.say(f"skipped, cannot be read any more: {name}")

    def _score(self, number: int) -> None:
        """Evaluates the mean; its figures go into the last row, and where they are the best the net into best.pt."""
        progress = self.progress
        with self.interrupt.harmless(), _full_precision():
            held: list[Any] = [self.task.evaluate(self.ema.net) if self.first else None]
        if self.processes > 1:
            broadcast_object_list(held)
        score: Score = held[0]
        self.spec, self.metrics, self.changed = score.spec, score.metrics, True
        progress.rows[-1] |= {**score.metrics, "scored": 1.0}
        if progress.best is None or not score.key or list(score.key) > progress.best:
            progress.best, progress.best_epoch = list(score.key), number
            for row in progress.rows:
                row.pop("best", None)
            progress.rows[-1]["best"] = 1.0
            self._write(BEST)

    @property
    def _scored(self) -> bool:
        """Whether the last row's figures are those of the mean as it is now."""
        progress = self.progress
        return progress.count == 0 and bool(progress.rows) and "scored" in progress.rows[-1]

    def _figures(self) -> tuple[Mapping[str, float], Mapping[str, float]]:
        """What best.pt and last.pt say of themselves."""
        if self.first:
            return load_checkpoint(self.out / BEST).metrics, load_checkpoint(self.out / LAST).metrics
        rows = [row for row in self.progress.rows if row.get("scored")]  # its disk may be another machine's
        return next((row for row in rows if row.get("best")), rows[-1]), rows[-1]

    def _save(self) -> None:
        if not self.first:
            return
        content = {
            "recipe": self.recipe.model_dump(mode="json"),
            "digest": self.task.digest(),
            "spec": self.spec.to_dict(),
            "metrics": dict(self.metrics),
            "net": self.net.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.accelerator.scaler.state_dict() if self.accelerator.scaler is not None else {},
        }
        save_state(self.out / STATE, content, self.progress)
        self._write(LAST)
        self.changed = False

    def _write(self, name: str) -> None:
        if not self.first:
            return
        # between two evaluations the figures at hand are those of other weights
        figures = {**self.metrics, "epoch": self.progress.rows[-1]["epoch"]} if self._scored else {}
        checkpoint = Checkpoint(
            self.spec,
            self.ema.net.state_dict(),
            metrics=figures | {"step": self.progress.step},
            recipe=self.recipe.model_dump(mode="json"),
            trained_on=self.task.trained_on,
        )
        with telling_why(self.out / name):
            save_checkpoint(self.out / name, checkpoint, overwrite=True)


@contextlib.contextmanager
def _full_precision() -> Iterator[None]:
    """float32 as the CPU and an exported file compute it: on a GPU convolutions round to TF32's 10 bits otherwise."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def _accelerator(recipe: Recipe) -> Accelerator:
    if recipe.precision == "fp16" and not torch.cuda.is_available():
        raise UsageError("fp16 training needs a GPU.", got="a CPU", fix="--set precision=fp32, or bf16")
    AcceleratorState._reset_state()  # one for the whole process: an earlier training's precision would bind this one
    mixed = "no" if recipe.precision == "fp32" else recipe.precision
    return Accelerator(mixed_precision=mixed, cpu=not torch.cuda.is_available())
