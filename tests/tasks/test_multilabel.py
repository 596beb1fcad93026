"""Several labels a picture: what is told, when two models are equal, and how good one is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edgekit.config.target import Limits, load_target
from edgekit.data.sample import Sample
from edgekit.errors import InputError, UsageError
from edgekit.spec import ModelSpec, PreprocessSpec
from edgekit.tasks import ANY, Asked, task_of
from edgekit.tasks.evaluation import Answered
from edgekit.tasks.multilabel import truth_of
from edgekit.vision.labels import Label

TASK = task_of("multilabel")
SPEC = ModelSpec("resnet18", ("bee", "hornet", "wasp"), PreprocessSpec(32, 32, shorter_side=32), task="multilabel")
FP32 = load_target("x86-cpu").limits("fp32")
FRAME = np.zeros((120, 160, 3), np.uint8)


def outputs(*rows: tuple[float, ...]) -> dict[str, Any]:
    return {"scores": np.array(rows, np.float32)}


def told(row: tuple[float, ...], asked: Asked = ANY, spec: ModelSpec = SPEC) -> Any:
    (found,) = TASK.decode(outputs(row), [FRAME.shape], spec, asked)
    return found


def test_labels_at_their_thresholds_are_told_best_first() -> None:
    found = told((0.6, 0.9, 0.1))
    assert [one.label for one in found] == ["hornet", "bee"]
    assert len(found) == 2
    assert found[0] == Label("hornet", pytest.approx(0.9), 1)
    assert "bee" in found
    assert "wasp" not in found
    assert str(found) == "hornet 90.0%  bee 60.0%"
    rows = [("hornet", 1, 0.9), ("bee", 0, 0.6), ("wasp", 2, 0.1)]
    plain = [{"label": name, "index": index, "score": score} for name, index, score in rows]
    assert found.to_dict() == {"labels": plain[:2], "best": plain}
    assert not found.scores.flags.writeable
    own = replace(SPEC, thresholds=(0.7, 0.95, 0.1))
    assert [one.label for one in told((0.6, 0.9, 0.1), spec=own)] == ["wasp"]
    assert [one.label for one in told((0.6, 0.9, 0.1), Asked(1, threshold=0.05))] == ["hornet", "bee", "wasp"]
    assert len(told((0.6, 0.9, 0.1), Asked(1)).best) == 1


def test_nothing_is_an_answer() -> None:
    found = told((0.1, 0.2, 0.3))
    assert (len(found), str(found)) == (0, "nothing (the best is wasp 30.0%)")
    np.testing.assert_array_equal(found.draw(FRAME), FRAME)


def test_each_label_is_drawn() -> None:
    one, two = told((0.6, 0.1, 0.1)).draw(FRAME), told((0.6, 0.9, 0.1)).draw(FRAME)
    changed = [int((picture != 0).any(axis=(1, 2)).sum()) for picture in (one, two)]
    assert changed[1] == 2 * changed[0]
    assert told((0.9,) * 3).draw(np.zeros((40, 80, 3), np.uint8)).shape == (40, 80, 3)  # no room for all


@pytest.mark.parametrize("row", [(0.1, np.nan, 0.2), (0.1, 0.2)])
def test_what_is_no_answer_is_refused(row: Any) -> None:
    with pytest.raises(InputError):
        told(row)


def test_the_spec_is_checked() -> None:
    assert [str(output) for output in SPEC.outputs] == ["scores float32[N, 3]"]
    assert SPEC.multi_label
    own = replace(SPEC, thresholds=(0.1, 0.2, 0.3), temperature=1.5)
    assert ModelSpec.from_dict(own.to_dict()) == own
    for wrong in ({"thresholds": (0.5,)}, {"thresholds": (0.5, 0.5, 2)}, {"max_detections": 3}, {"dimensions": 4}):
        with pytest.raises(InputError):
            replace(SPEC, **wrong)


GOOD = outputs((0.9, 0.2, 0.01), (0.3, 0.8, 0.5001))


@pytest.mark.parametrize(
    ("candidate", "problem"),
    [
        (GOOD, ""),
        (outputs((0.9, 0.2, 0.01), (0.3, 0.8, 0.4999)), ""),  # a tie at the threshold
        (outputs((0.9, 0.2, 0.01), (0.3, 0.798, 0.5001)), "max|d score|"),
        (outputs((0.9, 0.2, 0.01), (0.3, 0.8003, 0.5001)), "max|d logit|"),  # 0.0003 there is a logit of 0.002
        (outputs((0.9, 0.2, 0.01), (0.3, 0.8, np.nan)), "NaN"),
        (outputs((0.9, 0.2, 1.01), (0.3, 0.8, 0.5001)), "no sigmoid"),
        (outputs((0.9, 0.2), (0.3, 0.8)), "instead of"),
    ],
)
def test_the_gate_sees_each_way_to_differ(candidate: Any, problem: str) -> None:
    limits = FP32.model_copy(update={"score_shift": 1e-3})
    if problem == "max|d logit|":
        assert not TASK.compare("x", GOOD, candidate, limits.model_copy(update={"max_abs": 1.0}), SPEC).problems
    stage = TASK.compare("x", GOOD, candidate, limits, SPEC)
    assert stage.passed is (not problem)
    assert problem in "; ".join(stage.problems)


def test_the_gate_counts_labels_that_only_one_side_tells() -> None:
    wide = Limits(max_abs=9, score_shift=1.0, top1_agreement=0.9)
    flipped = outputs((0.9, 0.2, 0.6), (0.3, 0.8, 0.6))
    stage = TASK.compare("x", GOOD, flipped, wide, SPEC)
    assert stage.problems == ("labels that agree 75.00% of 4 told < 90.00%",)
    assert stage.own["labels_agree"] == 0.75
    assert TASK.drift(GOOD, flipped, wide, SPEC)[1] == pytest.approx(25)
    assert TASK.drift(GOOD, GOOD, wide, SPEC) == (0, 0)
    assert "75.00%" in TASK.figures(stage)
    assert "of at least 90.00%" in TASK.against(stage, wide)


def test_classes_in_another_order_are_put_back() -> None:
    turned = TASK.reordered(outputs((0.1, 0.2, 0.3)), ("bee", "hornet", "wasp"), ("wasp", "bee", "hornet"))
    np.testing.assert_allclose(turned["scores"], [[0.2, 0.3, 0.1]])


def sample(**known: Any) -> Sample:
    return Sample(None, FRAME, known.pop("label", None), **known)


BOXES = np.array([[1, 1, 9, 9]], np.float32)


@pytest.mark.parametrize(
    ("known", "want"),
    [
        (sample(label=1), [0, 1, 0]),
        (sample(labels=(0, 2)), [1, 0, 1]),
        (sample(labels=()), [0, 0, 0]),
        (sample(labels=(2,), unknown_labels=(0,)), [-1, 0, 1]),
        (sample(boxes=BOXES, box_labels=[1]), [0, 1, 0]),
        (sample(boxes=BOXES, box_labels=[1], ignored_boxes=BOXES, ignored_labels=[0]), [-1, 1, 0]),
        (sample(boxes=BOXES, box_labels=[1], ignored_boxes=BOXES, ignored_labels=[1]), [0, 1, 0]),
    ],
)
def test_the_truth_comes_from_labels_boxes_or_one_label(known: Sample, want: list[int]) -> None:
    assert truth_of(known, 3).tolist() == want


def evaluated(samples: list[Sample], rows: list[tuple[float, ...]]) -> Any:
    answered = [
        Answered({"scores": np.array(r, np.float32)}, FRAME.shape, s) for s, r in zip(samples, rows, strict=True)
    ]
    return TASK.evaluate(answered, SPEC)


def test_a_model_is_measured_and_compared() -> None:
    samples = [sample(labels=(0, 1)), sample(labels=(1,)), sample(labels=()), sample(labels=(0,))]
    right = evaluated(samples, [(0.9, 0.8, 0.1), (0.2, 0.9, 0.1), (0.1, 0.2, 0.3), (0.7, 0.4, 0.1)])
    wrong = evaluated(samples, [(0.1, 0.8, 0.9), (0.9, 0.2, 0.1), (0.8, 0.7, 0.3), (0.2, 0.4, 0.1)])
    assert (right.main, right.to_dict()["micro_f1"], right.to_dict()["macro_f1"]) == (1.0, 1.0, 1.0)
    assert right.classes == {"bee": 1.0, "hornet": 1.0, "wasp": None}
    assert right.to_dict()["classes"]["hornet"]["recall_interval"] == pytest.approx([0.158, 1], abs=1e-3)
    assert "mAP" in right.lines("x.onnx")[1]
    assert not any("one label each" in line for line in right.lines("x.onnx"))
    side = right.against(wrong)
    assert side.difference is not None
    assert side.difference.value < 0
    assert side.worst[0].index in (0, 1, 2, 3)
    assert right.against(right).share.value == 1
    assert right.figures().metrics["map"].value == 1
    single = evaluated([sample(label=0), sample(label=1)], [(0.9, 0.8, 0.1), (0.2, 0.9, 0.1)])
    assert any("one label each" in line for line in single.lines("x.onnx")), "what is not labelled may still be there"
    assert single.to_dict()["one_label_each"] is True


def test_another_task_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="not a model for multilabel"):
        TASK.only("detection", "x.onnx")
