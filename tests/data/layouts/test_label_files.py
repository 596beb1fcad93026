"""Boxes as programs and people write them: each kind is read, with every box where it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekit.data import load_dataset
from edgekit.data.load import has_boxes
from edgekit.errors import DataError
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


@pytest.mark.parametrize("kind", sorted(WRITERS))
def test_a_file_that_is_cut_off_is_an_error_or_a_picture_left_out(kind: str, tmp_path: Path) -> None:
    """Never a picture that is taken as one without objects."""
    WRITERS[kind](tmp_path)
    labels = [p for p in tmp_path.rglob("*") if p.suffix in (".json", ".xml", ".manifest")]
    if not labels or kind in ("yolo-without-names-but-notes", "label-studio-yolo"):
        pytest.skip("rows of text have no end that could be missing")
    for file in labels:
        file.write_bytes(file.read_bytes()[: -len(file.read_bytes()) // 3])
    with pytest.raises(DataError):
        load_dataset(tmp_path, split="all")


@pytest.mark.parametrize(
    ("kind", "old", "new"),
    [
        ("labelme", "[30, 20], [10, 50]", "[30, 20], [10, null]"),
        ("label-studio-min", '"x": 12.5', '"x": null'),
        ("create-ml", '"width": 20', '"width": "wide"'),
        ("via-json", '"x": 40', '"x": -400'),
        ("cvat-xml", 'xtl="10"', 'xtl="a"'),
        ("tf-csv", "bee,10,20", "bee,10,"),
        ("bdd", '"x1": 10', '"x1": null'),
        ("kitti", "10.00 20.00", "30.00 20.00"),
        ("coco-flat", "10.0, 20.0", "10.0, null"),
        ("labelimg-xml", "<xmin>11</xmin>", "<xmin>x</xmin>"),
    ],
)
def test_a_picture_with_a_box_that_cannot_be_used_is_left_out_and_named(
    kind: str, old: str, new: str, tmp_path: Path
) -> None:
    WRITERS[kind](tmp_path)
    changed = 0
    for file in tmp_path.rglob("*"):
        if file.suffix in (".json", ".xml", ".csv", ".txt"):
            changed += file.read_text().count(old)
            file.write_text(file.read_text().replace(old, new))
    assert changed == 1
    data = load_dataset(tmp_path, split="all")
    assert "a" not in {Path(s.name).stem for s in data}
    assert any(note.startswith("1 left out") and "a.png" in note for note in data.notes), data.notes
