"""What a training tells: its progress, one line an epoch, metrics.csv and TensorBoard."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from edgekit.artifacts.atomic import write_bytes
from edgekit.progress import Work, working

_SHOWN = ("loss", "train_top1", "top1", "balanced", "nll_calibrated", "ap50", "ap")


class Journal:
    """Writes into the run's folder; on a process that is not the first it does nothing.

    Args:
        folder: of the run.
        active: False on all processes but the first.
        say: takes one line.
        total: steps of the whole training.
        step: where it begins; later entries of an earlier attempt are dropped from TensorBoard.
    """

    def __init__(self, folder: Path, *, active: bool, say: Callable[[str], None], total: int, step: int) -> None:
        self._folder = folder
        self._active = active
        self._say = say
        self._total = total
        self._first = step
        self._work: Work | None = None
        self._open = ExitStack()
        self._board = _board(folder / "tensorboard", step, say) if active else None

    def step(self, step: int, epoch: str, loss: float, rates: Mapping[str, float]) -> None:
        """After each step."""
        if self._board is not None:
            self._board.add_scalar("step/loss", loss, step)
            for name, rate in rates.items():
                self._board.add_scalar(f"step/{name}", rate, step)
        if self._work is not None:
            self._work.step(step - self._first - self._work.done, f"epoch {epoch}, loss {loss:.4f}")

    def epoch(self, rows: Sequence[Mapping[str, float]]) -> None:
        """After each epoch: metrics.csv anew from all `rows`, and the last of them told."""
        if not self._active:
            return
        row = rows[-1]
        write_bytes(self._folder / "metrics.csv", table(rows).encode(), overwrite=True)
        if self._board is not None:
            for name, value in row.items():
                if name not in ("epoch", "step"):
                    self._board.add_scalar(f"epoch/{name}", value, int(row["step"]))
            self._board.flush()
        figures = "  ".join(f"{name} {row[name]:.4f}" for name in _SHOWN if name in row)
        speed = row.get("images_per_second")
        what = "head fitted again" if row.get("refitted") else f"epoch {row['epoch']:.0f}"
        what = f"{row['mixed']:.0%} of the start mixed in" if row.get("mixed") else what
        self._say(f"{what}  {figures}" + (f"  {speed:.1f} pictures/s" if speed else ""))

    def __enter__(self) -> Journal:
        """Within it the steps are told as progress."""
        if self._active:
            self._work = self._open.enter_context(working("training", self._total - self._first))
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()
        if self._board is not None:
            self._board.close()


def table(rows: Sequence[Mapping[str, float]]) -> str:
    """CSV with every column that any row has, in order of appearance; what a row has not stays empty."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: f"{value:.8g}" for name, value in row.items()} for row in rows)
    return text.getvalue()


def _board(folder: Path, step: int, say: Callable[[str], None]) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        say("TensorBoard is not installed (pip install 'edgekit[train]'): metrics.csv only")
        return None
    return SummaryWriter(str(folder), purge_step=step or None)
