"""The pictures that the gate compares on, and those that ranges are measured on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from edgekit.data import Dataset, load_dataset, sample_evenly
from edgekit.data.made import STAND_INS
from edgekit.data.names import ALL
from edgekit.data.pictures import load_pictures
from edgekit.errors import DataError, LayoutError, UsageError
from edgekit.progress import track
from edgekit.quantize.calibrate import FEWEST, refuse_unfit
from edgekit.tasks import task_of

FEW = 8  # pictures of a stage that what follows, on all of them, makes sure of anyway


def pictures_for_gate(data: Path | None, count: int, task: str) -> Dataset:
    """The pictures of the gate; their labels play no part in it. Without `data`, made ones that suit the task."""
    if count < 1:
        raise UsageError("--pictures needs at least one.", got=str(count), expected="1 or more; 64 is the default")
    if data is None:
        made = STAND_INS[task_of(task).stand_in]
        return made.make(count, made.gate_seed)
    return sample_evenly(_pictures(data), count)


def few(count: int) -> list[int]:
    """Which `FEW` of so many pictures, spread evenly."""
    most = min(FEW, count)
    return [(2 * i + 1) * count // (2 * most) for i in range(most)]


def _pictures(data: Path) -> Dataset:
    """The pictures of `data`; of labels in a layout that is not read, which play no part here, it is only said."""
    try:
        return load_dataset(data, None)
    except LayoutError as error:
        found = load_pictures(data)
        note = f"labels in a layout that edgekit does not read, taken as pictures without labels: {error.got}"
        return replace(found, notes=(note, *found.notes))
    except DataError:  # perhaps only a train split: whether two models are equal can be seen on that too
        return load_dataset(data, None, ALL)


def calibration_pictures(gate: Dataset, data: Path, count: int) -> Dataset:
    """`count` pictures of `data`, spread evenly, that the gate does not see: of its train split, if it has one.

    Each picture counts once, however often its bytes are there.

    Raises:
        UsageError: `count` is less than can be calibrated on.
        DataError: too few are left, or they were made in code.
    """
    if count < FEWEST:
        raise UsageError(
            "--calibrate takes too few pictures to measure ranges on.",
            got=str(count),
            expected=f"at least {FEWEST}, 64 to 256 are usual",
            fix="leave --calibrate out for 96",
        )
    try:
        whole = load_dataset(data, None, "train")
    except DataError:  # no such split, or none at all
        whole = _pictures(data)
    if whole.layout == "made":
        refuse_unfit(whole)
    backwards = track(whole.samples[::-1], "telling pictures apart")
    different = {sample.content(): sample for sample in backwards}
    used = {sample.content() for sample in gate}
    rest = tuple(sample for content, sample in reversed(different.items()) if content not in used)
    if len(rest) < FEWEST:
        spare = len(different) - FEWEST
        more = f"{1 - spare} more pictures in --data" if spare < 1 else f"--pictures {spare}"
        raise DataError(
            "There are too few pictures to calibrate on.",
            got=f"{len(rest)} different ones beside the {len(gate)} that the gate compares on",
            expected=f"at least {FEWEST}",
            fix=f"{more}; 64 to 256 to calibrate on are usual",
        )
    return sample_evenly(replace(whole, samples=rest, notes=()), count)


def describe(dataset: Dataset, data: Path | None) -> dict[str, Any]:
    return {
        "source": "made in code" if data is None else data.name,
        "layout": dataset.layout,
        "pictures": len(dataset.samples),
        "sha256": dataset.digest,
    }
