"""Every defect that is planted in an export, with the stage that has to catch it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from edgekit.graph import to_onnx
from tests.faults.planted.defect import LAYER, Defect, Patch
from tests.faults.planted.files import (
    append_softmax,
    asymmetric_padding,
    batch_of_two,
    channels_first_input,
    describe_with,
    drop_relu,
    edit_graph,
    flip_a_weight_bit,
    old_opset,
    stale_lineage,
    swap_two_logits,
    through_fp16,
    write_to_disk,
)
from tests.faults.planted.inputs import (
    Mixing,
    crop_one_pixel_off,
    deploy_with,
    forget_255,
    head_with,
    mean_in_rgb_order,
    normalise_at_run_time_with,
    normalise_with,
    resize_as,
    spoil_deploy,
    stretch,
    temperature_twice,
)
from tests.faults.planted.nets import (
    bias_before_scale,
    drop_skip,
    flip_gamma,
    fold_with,
    nan_in_one_channel,
    net_with_other_eps,
    no_mean,
    no_skip_anywhere,
    other_eps,
    spoil_folded,
    std_for_var,
    transpose_weights,
)

FILE: dict[str, Any] = {"stage": "file", "shows": False}
GRAPH: dict[str, Any] = {"stage": "onnx"}
FORM: dict[str, Any] = {**GRAPH, "shows": False}
DEFECTS = (
    Defect("BN eps wrong in the fold", fold_with(other_eps), "fold", "bn1"),
    Defect("a gamma's sign flipped in the fold", spoil_folded(LAYER, flip_gamma), "fold", "layer1.1.bn2"),
    Defect("std taken for var in the fold", fold_with(std_for_var), "fold", "bn1"),
    Defect("BN mean left out of the fold", fold_with(no_mean), "fold", "bn1"),
    Defect("fold adds beta before it scales", bias_before_scale, "fold", "bn1"),
    Defect("weights transposed in the fold", spoil_folded(LAYER, transpose_weights), "fold", "layer1.1.bn2"),
    Defect("NaN in one channel", spoil_folded(LAYER, nan_in_one_channel), "fold", "layer1.1.bn2"),
    Defect("residual dropped in the folded net", spoil_folded("layer1.1", drop_skip), "fold", "layer1.1.relu_1"),
    Defect("residual dropped in the net", no_skip_anywhere, "net", "layer1.0.relu_1", foreign=True),
    Defect("BN eps wrong in the net", net_with_other_eps, "net", "bn1", foreign=True),
    Defect("picture stretched instead of cropped", stretch, "preprocess", "image"),
    Defect("crop one pixel off", crop_one_pixel_off, "preprocess", "image"),
    Defect("no antialiasing", resize_as("bilinear"), "preprocess", "image"),
    Defect("INTER_AREA instead of bilinear", resize_as("area"), "preprocess", "image"),
    Defect("BGR normalised as RGB", normalise_with(color="bgr"), "preprocess", "image"),
    Defect("mean wrong", normalise_with(mean=(0.5, 0.5, 0.5)), "preprocess", "image"),
    Defect(
        "--input float normalised otherwise at run time",
        normalise_at_run_time_with(std=(0.25, 0.25, 0.25)),
        "onnx",
        arguments=("--input", "float"),
    ),
    Defect("RGB and BGR swapped in the graph", deploy_with(color="bgr"), "onnx", "conv1"),
    Defect("mean wrong in the graph", deploy_with(mean=(0.5, 0.5, 0.5)), "onnx", "conv1"),
    Defect("std wrong in the graph", deploy_with(std=(0.25, 0.25, 0.25)), "onnx", "conv1"),
    Defect("255 forgotten in the graph", spoil_deploy(forget_255), "onnx", "conv1"),
    Defect("mean in RGB order in the graph", spoil_deploy(mean_in_rgb_order), "onnx", "conv1"),
    Defect("temperature applied twice", head_with(temperature_twice), "onnx", "logits"),
    Defect("temperature forgotten", head_with(lambda net, path, temperature: net), "onnx", "logits"),
    Defect("rows of a batch mixed", lambda p: p.setattr(to_onnx, "Deploy", Mixing), "batch"),
    Defect(
        "rows of a fixed batch mixed",
        lambda p: p.setattr(to_onnx, "Deploy", Mixing),
        "onnx",
        "logits",
        arguments=("--batch", "4"),
    ),
    Defect("ReLU dropped", edit_graph(drop_relu), tensor="layer1.1.conv2", **GRAPH),
    Defect("weights rounded to fp16", edit_graph(through_fp16), tensor="conv1", **GRAPH),
    Defect("two logits swapped", edit_graph(swap_two_logits), tensor="logits", **GRAPH),
    Defect("probabilities instead of logits", edit_graph(append_softmax), tensor="logits", **GRAPH),
    Defect("padding moved", edit_graph(asymmetric_padding), tensor=LAYER, **GRAPH),
    Defect("channels first", edit_graph(channels_first_input), code=5, says="input of tiny.onnx", **FORM),
    Defect("batch taken for a constant", edit_graph(batch_of_two), code=1, says="batch", **FORM),
    Defect("another opset", edit_graph(old_opset), code=1, says="opset", **FORM),
    Defect("file cut off", write_to_disk(lambda data: data[: len(data) // 2]), **FILE),
    Defect("one bit of a weight flipped on the disk", write_to_disk(flip_a_weight_bit), **FILE),
    Defect("classes sorted", describe_with(lambda m: replace(m, classes=tuple(sorted(m.classes)))), **FILE),
    Defect("another temperature described", describe_with(lambda m: replace(m, temperature=1.0)), **FILE),
    Defect(
        "another preprocessing described",
        describe_with(lambda m: replace(m, preprocess=replace(m.preprocess, antialias=False))),
        **FILE,
    ),
    Defect("lineage of another checkpoint", stale_lineage, **FILE),
)


def nothing(patch: Patch) -> None:
    """No defect."""


CONTROLS = (
    Defect("nothing, own checkpoint", nothing, ""),
    Defect("nothing, foreign checkpoint", nothing, "", foreign=True),
)
