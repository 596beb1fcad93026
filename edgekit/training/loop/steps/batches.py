"""Batches in an order that depends on the seed and the epoch alone, so that a run can go on anywhere in an epoch."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from edgekit.errors import PictureError, UsageError
from edgekit.training.augment.variations import mixed_seed
from edgekit.training.task import Batch, Training


@dataclass(frozen=True)
class LoadedBatch:
    """A batch, the samples in it, and the names of those that could not be read; `batch` is None if none could."""

    batch: Batch | None
    indices: tuple[int, ...]
    unread: tuple[str, ...]

    def pin_memory(self) -> LoadedBatch:
        """The same in memory that a GPU reads by itself; torch's loader calls this by its name."""
        pinned = {name: tensor.pin_memory() for name, tensor in (self.batch or {}).items()}
        return replace(self, batch=pinned if self.batch is not None else None)


@dataclass(frozen=True)
class Order:
    """Which samples come in which step.

    Attributes:
        samples: how many there are.
        batch: samples a step over all processes; the rest of an epoch, other samples each time, is left out.
        seed: of the run.
        weights: float64 [samples] for drawing with replacement, or None for every sample once.
    """

    samples: int
    batch: int
    seed: int
    weights: torch.Tensor | None = None

    @property
    def steps(self) -> int:
        """Of an epoch; what does not fill a batch is left out."""
        return self.samples // self.batch

    def epoch(self, epoch: int) -> list[list[int]]:
        """The batches of an epoch, the same in every process and after every interruption."""
        generator = torch.Generator().manual_seed(mixed_seed(self.seed, epoch, 1))
        if self.weights is None:
            drawn = torch.randperm(self.samples, generator=generator)
        else:
            drawn = torch.multinomial(self.weights, self.samples, replacement=True, generator=generator)
        return drawn[: self.steps * self.batch].view(self.steps, self.batch).tolist()


def order_for(task: Training, batch: int, processes: int, seed: int) -> Order:
    """The order for `task`; a batch larger than the data shrinks to it.

    Raises:
        UsageError: the batch does not split evenly over the processes.
    """
    if batch % processes:
        raise UsageError(
            "The batch cannot be split evenly.",
            got=f"schedule.batch = {batch} over {processes} processes",
            expected=f"a multiple of {processes}",
        )
    fitting = min(batch, len(task) // processes * processes)
    if fitting == 0:
        raise UsageError("There are fewer pictures than processes.", got=f"{len(task)} and {processes}")
    return Order(len(task), fitting, seed, task.sampling_weights())


class Feed:
    """This process's share of every batch of a run, epoch after epoch.

    A sample's variation is seeded by run, epoch and sample, so neither workers nor processes change it. Workers stay
    from the first epoch to the last and prepare the next one while this one ends: the first batch of an epoch then
    waits 6 to 18 ms, where two workers that were started anew took 1 to 2 s on a busy machine.

    Args:
        epochs: of the whole run.
        workers: processes that prepare samples; 0: this one does.
        pinned: whether batches lie in memory that a GPU reads by itself.
    """

    def __init__(
        self,
        task: Training,
        order: Order,
        *,
        epochs: int,
        rank: int,
        processes: int,
        workers: int,
        pinned: bool = False,
    ) -> None:
        self._order, self._epochs, self._workers, self._pinned = order, epochs, workers, pinned
        share = order.batch // processes
        self._mine = slice(rank * share, (rank + 1) * share)
        self._samples = _Samples(task, order.seed)
        self._stream: Iterator[LoadedBatch] | None = None
        self._next = (-1, -1)

    def epoch(self, epoch: int, first: int = 0) -> Iterator[LoadedBatch]:
        """The batches of `epoch` from step `first` on; whoever goes on must have taken all of the one before."""
        if self._workers == 0:  # no loader in between: its bookkeeping costs more than a batch of small pictures
            for indices in self._order.epoch(epoch)[first:]:
                with _one_thread():
                    fed = self._samples.collate([self._samples[epoch, i] for i in indices[self._mine]])
                yield fed
            return
        if self._stream is None or self._next != (epoch, first):
            self.close()  # first: new workers would inherit the old ones and complain when they forget them
            self._stream = iter(self._loader(epoch, first))
        for step in range(first, self._order.steps):
            self._next = (epoch, step + 1) if step + 1 < self._order.steps else (epoch + 1, 0)
            yield next(self._stream)

    def close(self) -> None:
        """Ends the workers; another epoch starts new ones."""
        self._stream = None

    def _loader(self, epoch: int, first: int) -> DataLoader[Any]:
        return DataLoader(
            self._samples,
            batch_sampler=self._rest(epoch, first),
            num_workers=self._workers,
            collate_fn=self._samples.collate,
            pin_memory=self._pinned,
            prefetch_factor=4,
            worker_init_fn=_deaf,
            generator=torch.Generator(),  # else each start would draw from the generator that dropout uses
        )

    def _rest(self, epoch: int, first: int) -> Iterator[list[tuple[int, int]]]:
        """(epoch, sample) of every batch that is left of the run."""
        for number in range(epoch, self._epochs):
            for indices in self._order.epoch(number)[first if number == epoch else 0 :]:
                yield [(number, i) for i in indices[self._mine]]


def _deaf(worker: int) -> None:
    """Ctrl-C reaches a whole group of processes: the training decides, and its loaders deliver until it ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """torch on one thread, as in a loader process: the many small operations on one picture only wait for a second.

    On two busy cores a sample took 211 ms with two threads and 2.6 ms with one.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class _Samples(Dataset[tuple[int, Batch | None, str]]):
    def __init__(self, task: Training, seed: int) -> None:
        self.task = task
        self.seed = seed

    def __len__(self) -> int:
        return len(self.task)

    def __getitem__(self, place: tuple[int, int]) -> tuple[int, Batch | None, str]:
        epoch, index = place
        try:
            return index, self.task.sample(index, mixed_seed(self.seed, epoch, 2, index)), ""
        except PictureError as error:
            return index, None, f"{self.task.name(index)} ({error.got or error.what})"

    def collate(self, items: Sequence[tuple[int, Batch | None, str]]) -> LoadedBatch:
        good = [(index, sample) for index, sample, _ in items if sample is not None]
        unread = tuple(problem for _, _, problem in items if problem)
        batch = self.task.collate([sample for _, sample in good]) if good else None
        return LoadedBatch(batch, tuple(index for index, _ in good), unread)
