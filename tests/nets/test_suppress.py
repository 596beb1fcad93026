"""Suppression of duplicates in torch keeps what the greedy rule in numpy keeps, chains and ties included."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.nets.decoding.suppress import suppressed
from edgekit.vision.suppress import Suppression, suppress


def crowd(seed: int, k: int, classes: int, spread: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Boxes on top of one another, scores with ties, best first."""
    rng = np.random.default_rng(seed)
    centre = rng.uniform(0, spread, (2, k, 2))
    half = rng.uniform(4, 12, (2, k, 2))
    boxes = np.concatenate([centre - half, centre + half], axis=2).astype(np.float32)
    scores = -np.sort(-rng.choice([0.0, 0.1, 0.35, 0.5, 0.7, 0.9], (2, k)), axis=1).astype(np.float32)
    labels = rng.integers(0, classes, (2, k)).astype(np.int32)
    return torch.from_numpy(boxes), torch.from_numpy(scores), torch.from_numpy(labels)


def rows(boxes: object, scores: object, labels: object) -> list[tuple[float, ...]]:
    found = zip(np.asarray(boxes).tolist(), np.asarray(scores).tolist(), np.asarray(labels).tolist(), strict=True)
    return sorted((s, n, *b) for b, s, n in found if s > 0)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    k=st.integers(1, 60),
    classes=st.integers(1, 3),
    spread=st.sampled_from([10.0, 60.0, 300.0]),
    iou=st.sampled_from([0.1, 0.45, 0.6, 0.9]),
    across=st.booleans(),
)
def test_torch_keeps_what_the_greedy_rule_keeps(
    seed: int, k: int, classes: int, spread: float, iou: float, across: bool
) -> None:
    how = Suppression(iou, across)
    boxes, scores, labels = crowd(seed, k, classes, spread)
    got = suppressed(boxes, scores, labels, how)
    assert (got[1][:, :-1] >= got[1][:, 1:]).all()
    for i in range(2):
        kept = suppress(boxes[i], scores[i], labels[i], how)
        assert rows(got[0][i], got[1][i], got[2][i]) == rows(boxes[i][kept], scores[i][kept], labels[i][kept])


def test_a_chain_is_resolved_link_by_link() -> None:
    """Each box overlaps the next one only: of a, b, c, d greedy keeps a and c, and one round alone would keep a."""
    x = torch.arange(4).float() * 3
    boxes = torch.stack((x, torch.zeros(4), x + 10, torch.full((4,), 10.0)), 1)[None]
    scores = torch.tensor([[0.9, 0.8, 0.7, 0.6]])
    labels = torch.zeros(1, 4, dtype=torch.int32)
    got = suppressed(boxes, scores, labels, Suppression(0.5))
    assert got[1].tolist() == [pytest.approx([0.9, 0.7, 0.0, 0.0])]
    assert got[0][0, :2, 0].tolist() == [0.0, 6.0]


def test_boxes_of_no_area_suppress_nobody() -> None:
    boxes = torch.zeros(1, 3, 4)
    scores = torch.tensor([[0.9, 0.8, 0.7]])
    got = suppressed(boxes, scores, torch.zeros(1, 3, dtype=torch.int32), Suppression(0.5))
    assert got[1].tolist() == scores.tolist()


class Whole(torch.nn.Module):
    def forward(
        self, boxes: torch.Tensor, scores: torch.Tensor, labels: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        return suppressed(boxes, scores, labels, Suppression(0.45))


def test_onnxruntime_suppresses_the_same_boxes_as_torch_and_the_greedy_rule() -> None:
    from edgekit.backends.onnxruntime_ import run_once

    crowds = [crowd(seed, 40, 2, spread) for seed in range(10) for spread in (10.0, 60.0, 300.0)]
    given = tuple(torch.cat(parts) for parts in zip(*crowds, strict=True))  # 60 pictures, scores with ties
    names = ["boxes", "scores", "labels"]
    batch = {0: torch.export.Dim.DYNAMIC}
    program = torch.onnx.export(
        Whole(), given, dynamo=True, opset_version=20, input_names=names, output_names=["b", "s", "l"],
        dynamic_shapes=(batch, batch, batch), external_data=False, verbose=False,
    )  # fmt: skip
    assert program is not None
    feeds = {name: tensor.numpy() for name, tensor in zip(names, given, strict=True)}
    got = run_once(program.model_proto.SerializeToString(), feeds)
    want = Whole()(*given)
    assert 0 < (want[1] > 0).sum() < (given[1] > 0).sum()  # some are suppressed
    for i in range(len(given[0])):
        kept = suppress(given[0][i], given[1][i], given[2][i], Suppression(0.45))
        greedy = rows(*(part[i][kept] for part in given))
        assert rows(got["b"][i], got["s"][i], got["l"][i]) == rows(want[0][i], want[1][i], want[2][i]) == greedy
