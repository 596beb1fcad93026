"""What a model answers: counted, iterated over, indexed, masked, drawn, and handed on as data or to supervision."""

from __future__ import annotations

import json
import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from edgekit.errors import PictureError
from edgekit.vision.results import Classification, Detection, Detections

FRAME = np.full((60, 80, 3), 90, np.uint8)
LOGITS = np.array([0.0, 3.0, 1.0, 2.0], np.float32)


def classified() -> Classification:
    return Classification(1, "bee", 0.64, (("bee", 0.64), ("wasp", 0.24)), LOGITS)


def found() -> Detections:
    boxes = np.array([[1, 2, 30, 40], [5.256, 6, 20, 22], [50, 1, 60, 9]], np.float32)
    names = ("hornet", "bee", "hornet")
    return Detections(boxes, np.array([0.9, 0.5, 0.25], np.float32), np.array([1, 0, 1]), names)


def nothing() -> Detections:
    return found()[[]]


def test_detections_are_counted_iterated_and_indexed() -> None:
    result = found()
    assert len(result) == 3
    assert [one.name for one in result] == ["hornet", "bee", "hornet"]
    first = result[0]
    assert first == Detection((1.0, 2.0, 30.0, 40.0), pytest.approx(0.9), 1, "hornet") == next(iter(result))
    assert isinstance(first.label, int)
    assert isinstance(first.score, float)
    assert all(isinstance(v, float) for v in first.box)
    assert result[-1] == result[np.int64(2)] == list(result)[2]
    for beyond in (3, -4):
        with pytest.raises(IndexError):
            result[beyond]
    assert list(nothing()) == []


@pytest.mark.parametrize(
    ("at", "left"),
    [
        (slice(1, None), [1, 2]),
        (slice(None, None, -1), [2, 1, 0]),
        ([True, False, True], [0, 2]),
        (np.array([False, True, False]), [1]),
        ([2, 0], [2, 0]),
        (np.array([-1], np.int32), [2]),
        ([], []),
        (np.zeros(3, bool), []),
    ],
)
def test_a_part_of_detections_is_detections(at: Any, left: list[int]) -> None:
    whole, part = found(), found()[at]
    assert isinstance(part, Detections)
    assert list(part) == [whole[i] for i in left]
    assert part.boxes.shape == (len(left), 4)
    assert (part.boxes.dtype, part.scores.dtype, part.labels.dtype) == (np.float32, np.float32, np.int64)
    assert part.names == tuple(whole.names[i] for i in left)


def test_conditions_are_masks() -> None:
    result = found()
    assert [one.name for one in result[result.scores > 0.4]] == ["hornet", "bee"]
    assert len(result[np.array(result.names) == "hornet"]) == 2


@pytest.mark.parametrize("at", ["bee", True, 1.0, [0.5], [[0]], [True, False], None])
def test_what_is_no_index_is_refused(at: Any) -> None:
    with pytest.raises(IndexError):
        found()[at]


def test_classification_is_its_best_answers() -> None:
    result = classified()
    assert len(result) == 2
    assert list(result) == [("bee", 0.64), ("wasp", 0.24)]
    assert result[0] == (result.label, result.score)
    assert result[1:] == (("wasp", 0.24),)
    assert dict(result) == {"bee": 0.64, "wasp": 0.24}


def test_plain_data_is_plain() -> None:
    assert found().to_dict()["objects"][1] == {"label": "bee", "index": 0, "score": 0.5, "box": [5.26, 6.0, 20.0, 22.0]}
    assert found()[1].to_dict() == found().to_dict()["objects"][1]
    assert nothing().to_dict() == {"objects": []}
    assert classified().to_dict()["top"][1] == {"label": "wasp", "score": 0.24}
    for result in (found(), nothing(), classified()):
        assert json.loads(json.dumps(result.to_dict(), allow_nan=False)) == result.to_dict()


def test_text_is_a_line_and_safe() -> None:
    assert str(found()[1]) == "bee 50.0% [5 6 20 22]"
    assert str(found()).startswith("hornet 90.0% [1 2 30 40]  bee 50.0%")
    assert str(nothing()) == "nothing"
    assert str(classified()) == "bee 64.0%  wasp 24.0%"
    assert repr(found()[1:2]) == "Detections(bee 50.0% [5 6 20 22])"
    forged = Detections(np.ones((1, 4), np.float32), np.ones(1, np.float32), np.zeros(1, np.int64), ("a\nb\x1b[2J",))
    assert "\n" not in str(forged)
    assert "\x1b" not in repr(forged)


@pytest.mark.parametrize("result", [classified(), found()], ids=["classification", "detections"])
def test_a_drawing_is_a_new_picture(result: Classification | Detections) -> None:
    pytest.importorskip("cv2")
    drawn = result.draw(FRAME)
    assert (drawn.shape, drawn.dtype) == (FRAME.shape, np.uint8)
    assert (drawn != FRAME).any()
    assert (FRAME == 90).all()
    for wrong in (FRAME[..., 0], FRAME / 255.0, None):
        with pytest.raises(PictureError, match="uint8"):
            result.draw(wrong)  # type: ignore[arg-type]


def test_nothing_found_draws_nothing() -> None:
    pytest.importorskip("cv2")
    assert (nothing().draw(FRAME) == FRAME).all()


def test_supervision_that_is_not_there_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    for result in (found(), classified()):
        with pytest.raises(ImportError, match="pip install supervision"):
            result.to_supervision()


def test_supervision_gets_what_its_constructors_take(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fields of supervision 0.31's two classes, named as its constructors name them."""
    fake = ModuleType("supervision")
    fake.Detections = fake.Classifications = lambda **given: given  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "supervision", fake)
    result = found()
    given = result.to_supervision()
    assert set(given) == {"xyxy", "confidence", "class_id", "data"}
    assert (given["xyxy"] == result.boxes).all()
    assert not np.shares_memory(given["xyxy"], result.boxes)
    assert given["class_id"].tolist() == [1, 0, 1]
    assert given["data"]["class_name"].tolist() == list(result.names)
    empty = nothing().to_supervision()
    assert empty["xyxy"].shape == (0, 4)
    assert empty["data"]["class_name"].dtype.kind == "U"
    best = classified().to_supervision()
    assert best["class_id"].tolist() == [1, 3]
    assert best["confidence"].tolist() == pytest.approx([0.64, 0.24])


def test_supervision_itself_takes_them() -> None:
    supervision = pytest.importorskip("supervision", reason="supervision is not installed; a stand-in is tried above")
    given = found().to_supervision()
    assert isinstance(given, supervision.Detections)
    assert given[given.confidence > 0.4].data["class_name"].tolist() == ["hornet", "bee"]
    assert supervision.Detections.merge([given, nothing().to_supervision()]) == given
    assert nothing().to_supervision().is_empty()
    top, sure = classified().to_supervision().get_top_k(1)
    assert (top.tolist(), sure.tolist()) == ([1], pytest.approx([0.64]))
