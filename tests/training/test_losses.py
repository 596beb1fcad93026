"""Losses equal slow references written from the papers, and stay finite where a naive form does not."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.data import default_collate

from edgekit.nets.centernet import LtrbMaps, Maps, OffsetSizeMaps
from edgekit.training.losses import (
    LOSSES,
    LtrbLoss,
    OffsetSizeLoss,
    counts,
    focal_loss,
    giou,
    giou_loss,
    l1_loss,
    logistic_loss,
)
from edgekit.training.targets import ENCODERS, Targets

ONE = torch.tensor(1.0)


def slow_focal(logits: Tensor, target: Tensor) -> float:
    """Zhou et al. 2019, eq. 1, place by place in float64, with alpha 2, beta 4 and N the number of peaks."""
    total, n = 0.0, 0
    for x, y in zip(logits.double().flatten().tolist(), target.double().flatten().tolist(), strict=True):
        p = 1 / (1 + math.exp(-x))
        if y == 1:
            total, n = total + (1 - p) ** 2 * math.log(p), n + 1
        else:
            total += (1 - y) ** 4 * p**2 * math.log(1 - p)
    return -total / n


def made(head: str, n: int = 3, seed: int = 0) -> tuple[Maps, Any]:
    """Maps of an untrained net, and targets with 1 to 3 boxes a picture."""
    g = torch.Generator().manual_seed(seed)
    ones: list[Targets] = []
    for _ in range(n):
        m = int(torch.randint(1, 4, (), generator=g))
        corner = torch.rand(m, 2, generator=g) * 32
        boxes = torch.cat((corner, corner + 4 + torch.rand(m, 2, generator=g) * 28), 1)
        ones.append(ENCODERS[head](boxes, torch.randint(0, 2, (m,), generator=g), classes=2, height=64, width=64))

    def rand(c: int) -> Tensor:
        return torch.randn(n, c, 16, 16, generator=g)

    maps: Maps = (
        OffsetSizeMaps(rand(2), rand(2), rand(2)) if head == "offset_size" else LtrbMaps(rand(2), rand(4).exp() * 3)
    )
    return maps, default_collate(ones)


@pytest.mark.parametrize("seed", range(5))
def test_the_focal_loss_equals_the_papers_equation(seed: int) -> None:
    maps, targets = made("offset_size", seed=seed)
    objects, _ = counts(targets)
    assert objects >= 3
    got = focal_loss(maps.heatmap * 3, targets.heatmap, objects)
    assert float(got) == pytest.approx(slow_focal(maps.heatmap * 3, targets.heatmap), rel=1e-5)


def test_the_focal_losss_exponents() -> None:
    """One place each, by hand."""
    x = torch.tensor([[[[0.3]]]])
    p = 1 / (1 + math.exp(-0.3))
    near = {y: -((1 - y) ** 5) * p**3 * math.log(1 - p) for y in (0.0, 0.25, 0.75, 0.96875)}
    for y, want in {1.0: -((1 - p) ** 3) * math.log(p), **near}.items():
        assert float(focal_loss(x, torch.tensor([[[[y]]]]), ONE, alpha=3, beta=5)) == pytest.approx(want, rel=1e-6)
    assert float(focal_loss(x, torch.ones(1, 1, 1, 1), 4 * ONE)) == pytest.approx(-((1 - p) ** 2) * math.log(p) / 4)


@pytest.mark.parametrize("loss", [focal_loss, logistic_loss])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_sure_and_wrong_stays_finite(loss: Any, dtype: torch.dtype) -> None:
    """sigmoid(200) is 1 in float32: log(1 - p) would be infinite and its gradient no number."""
    x = torch.tensor([[[[-200.0, 200.0, 200.0, -200.0]]]], dtype=dtype, requires_grad=True)
    value = loss(x, torch.tensor([[[[1.0, 0.0, 1.0, 0.0]]]]), ONE)
    value.backward()
    assert float(value.detach()) == pytest.approx(400)
    assert x.grad is not None
    assert x.grad.flatten().tolist() == pytest.approx([-1, 1, 0, 0])


@settings(max_examples=50, deadline=None)
@given(x=st.floats(-30, 30), y=st.floats(0, 1, width=32))
def test_the_logistic_loss_is_the_cross_entropy(x: float, y: float) -> None:
    log_p, log_q = (-math.log1p(math.exp(v)) for v in (-x, x))
    got = logistic_loss(torch.tensor([[[[x]]]]), torch.tensor([[[[y]]]]), ONE)
    assert float(got) == pytest.approx(-y * log_p - (1 - y) * log_q, rel=1e-4, abs=4e-6)  # half a step of float32 at 30


@pytest.mark.parametrize("loss", [focal_loss, logistic_loss])
def test_the_heatmap_losss_gradient_is_right(loss: Any) -> None:
    maps, targets = made("offset_size", 1)
    objects, _ = counts(targets)
    x = maps.heatmap.requires_grad_()
    loss(x, targets.heatmap, objects).backward()
    assert x.grad is not None
    step = torch.randn(x.shape, generator=torch.Generator().manual_seed(1)) * 1e-2
    with torch.no_grad():
        change = loss(x + step, targets.heatmap, objects) - loss(x - step, targets.heatmap, objects)
    assert float(change) == pytest.approx(2 * float((x.grad * step).sum()), rel=1e-2)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 9999))
def test_offset_and_size_are_the_mean_absolute_error_at_the_centres(seed: int) -> None:
    maps, targets = made("offset_size", seed=seed)
    assert isinstance(maps, OffsetSizeMaps)
    for name in ("offset", "size"):
        prediction, truth = getattr(maps, name).numpy(), getattr(targets, name).numpy()
        total, n = 0.0, 0
        for i, y, x in np.argwhere(targets.mask.numpy()):
            n += 1
            total += sum(abs(float(prediction[i, c, y, x]) - float(truth[i, c, y, x])) for c in (0, 1)) / 2
        got = l1_loss(getattr(maps, name), getattr(targets, name), targets.mask, counts(targets)[1])
        assert float(got) == pytest.approx(total / n, rel=1e-4)


def slow_giou(a: list[float], b: list[float]) -> float:
    """Rezatofighi et al. 2019, algorithm 1."""
    x1, y1, x2, y2 = max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])
    overlap = (x2 - x1) * (y2 - y1) if x2 > x1 and y2 > y1 else 0.0
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - overlap
    hull = (max(a[2], b[2]) - min(a[0], b[0])) * (max(a[3], b[3]) - min(a[1], b[1]))
    return overlap / union - (hull - union) / hull


@settings(max_examples=200, deadline=None)
@given(numbers=st.lists(st.floats(0, 100, width=32), min_size=4, max_size=4), far=st.floats(-100, 100, width=32),
       sides=st.lists(st.floats(0.5, 100, width=32), min_size=4, max_size=4))  # fmt: skip
def test_giou_equals_algorithm_1_and_torchvisions(numbers: list[float], far: float, sides: list[float]) -> None:
    ax, ay, bx, by = numbers
    a = torch.tensor([[ax, ay, ax + sides[0], ay + sides[1]]])
    b = torch.tensor([[bx + far, by, bx + far + sides[2], by + sides[3]]])
    got = float(giou(a, b))
    assert got == pytest.approx(slow_giou(a[0].tolist(), b[0].tolist()), abs=1e-4)
    assert got == pytest.approx(float(torchvision.ops.generalized_box_iou(a, b)), abs=1e-5)
    assert -1 <= got <= 1
    assert float(giou(a, a)) == pytest.approx(1)


def test_giou_of_known_pairs() -> None:
    a = torch.tensor([[0.0, 0, 2, 2]]).expand(4, 4)
    b = torch.tensor([[0.0, 0, 2, 2], [1, 1, 3, 3], [2, 0, 4, 2], [4, 0, 6, 2]])
    assert giou(a, b).tolist() == pytest.approx([1, 1 / 7 - 2 / 9, 0, -1 / 3])


def test_giou_pulls_boxes_together_that_do_not_touch() -> None:
    near = torch.tensor([[0.0, 0, 1, 1]], requires_grad=True)
    (1 - giou(near, torch.tensor([[5.0, 0, 6, 1]]))).sum().backward()  # type: ignore[no-untyped-call]
    assert near.grad is not None
    assert near.grad[0, 2] < 0  # a larger x2 lowers the loss


def test_giou_of_empty_boxes_is_a_number() -> None:
    box = torch.tensor([[1.0, 1, 1, 1]], requires_grad=True)
    value = giou(box, torch.tensor([[1.0, 1, 1, 1]]))
    value.sum().backward()  # type: ignore[no-untyped-call]
    assert value.tolist() == [0]
    assert box.grad is not None
    assert box.grad.isfinite().all()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 9999))
def test_the_giou_loss_is_that_of_the_boxes_around_each_place(seed: int) -> None:
    maps, targets = made("ltrb", seed=seed)
    assert isinstance(maps, LtrbMaps)
    total, n = 0.0, 0
    for i, y, x in np.argwhere(targets.mask.numpy()):
        pair = []
        for distances in (maps.distances, targets.distances):
            left, top, right, bottom = distances[i, :, y, x].tolist()
            pair.append([x + 0.5 - left, y + 0.5 - top, x + 0.5 + right, y + 0.5 + bottom])
        n += 1
        total += 1 - slow_giou(*pair)
    got = giou_loss(maps.distances, targets.distances, targets.mask, counts(targets)[1])
    assert float(got) == pytest.approx(total / n, rel=1e-4)


# --- together


def test_counts_are_of_centres_and_places() -> None:
    boxes, labels = torch.tensor([[8.0, 8, 40, 40], [9, 9, 41, 41], [2, 2, 3, 3]]), torch.tensor([0, 1, 0])
    for head, places in (("offset_size", 2), ("ltrb", 10)):  # the first two share a feature pixel
        one = ENCODERS[head](boxes, labels, classes=2, height=64, width=64)
        assert counts(default_collate([one, one])).tolist() == [6, 2 * places]


def test_the_parts_add_up_with_their_weights() -> None:
    maps, targets = made("offset_size")
    value = OffsetSizeLoss()(maps, targets)  # type: ignore[arg-type]
    parts = value.parts
    assert list(parts) == ["heatmap", "offset", "size"]
    assert float(value.total) == pytest.approx(float(parts["heatmap"] + parts["offset"] + 0.1 * parts["size"]))
    assert float(parts["heatmap"]) == pytest.approx(slow_focal(maps.heatmap, targets.heatmap), rel=1e-5)
    heavy = OffsetSizeLoss(heatmap_weight=2, offset_weight=3, size_weight=4)(maps, targets).total  # type: ignore[arg-type]
    assert float(heavy) == pytest.approx(float(2 * parts["heatmap"] + 3 * parts["offset"] + 4 * parts["size"]))
    maps, targets = made("ltrb")
    value = LtrbLoss()(maps, targets)  # type: ignore[arg-type]
    assert list(value.parts) == ["heatmap", "box"]
    assert float(value.total) == pytest.approx(float(value.parts["heatmap"] + 5 * value.parts["box"]))


@pytest.mark.parametrize("head", LOSSES)
def test_the_heatmaps_loss_is_chosen_by_name(head: str) -> None:
    maps, targets = made(head)
    focal, logistic = (LOSSES[head](heatmap=name)(maps, targets).parts["heatmap"]  # type: ignore[arg-type]
                       for name in ("focal", "logistic"))  # fmt: skip
    objects, _ = counts(targets)
    assert float(focal) == float(focal_loss(maps.heatmap, targets.heatmap, objects))
    assert float(logistic) == float(logistic_loss(maps.heatmap, targets.heatmap, objects))
    assert abs(float(focal - logistic)) > 0.1


@pytest.mark.parametrize("head", LOSSES)
def test_a_perfect_answer_costs_next_to_nothing(head: str) -> None:
    maps, targets = made(head)
    logits = torch.where(targets.heatmap == 1, 20.0, -20.0)
    best = type(maps)(logits, *(getattr(targets, name) for name in maps._fields[1:]))
    assert float(LOSSES[head]()(best, targets).total) < 1e-5  # type: ignore[arg-type]
    assert float(LOSSES[head]()(maps, targets).total) > 1  # type: ignore[arg-type]


@pytest.mark.parametrize("head", LOSSES)
def test_pictures_without_objects_teach_the_background_only(head: str) -> None:
    maps, _ = made(head, 2)
    maps = type(maps)(*(m.requires_grad_() for m in maps))
    empty = ENCODERS[head](torch.zeros(0, 4), torch.zeros(0).long(), classes=2, height=64, width=64)
    value = LOSSES[head]()(maps, default_collate([empty, empty]))  # type: ignore[arg-type]
    value.total.backward()  # type: ignore[no-untyped-call]
    assert value.total.isfinite()
    assert maps.heatmap.grad is not None
    assert (maps.heatmap.grad > 0).all()
    assert all(m.grad is not None and not m.grad.any() for m in maps[1:])


@pytest.mark.parametrize("head", LOSSES)
@pytest.mark.parametrize("empty", [False, True])
def test_two_processes_with_shared_divisors_learn_what_one_would(head: str, empty: bool) -> None:
    """The mean of their gradients is the gradient of the whole batch, also where one has no objects."""
    maps, targets = made(head, 4)
    if empty:
        targets = type(targets)(*(torch.cat((torch.zeros_like(t[:2]), t[2:])) for t in targets))

    def gradient(part: slice, divisors: Tensor | None) -> list[Tensor]:
        own = type(maps)(*(m[part].clone().requires_grad_() for m in maps))
        LOSSES[head]()(own, type(targets)(*(t[part] for t in targets)), divisors).total.backward()  # type: ignore
        return [m.grad for m in own]  # type: ignore[misc]

    halves = [slice(0, 2), slice(2, 4)]
    shared = sum(counts(type(targets)(*(t[h] for t in targets))) for h in halves)
    assert isinstance(shared, Tensor)
    divisors = shared.clamp(min=1) / 2
    first, second = (gradient(h, divisors) for h in halves)
    for a, b, whole in zip(first, second, gradient(slice(0, 4), None), strict=True):
        torch.testing.assert_close(torch.cat((a, b)) / 2, whole)
