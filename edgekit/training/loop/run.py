"""The one training loop, for every task: on a CPU, on GPUs, in one process or several (torchrun), interruptible."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import broadcast_object_list

from edgekit.artifacts.atomic import make_folder
from edgekit.checkpoints.checkpoint import load_checkpoint
from edgekit.config.recipe import Recipe
from edgekit.cores import usable_cpus
from edgekit.memory import kept_when_freed
from edgekit.screen import count_of, some
from edgekit.training.loop.files import RunFiles
from edgekit.training.loop.interrupt import Interrupt, Stopped
from edgekit.training.loop.journal import Journal
from edgekit.training.loop.result import BEST, LAST, START, STATE, TrainResult
from edgekit.training.loop.schedule import RatePlan
from edgekit.training.loop.state import Progress, check_state, load_state, restore_random
from edgekit.training.loop.steps.batches import Feed, LoadedBatch, order_for
from edgekit.training.loop.steps.learner import Learner
from edgekit.training.loop.steps.pending import EVERY, Pending, Step
from edgekit.training.loop.steps.step import NORM, full_precision, make_accelerator, require_finite
from edgekit.training.task import Score, Training


def train(
    task: Training,
    recipe: Recipe,
    out: Path,
    *,
    resume: bool = False,
    keep_start: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> TrainResult:
    """Trains `task` as `recipe` says and writes last.pt, best.pt, last.state.pt, metrics.csv and TensorBoard to `out`.

    Args:
        resume: go on with the run in `out`; its final weights equal those of a run that was never interrupted, on a
            CPU with the same number of threads bit for bit.
        keep_start: write start.pt too, the weights with the fitted head before the first step.

    Raises:
        OutputError: `out` holds a training already and `resume` is False, or cannot be written to.
        EdgekitError: the loss is not a number; last.pt, best.pt and the state are from before.
        KeyboardInterrupt: Ctrl-C; the state was saved at the end of the step that ran.
        UsageError: the recipe and the machine or the run in `out` contradict each other.
    """
    run = _Run(task, recipe, out, resume, keep_start or bool(recipe.schedule.mix), say)
    with kept_when_freed() if run.device.type == "cpu" else contextlib.nullcontext():
        result = run.run()
    if run.processes > 1:  # else the threads of its process group are still there when the process ends, and abort it
        run.accelerator.end_training()
    return result


class _Run:
    def __init__(
        self, task: Training, recipe: Recipe, out: Path, resume: bool, keep_start: bool, say: Callable[[str], None]
    ) -> None:
        self.began = time.monotonic()
        self.task, self.recipe, self.out, self.keep_start = task, recipe, out, keep_start
        schedule = recipe.schedule
        self.accelerator = make_accelerator(recipe.precision)
        self.first = self.accelerator.is_main_process
        self.say = say if self.first else lambda _: None
        state = out / STATE
        make_folder(out)
        self.accelerator.wait_for_everyone()
        check_state(state, resume)
        self.device = self.accelerator.device
        self.processes = self.accelerator.num_processes
        order = order_for(task, schedule.batch, self.processes, schedule.seed)
        on_gpu = self.device.type == "cuda"
        workers = recipe.data.workers
        if workers is None:
            workers = max(1, usable_cpus() - 1) if on_gpu else 0
        self.feed = Feed(
            task, order, epochs=schedule.epochs, rank=self.accelerator.process_index, processes=self.processes,
            workers=workers, pinned=on_gpu,
        )  # fmt: skip
        beginning = (schedule.freeze_epochs, schedule.warmup)
        self.plan = RatePlan(order.steps, schedule.epochs, *beginning, schedule.cosine, schedule.drops)
        self.learner = Learner(task, schedule, self.plan, self.accelerator)
        self.progress = Progress()
        content: Mapping[str, Any] | None = None
        if resume:
            content, self.progress = load_state(state, recipe.model_dump(mode="json"), task.digest())
            self.learner.load_state_dict(content)
            restore_random(content["random"])
        self.journal = Journal(out, active=self.first, say=self.say, total=self.plan.steps, step=self.progress.step)
        self.files = RunFiles(out, task, recipe, self.learner, self.progress, content, active=self.first)
        self.pending = Pending(EVERY if on_gpu else 1)
        self.interrupt = Interrupt(active=self.processes == 1)
        self.busy, self.seen = 0.0, 0

    def run(self) -> TrainResult:
        progress, plan = self.progress, self.plan
        if progress.step:
            self.say(f"going on at step {progress.step} of {plan.steps}")
        try:
            with self.journal:  # open while it saves, which reads what the last steps gave
                try:
                    with self.interrupt:
                        self._train()
                except Stopped:
                    self._save()
                    raise
            self.feed.close()
        except Stopped:
            self.say(f"stopped at step {progress.step} of {plan.steps}; the same command with --resume goes on")
            raise
        self.accelerator.wait_for_everyone()
        of_best, of_last = self.files.figures()
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
            chosen=bool(progress.best) and self.recipe.schedule.best == "validation",
        )

    def _train(self) -> None:
        """What of the plan is left, from whatever moment the run was cut off at."""
        progress, plan, schedule = self.progress, self.plan, self.recipe.schedule
        if progress.step == 0:
            self._start()
        elif progress.count == 0 and not progress.scored and not ({"refitted", "mixed"} & set(progress.rows[-1])):
            self._end_epoch(progress.step // plan.epoch_steps - 1)
        for epoch in range(progress.step // plan.epoch_steps, plan.epochs):
            if progress.stopped:
                break
            self._epoch(epoch)
            self._end_epoch(epoch)
        if schedule.refit_head and not progress.refitted:
            self._refit()
        if schedule.mix and not progress.mixed:
            self._mix()
        if self.files.changed:
            self._save()
        self.interrupt.check()

    def _start(self) -> None:
        """Row 0, where the head is fitted first: what it reaches alone. Training has to beat it, or best.pt stays this.

        A run that was interrupted before its first step begins here again.
        """
        torch.manual_seed(self.recipe.schedule.seed)
        with self.interrupt.harmless():
            self.task.start(self.learner.net)
        self.learner.follow()
        if self.recipe.schedule.probe_views or self.task.scores_start:
            self.progress.rows[:], self.progress.best = [{"epoch": 0.0, "step": 0.0}], None
            self._score(0)
            self.journal.epoch(self.progress.rows)
        if self.keep_start:
            self.files.write(START)

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
                self.say(f"stopped: nothing better for {count_of(schedule.patience, 'epoch')}")
        if progress.step % schedule.save_steps == 0:
            self._save()
        self.interrupt.check()

    def _refit(self) -> None:
        """Fits the mean's head to features at the evaluation's size.

        A trunk trained on crops sees other statistics on whole, larger pictures (Touvron et al. 2019, "Fixing the
        train-test resolution discrepancy").
        """

        def fit() -> None:
            with self.interrupt.harmless():
                self.task.start(self.learner.ema.net)

        self._end_with("refitted", 1.0, fit)
        self.progress.refitted = True

    def _mix(self) -> None:
        """Mixes the starting weights, with the fitted head, into the mean.

        Between the two lie weights that often are better than either (Wortsman et al. 2022, sec. 3, WiSE-FT).
        """
        share = self.recipe.schedule.mix
        start = load_checkpoint(self.out / START).state_dict
        self._end_with("mixed", share, lambda: self.learner.mix(start, share))
        self.progress.mixed = True

    def _end_with(self, mark: str, value: float, change: Callable[[], None]) -> None:
        """Changes the mean after the last epoch and scores it, in a row of its own whose `mark` says that it is done.

        Where the row is there the run was interrupted while it was scored.
        """
        progress = self.progress
        number = progress.step // self.plan.epoch_steps + 1
        if mark not in progress.rows[-1]:
            change()
            progress.rows.append({"epoch": float(number), "step": float(progress.step), mark: value})
        self._score(number)
        self.journal.epoch(progress.rows)

    def _epoch(self, epoch: int) -> None:
        schedule, plan, progress = self.recipe.schedule, self.plan, self.progress
        self.learner.begin(epoch)
        done = progress.step % plan.epoch_steps
        began, seen = time.monotonic(), 0
        for part in self.feed.epoch(epoch, done):
            self._note_unread(part)
            rates = self.learner.rates(progress.step)
            self._step(part, epoch, rates)
            seen += len(part.indices) * self.processes
            if progress.step % plan.epoch_steps:  # else the epoch's row is still to come
                if progress.step % schedule.save_steps == 0:
                    self._save()
                self.interrupt.check()
        self._settle()
        spent = time.monotonic() - began
        self.busy, self.seen = self.busy + spent, self.seen + seen
        row = {"epoch": epoch + 1.0, "step": float(progress.step), "lr_head": rates[0], "lr_trunk": rates[1]}
        row |= {name: total / progress.count for name, total in progress.sums.items()}
        row |= {"images_per_second": seen / spent}
        progress.rows.append(row)
        progress.sums, progress.count = {}, 0

    def _step(self, part: LoadedBatch, epoch: int, rates: tuple[float, float]) -> None:
        plan, progress = self.plan, self.progress
        values = self.learner.learn(part)
        place = f"epoch {epoch + 1}, batch {progress.step % plan.epoch_steps + 1} of {plan.epoch_steps}"
        progress.step += 1
        self.files.changed = True
        self.pending.add(Step(progress.step, f"{epoch + 1}/{plan.epochs}", place, part.indices, rates), values)
        if self.pending.due:
            self._settle()

    def _settle(self) -> None:
        """Reads what the last steps gave: from here on they are known to be sound, and may be saved.

        Raises:
            EdgekitError: one was not; nothing was saved since.
        """
        progress = self.progress
        for step, values in self.pending.read():
            require_finite(values, step.place, some([self.task.name(i) for i in step.indices]), self.out)
            values.pop(NORM, None)
            for name, value in values.items():
                progress.sums[name] = progress.sums.get(name, 0.0) + value
            progress.count += 1
            rates = {"lr_head": step.rates[0], "lr_trunk": step.rates[1]}
            self.journal.step(step.number, step.label, values["loss"], rates)

    def _note_unread(self, part: LoadedBatch) -> None:
        for name in part.unread:
            if name not in self.progress.skipped:
                self.progress.skipped.append(name)
                self.say(f"skipped, cannot be read any more: {name}")

    def _score(self, number: int) -> None:
        """Evaluates the mean; its figures go into the last row, and where they are the best the net into best.pt."""
        progress = self.progress
        with self.interrupt.harmless(), full_precision():
            held: list[Any] = [self.task.evaluate(self.learner.ema.net) if self.first else None]
        if self.processes > 1:
            broadcast_object_list(held)
        score: Score = held[0]
        self.files.scored(score)
        progress.rows[-1] |= {**score.metrics, "scored": 1.0}
        last = self.recipe.schedule.best == "last"
        if progress.best is None or last or not score.key or list(score.key) > progress.best:
            progress.best, progress.best_epoch = list(score.key), number
            for row in progress.rows:
                row.pop("best", None)
            progress.rows[-1]["best"] = 1.0
            self.files.write(BEST)

    def _save(self) -> None:
        self._settle()
        self.files.save()
