"""Where boxes are peaks of a map, what they are read from keeps its whole range; nothing else does."""

from __future__ import annotations

from collections.abc import Callable

import onnx

from edgekit.graph.lint.graph import Graph
from edgekit.quantize.calibration import Calibration
from edgekit.quantize.peaks import read_for_peaks
from edgekit.quantize.place import quantize


def test_the_neck_and_the_branches_of_a_detector(detector: onnx.ModelProto) -> None:
    """c2 leads into the neck, lateral does, and what is behind; c1 alone is the trunk."""
    assert read_for_peaks(Graph(detector)) == {"c1_relu", "merged", "both", "heat_relu", "smooth_relu"}


def test_a_classifier_has_none(residual: onnx.ModelProto) -> None:
    assert read_for_peaks(Graph(residual)) == frozenset()


def test_their_range_is_whole(detector: onnx.ModelProto, calibrated: Callable[[onnx.ModelProto], Calibration]) -> None:
    seen = calibrated(detector)
    made = quantize(detector, seen, "int8-trt").parameters
    for tensor in ("merged", "both"):
        scale, _ = made[tensor]
        peak = seen.tensors[tensor].peak
        assert abs(scale * 127 - peak) < 0.01 * peak
    scale, _ = made["image"]
    assert scale * 127 <= 1.01 * seen.tensors["image"].peak
