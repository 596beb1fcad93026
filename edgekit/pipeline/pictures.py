"""The pictures of the gate."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from edgekit.data import Dataset, hive_pictures, load_dataset, made_pictures, sample_evenly
from edgekit.data.pictures import load_pictures
from edgekit.errors import DataError, LayoutError, UsageError
from edgekit.quantize.calibrate import FEWEST


def pictures_for_gate(data: Path | None, count: int, task: str) -> Dataset:
    """The pictures of the gate; their labels play no part in it. Without `data`, made ones that suit the task."""
    if count < 1:
        raise UsageError("--pictures needs at least one.", got=str(count), expected="1 or more; 64 is the default")
    if data is None:
        return hive_pictures(count, seed=7) if task == "detection" else made_pictures(count)
    return sample_evenly(_pictures(data), count)


def _pictures(data: Path) -> Dataset:
    """The pictures of `data`; of labels in a layout that is not read, which play no part here, it is only said."""
    try:
        return load_dataset(data, None)
    except LayoutError as error:
        found = load_pictures(data)
        note = f"labels in a layout that edgekit does not read, taken as pictures without labels: {error.got}"
        return replace(found, notes=(note, *found.notes))


def calibration_pictures(gate: Dataset, data: Path, count: int) -> Dataset:
    """`count` pictures of `data`, spread evenly, that the gate does not see: of its train split, if it has one.

    Raises:
        DataError: too few are left.
    """
    try:
        whole = load_dataset(data, None, "train")
    except DataError:  # no such split, or none at all
        whole = _pictures(data)
    used = {sample.content() for sample in gate}
    rest = tuple(sample for sample in whole if sample.content() not in used)
    if len(rest) < FEWEST:
        raise DataError(
            "There are too few pictures to calibrate on.",
            got=f"{len(rest)} beside the {len(gate)} that the gate compares on",
            expected=f"at least {FEWEST}",
            fix="more pictures in --data, or fewer for the gate: --pictures",
        )
    return sample_evenly(replace(whole, samples=rest, notes=()), count)


def describe(dataset: Dataset, data: Path | None) -> dict[str, Any]:
    return {
        "source": "made in code" if data is None else data.name,
        "layout": dataset.layout,
        "pictures": len(dataset.samples),
        "sha256": dataset.digest,
    }
