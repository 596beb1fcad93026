"""What a segmenter is asked is checked, a picture is embedded once, and only the last few are held."""

from typing import Any

import numpy as np
import pytest

from edgekit.errors import UsageError
from edgekit.labels.proposals.base import KEPT, Prompt, Segment, Segmenter, box_of
from edgekit.vision.image import Frame


class Bright(Segmenter):
    """What is as bright as the first point."""

    def __init__(self) -> None:
        super().__init__()
        self.embedded = 0

    def _embed(self, frame: Frame) -> Any:
        self.embedded += 1
        return frame[..., 0]

    def _decode(self, embedding: Any, prompt: Prompt) -> Segment:
        x, y = prompt.points[0]
        mask = embedding == embedding[int(y), int(x)]
        return Segment(mask, box_of(mask), 1.0)


def picture(value: int = 9) -> Frame:
    frame = np.zeros((20, 30, 3), np.uint8)
    frame[5:9, 10:14] = value
    return frame


def test_a_picture_is_embedded_once_for_all_its_prompts() -> None:
    asked = Bright()
    asked.prepare("a", picture)
    for _ in range(3):
        found = asked.segment("a", picture, Prompt(((11.5, 6.0),), (True,)))
    assert asked.embedded == 1
    assert found.box == (10, 5, 14, 9)
    assert found.mask.sum() == 16


def test_only_the_last_embeddings_are_held() -> None:
    asked = Bright()
    for i in range(KEPT + 1):
        asked.prepare(str(i), picture)
    asked.prepare("1", picture)
    assert asked.embedded == KEPT + 1
    asked.prepare("0", picture)
    assert asked.embedded == KEPT + 2


def test_the_box_of_a_mask_spans_its_pixels() -> None:
    mask = np.zeros((4, 5), bool)
    assert box_of(mask) is None
    mask[1, 2] = mask[3, 4] = True
    assert box_of(mask) == (2, 1, 5, 4)


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"points": ((1.0, 2.0),)},
        {"points": ((1.0, 2.0),), "inside": (False,)},
        {"points": ((float("nan"), 2.0),), "inside": (True,)},
        {"box": (5.0, 5.0, 5.0, 9.0)},
    ],
)
def test_an_unclear_question_is_refused(asked: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="not clear what to segment"):
        Prompt(**asked)
