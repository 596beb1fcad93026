"""A wrong reading is proven against itself; what it makes of pictures gives it away."""

from dataclasses import replace

import numpy as np
import pytest

from edgekit.graph import decoders
from edgekit.graph.decoders import Reading, doubts
from edgekit.vision.spec import Suppression
from tests.graph.decoders.raw import Raw, centred

SIZE = (64, 96)
CELLS = 126


def pictures(seed: int = 0) -> Raw:
    """Decoded YOLO outputs of four pictures with three objects each: few high scores, noise below."""
    rng = np.random.default_rng(seed)
    box = centred(rng, 4, CELLS, 1.0) * np.float32([96, 64, 40, 30])
    scores = rng.uniform(0, 0.05, (4, CELLS, 6)).astype(np.float32)
    scores[..., 0] = rng.uniform(0.5, 1, (4, CELLS))  # objectness
    scores[:, :3, 2] = 0.9
    return {"boxes": box, "objectness": scores[..., :1], "scores": scores[..., 1:]}


RIGHT = Reading("described", "detection", {name: name for name in ("boxes", "objectness", "scores")}, 5, {})


def asked(reading: Reading, raw: Raw) -> tuple[str, ...]:
    return doubts(reading, SIZE, decoders.reference(reading, SIZE, raw, suppression=Suppression(0.5)))


def test_a_right_reading_raises_none() -> None:
    assert asked(RIGHT, pictures()) == ()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"activation": "sigmoid", "objectness_activation": "sigmoid"}, "done twice"),
        ({"activation": "sigmoid"}, "done twice"),
        ({"format": "xyxy"}, "end before they begin"),
        ({"unit": "picture"}, "outside the picture"),
    ],
)
def test_a_wrong_one_raises_one(settings: dict[str, object], said: str) -> None:
    (doubt,) = asked(replace(RIGHT, settings=settings), pictures())
    assert said in doubt


def test_shares_taken_for_pixels_a_missing_sigmoid_and_a_class_that_there_is_not() -> None:
    raw = pictures()
    small = {**raw, "boxes": raw["boxes"] / np.float32([96, 64, 96, 64])}
    assert "shares of 0 to 1" in asked(RIGHT, small)[0]
    logits = {**raw, "scores": np.log(raw["scores"] / (1 - raw["scores"]) + 1e-9)}
    assert "activation missing" in asked(RIGHT, logits)[0]
    answers = decoders.reference(RIGHT, SIZE, raw)
    answers["labels"] += 3
    assert "begin at 1" in doubts(RIGHT, SIZE, answers)[0]


def test_classifiers() -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 3, (5, 20)).astype(np.float32)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    reading = Reading("logits", "classification", {"scores": "y"}, 20)
    assert doubts(reading, SIZE, {"logits": logits}) == ()
    assert "probabilities already" in doubts(reading, SIZE, {"logits": shares})[0]
    unsure = rng.uniform(0, 1, (9, 20)).astype(np.float32)
    assert "done already" in doubts(reading, SIZE, {"logits": unsure})[0]
    assert "missing" in doubts(reading, SIZE, {"scores": logits})[0]
    assert doubts(reading, SIZE, {"scores": shares}) == ()
