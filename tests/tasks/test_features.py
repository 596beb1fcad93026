"""Features: a vector a picture, compared by size and direction, measured by each picture's nearest neighbour."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edgekit.config.target import load_target
from edgekit.data.sample import Sample
from edgekit.errors import DataError, InputError
from edgekit.spec import ModelSpec, PreprocessSpec
from edgekit.tasks import ANY, task_of
from edgekit.tasks.evaluation import Answered
from edgekit.tasks.features import nearest, unit

TASK = task_of("features")
SPEC = ModelSpec("resnet18", (), PreprocessSpec(32, 32, shorter_side=32), task="features", dimensions=4)
FP32 = load_target("x86-cpu").limits("fp32")
FRAME = np.zeros((30, 40, 3), np.uint8)


def outputs(*rows: tuple[float, ...]) -> dict[str, Any]:
    return {"features": np.array(rows, np.float32)}


def test_the_spec_has_no_classes_and_a_width() -> None:
    assert [str(output) for output in SPEC.outputs] == ["features float32[N, 4]"]
    assert ModelSpec.from_dict(json.loads(json.dumps(SPEC.to_dict()))) == SPEC
    for wrong in ({"classes": ("a",)}, {"dimensions": 0}, {"temperature": 2.0}):
        with pytest.raises(InputError):
            replace(SPEC, **wrong)
    with pytest.raises(InputError, match="classes"):
        replace(SPEC, task="classification", dimensions=0)
    with pytest.raises(InputError, match="dimensions"):
        replace(SPEC, task="classification", classes=("a",))


def test_an_answer_is_a_vector() -> None:
    one, two = TASK.decode(outputs((3, 4, 0, 0), (0, 0, 0.1, 0)), [FRAME.shape] * 2, SPEC, ANY)
    assert str(one) == "4 features of norm 5"
    assert one.to_dict() == {"features": [3, 4, 0, 0]}
    assert np.float32(two.to_dict()["features"][2]) == np.float32(0.1)
    assert (one.similarity(one), one.similarity(two)) == (1, 0)
    np.testing.assert_array_equal(np.asarray(one), one.values)
    np.testing.assert_array_equal(one.draw(FRAME), FRAME)
    with pytest.raises(DataError, match="not finite"):
        TASK.decode(outputs((3, np.inf, 0, 0)), [FRAME.shape], SPEC, ANY)


GOOD = outputs((1, 2, 3, 4), (0.5, 0, 0, 1), (0, 0, 0, 0))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (0.0, ""),
        (1e-3, ""),  # of a root mean square of 1.6
        (3e-3, "of their root mean square"),
        (float("nan"), "NaN"),
    ],
)
def test_the_gate_measures_in_the_features_own_size(change: float, problem: str) -> None:
    for scale in (1.0, 1000.0):
        want = {"features": GOOD["features"] * scale}
        got = {"features": want["features"] + np.float32([[0, 0, change * scale, 0], [0] * 4, [0] * 4])}
        stage = TASK.compare("x", want, got, FP32, SPEC)
        assert stage.passed is (not problem), stage
        assert problem in "; ".join(stage.problems)


def test_a_small_vector_that_turns_is_seen() -> None:
    want = outputs((100, 200, 300, 400), (0.01, 0, 0, 0))
    got = outputs((100, 200, 300, 400), (0, 0.01, 0, 0))  # 0.00004 of the root mean square
    stage = TASK.compare("x", want, got, FP32, SPEC)
    assert stage.problems == ("smallest cosine similarity 0.000000 < 0.99999",)
    assert "cosine 0.000000" in TASK.figures(stage)
    assert "of at least 0.99999" in TASK.against(stage, FP32)
    assert TASK.short(stage)["cosine"] == 0
    assert not TASK.compare("x", want, outputs((1, 2)), FP32, SPEC).passed


def test_drift_counts_pictures_with_another_neighbour() -> None:
    want = outputs((1, 0, 0, 0), (0.9, 0.1, 0, 0), (0, 0, 1, 0), (0, 0, 0.9, 0.3))
    assert TASK.drift(want, want, FP32, SPEC) == pytest.approx((0, 0), abs=1e-12)
    turned = outputs((0, 0, 1, 0), (0.9, 0.1, 0, 0), (0, 0, 1, 0), (0, 0, 0.9, 0.3))
    error, points = TASK.drift(want, turned, FP32, SPEC)
    assert error > 0.1
    assert points >= 50


def test_the_nearest_is_never_itself() -> None:
    rows = unit(np.random.default_rng(0).normal(size=(1500, 5)))  # more than a block
    found = nearest(rows)
    assert (found != np.arange(1500)).all()
    i = 1300
    similar = rows @ rows[i]
    similar[i] = -2
    assert found[i] == similar.argmax()


def test_a_net_is_measured_by_neighbours() -> None:
    rows = [(1, 0, 0, 0), (0.9, 0.1, 0, 0), (0, 0, 1, 0), (0.1, 0, 0.9, 0.3)]

    def evaluated(labels: tuple[int, ...]) -> Any:
        given = [
            Answered({"features": np.array(row, np.float32)}, FRAME.shape, Sample(None, FRAME, label))
            for row, label in zip(rows, labels, strict=True)
        ]
        return TASK.evaluate(given, SPEC)

    right, wrong = evaluated((7, 7, 2, 2)), evaluated((7, 2, 7, 2))
    assert (right.main, wrong.main) == (1, 0)
    assert right.figures().metrics["nearest"].low == pytest.approx(0.398, abs=1e-3)
    assert "is no classifier" in right.lines("x.onnx")[0]
    assert right.against(wrong).verdict == "no difference shown"  # four pictures show none
    assert right.to_dict()["nearest"] == 1
    with pytest.raises(DataError, match="no neighbour"):
        TASK.evaluate([Answered({"features": np.ones(4, np.float32)}, FRAME.shape, Sample(None, FRAME, 0))], SPEC)
