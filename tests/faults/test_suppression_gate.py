"""Suppression done wrongly, one defect at a time: the gate refuses each, and takes the honest one.

`test_detector_gate.py` has one of them through a whole export.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import edgekit.nets.decoding.suppress as suppress_module
from edgekit.config.target import load_target
from edgekit.gate.compare import compare_answers
from edgekit.nets.decoding.suppress import suppressed
from edgekit.spec import ModelSpec, PreprocessSpec
from edgekit.tasks.stage import Stage
from edgekit.vision.suppress import Suppression

Found = tuple[Tensor, Tensor, Tensor]
Suppress = Callable[[Tensor, Tensor, Tensor, Suppression], Found]
HOW = Suppression(0.4)
SPEC = ModelSpec(
    "centernet-resnet18", ("bee", "hornet"), PreprocessSpec(96, 96, "letterbox", None),
    {"neck": "fpn", "head": "ltrb"}, task="detection", max_detections=60, suppression=HOW,
)  # fmt: skip


def crowds() -> Found:
    """Eight pictures of 60 boxes on top of one another, best first, no two scores alike."""
    rng = np.random.default_rng(0)
    centre, half = rng.uniform(20, 76, (8, 60, 2)), rng.uniform(6, 14, (8, 60, 2))
    boxes = np.concatenate([centre - half, centre + half], axis=2).astype(np.float32)
    scores = -np.sort(-rng.uniform(0.05, 0.95, (8, 60)), axis=1).astype(np.float32)
    return torch.from_numpy(boxes), torch.from_numpy(scores), torch.from_numpy(rng.integers(0, 2, (8, 60), np.int32))


def judged(wrong: Suppress) -> Stage:
    names = ("boxes", "scores", "labels")
    want = {name: value.numpy() for name, value in zip(names, suppressed(*crowds(), HOW), strict=True)}
    got = {name: value.numpy() for name, value in zip(names, wrong(*crowds(), HOW), strict=True)}
    return compare_answers("onnx", want, got, load_target("x86-cpu").limits("fp32"), SPEC)


def with_rounds(count: int) -> Suppress:
    def wrong(*given: Any) -> Found:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(suppress_module, "ROUNDS", count)
            return suppressed(*given)

    return wrong


def worst_first(boxes: Tensor, scores: Tensor, labels: Tensor, how: Suppression) -> Found:
    """The lower score suppresses the higher one."""
    b, s, n = suppressed(boxes.flip(1), torch.arange(60.0, 0, -1).expand(8, 60), labels.flip(1), how)
    kept = torch.where(s > 0, scores.flip(1).gather(1, (60 - s.clamp(min=1)).long()), 0.0)
    kept, order = kept.sort(1, descending=True)
    return b.gather(1, order[..., None].expand(-1, -1, 4)), kept, n.gather(1, order)


def not_last(boxes: Tensor, scores: Tensor, labels: Tensor, how: Suppression) -> Found:
    """What is suppressed stays where it was, with score 0 among the others."""
    _, left, _ = suppressed(boxes, scores, labels, how)
    return boxes, torch.where(torch.isin(scores, left), scores, 0.0), labels


def scores_alone_sorted(boxes: Tensor, scores: Tensor, labels: Tensor, how: Suppression) -> Found:
    return boxes, suppressed(boxes, scores, labels, how)[1], labels


def both_ends(boxes: Tensor, scores: Tensor, labels: Tensor, how: Suppression) -> Found:
    """IoU as of inclusive pixels: one more on each side."""
    _, left, _ = suppressed(boxes + boxes.new_tensor([0, 0, 1, 1]), scores, labels, how)
    kept, order = torch.where(torch.isin(scores, left), scores, 0.0).topk(60)
    return boxes.gather(1, order[..., None].expand(-1, -1, 4)), kept, labels.gather(1, order)


DEFECTS: dict[str, Suppress] = {
    "nothing is suppressed": lambda boxes, scores, labels, how: (boxes, scores, labels),
    "another limit": lambda *g: suppressed(*g[:3], replace(HOW, iou=0.5)),
    "pixels counted with both ends": both_ends,
    "the class is ignored": lambda *g: suppressed(*g[:3], replace(HOW, across_classes=True)),
    "the worse box suppresses the better one": worst_first,
    "one round": with_rounds(1),
    "two rounds": with_rounds(2),
    "suppressed boxes are not last": not_last,
    "boxes are not sorted with their scores": scores_alone_sorted,
}


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_is_refused(name: str) -> None:
    stage = judged(DEFECTS[name])
    assert not stage.passed
    assert stage.problems


def test_the_honest_one_passes_and_has_something_to_do() -> None:
    assert judged(suppressed).passed
    _, scores, _ = suppressed(*crowds(), HOW)
    assert 0.1 < (scores > 0).float().mean() < 0.9
