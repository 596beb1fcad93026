"""The pictures that timings rotate over, as files."""

from __future__ import annotations

import os
from pathlib import Path

from edgekit.data import Dataset, Sample, sample_evenly
from edgekit.errors import EdgekitError
from edgekit.vision.image import encode_picture

_OF_EVERY_SET = {"", "images", "img", "jpegimages", "train", "val", "valid", "validation", "test", "data", "all"}


def timed_pictures(dataset: Dataset, count: int, folder: Path) -> list[Sample]:
    """Pictures as files, so that decoding is part of what is timed; those made in code are written as JPEG.

    Args:
        folder: a temporary one, which goes with the measurement: nothing in it has to survive a power cut.
    """
    chosen = []
    for i, sample in enumerate(sample_evenly(dataset, count)):
        if sample.path is None:
            path = folder / f"{len(dataset)}-{i:04d}.jpg"
            if not path.exists():
                path.write_bytes(encode_picture(sample.read(), ".jpg"))
            chosen.append(Sample(path, None, sample.label, sample.name))
        else:
            try:
                sample.read()
            except EdgekitError:
                continue  # accuracy says which ones cannot be read
            chosen.append(sample)
    if not chosen:
        raise EdgekitError("None of the pictures can be read.", got=f"{count} tried", expected="readable pictures")
    return chosen


def name_of(dataset: Dataset) -> str:
    """The folder of all of its pictures that is not called as every set's are (valid/images), or its layout."""
    paths = [str(s.path) for s in dataset if s.path is not None]
    if len(paths) < 2:
        return dataset.layout
    whole = Path(os.path.commonpath(paths))
    return next((one.name for one in (whole, *whole.parents) if one.name.lower() not in _OF_EVERY_SET), whole.name)
