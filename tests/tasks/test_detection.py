"""What a detector's answer says: boxes from their threshold on, and the alarm from its own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgekit.spec import ModelSpec, PreprocessSpec
from edgekit.tasks import ANY, Asked, task_of
from edgekit.vision.results import Detections

SPEC = ModelSpec(
    "centernet-resnet18",
    ("bee", "hornet"),
    PreprocessSpec(32, 32, resize="letterbox", shorter_side=None),
    task="detection",
    max_detections=3,
    thresholds=(0.3, 0.5),
)
ALARMED = replace(SPEC, alarm_thresholds=(0.6, 0.2))


def decoded(spec: ModelSpec, *rows: tuple[float, int], asked: Asked = ANY, y: float = 16) -> Detections:
    """Of (score, label) each, boxes around the middle of a frame of 32 by 16, of which a letterbox shows the middle."""
    filled = [*rows, *[(0.0, 0)] * (3 - len(rows))]
    answers = {
        "boxes": np.tile(np.float32([8, y - 4, 24, y + 4]), (1, 3, 1)),
        "scores": np.float32([[score for score, _ in filled]]),
        "labels": np.int32([[label for _, label in filled]]),
    }
    (found,) = task_of("detection").decode(answers, [(16, 32, 3)], spec, asked)
    assert isinstance(found, Detections)
    return found


@pytest.mark.parametrize(
    ("rows", "boxes", "alarms"),
    [
        (((0.7, 0), (0.4, 1)), ["bee"], ("bee", "hornet")),  # a hornet that is told of, and not shown
        (((0.4, 0), (0.1, 1)), ["bee"], ()),  # a bee that is shown, and not told of
        ((), [], ()),
    ],
)
def test_boxes_and_alarms_have_thresholds_of_their_own(
    rows: tuple[tuple[float, int], ...], boxes: list[str], alarms: tuple[str, ...]
) -> None:
    found = decoded(ALARMED, *rows)
    assert (list(found.names), found.alarms) == (boxes, alarms)
    assert found.to_dict()["alarms"] == list(alarms)
    assert str(found).endswith(f"  alarm: {', '.join(alarms)}") == bool(alarms)
    # the same boxes as without; and no threshold that is asked for moves the alarm
    assert list(decoded(SPEC, *rows).names) == boxes
    for threshold in (0.0, 0.99):
        assert decoded(ALARMED, *rows, asked=Asked(threshold=threshold)).alarms == alarms
    assert len(decoded(ALARMED, *rows, asked=Asked(threshold=0.0))) == len(rows)


def test_without_alarm_thresholds_nothing_is_said_of_alarms() -> None:
    found = decoded(SPEC, (0.9, 1))
    assert found.alarms is None
    assert "alarms" not in found.to_dict()
    assert decoded(ALARMED, (0.9, 1))[:1].alarms is None  # a part says nothing of the whole


def test_a_box_in_a_letterboxs_border_raises_no_alarm() -> None:
    assert decoded(ALARMED, (0.9, 1), y=4).alarms == ()
