"""The pictures of the gate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgekit.data import Dataset, hive_pictures, load_dataset, made_pictures, sample_evenly
from edgekit.errors import UsageError


def pictures_for_gate(data: Path | None, count: int, task: str) -> Dataset:
    """The pictures of the gate; their labels play no part in it. Without `data`, made ones that suit the task."""
    if count < 1:
        raise UsageError("--pictures needs at least one.", got=str(count), expected="1 or more; 64 is the default")
    if data is None:
        return hive_pictures(count, seed=7) if task == "detection" else made_pictures(count)
    return sample_evenly(load_dataset(data, None), count)


def describe(dataset: Dataset, data: Path | None) -> dict[str, Any]:
    return {
        "source": "made in code" if data is None else data.name,
        "layout": dataset.layout,
        "pictures": len(dataset.samples),
        "sha256": dataset.digest,
    }
