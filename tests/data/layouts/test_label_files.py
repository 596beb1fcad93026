"""Boxes as programs and people write them: each kind is read, with every box where it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekit.data import load_dataset
from edgekit.data.load import has_boxes
from tests.data.layouts.made import CLASSES, NO_EMPTY, TRUTH, WRITERS


def found(path: Path, **how: str) -> dict[str, list[tuple[str, list[float]]]]:
    """The boxes of each picture, by the last letter of its name or, of frames, by its number."""
    data = load_dataset(path, **how)  # type: ignore[arg-type]
    assert data.classes == CLASSES, data.classes
    result = {}
    for sample in data:
        assert sample.boxes is not None
        assert sample.box_labels is not None
        key = Path(sample.name).stem[-1]
        key = "abc"[int(key)] if key.isdigit() else key
        result[key] = [(CLASSES[i], b) for i, b in zip(sample.box_labels.tolist(), sample.boxes.tolist(), strict=True)]
    return result


@pytest.mark.parametrize("kind", sorted(WRITERS))
def test_it_is_read_with_the_right_boxes(kind: str, tmp_path: Path) -> None:
    WRITERS[kind](tmp_path)
    assert has_boxes(tmp_path)
    read = found(tmp_path, split="all")
    wanted = {key: boxes for key, boxes in TRUTH.items() if boxes or kind not in NO_EMPTY}
    if kind == "cvat-video":  # says nothing of frames without objects but where a track ends
        wanted.pop("c", None), read.pop("c", None)
    assert set(read) == set(wanted)
    for key, boxes in wanted.items():
        got, expected = sorted(read[key]), sorted(boxes)
        assert [name for name, _ in got] == [name for name, _ in expected]
        np.testing.assert_allclose(
            np.reshape([box for _, box in got], (-1, 4)), np.reshape([box for _, box in expected], (-1, 4)), atol=1e-3
        )
