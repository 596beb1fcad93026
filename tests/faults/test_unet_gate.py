"""Defects planted one at a time into the graph of a U-Net that has learnt something: the gate catches each.

Half of them are mistakes that people make when they write the way up by hand, the others are of the export.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from torch.nn import functional

from edgekit import nets
from edgekit.backends import open_session
from edgekit.config.target import load_target
from edgekit.data import Dataset
from edgekit.errors import EdgekitError
from edgekit.gate.compare import verify
from edgekit.graph.fold_bn import fold_bn
from edgekit.graph.to_onnx import onnx_from_torch
from edgekit.nets.detector import with_decoding
from edgekit.predictor import Predictor
from edgekit.quantize.calibrate import calibrate
from edgekit.quantize.fp16 import to_fp16
from edgekit.quantize.place import quantize
from edgekit.spec import ModelSpec, PreprocessSpec
from edgekit.tasks.stage import Stage
from edgekit.vision.preprocess import normalise
from tests.tasks.painter import CLASSES, scenes

Graph = onnx.ModelProto
SPEC = ModelSpec(
    "unet-resnet18", CLASSES, PreprocessSpec(64, 64, "stretch", None), {"width": 0.125, "norm": "batch"},
    task="segmentation",
)  # fmt: skip
PICTURES = scenes(6, (64, 64))
LIMITS = {name: load_target("x86-cpu").limits(name) for name in ("fp32", "fp16", "int8")}


@pytest.fixture(scope="module")
def sound() -> Graph:
    """The folded graph of a net that was shown eight pictures 40 times."""
    torch.manual_seed(0)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    net = nets.build(SPEC)
    shown = scenes(22, (64, 64)).samples[6:]
    x = torch.from_numpy(normalise(np.stack([s.read() for s in shown]), SPEC.preprocess))
    y = torch.from_numpy(np.stack([s.read_mask() for s in shown])).long()
    optimizer = torch.optim.AdamW(net.parameters(), lr=8e-3)
    for step in range(40):
        part = slice(0, 8) if step % 2 else slice(8, 16)
        loss = functional.cross_entropy(net(x[part]), y[part])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    folded, _ = fold_bn(net.eval(), x[:2])
    torch.set_num_threads(threads)
    assert float((net(x).argmax(1) == y).float().mean()) > 0.9
    return onnx_from_torch(with_decoding(folded, SPEC), SPEC, opset=20)


@pytest.fixture(scope="module")
def int8(sound: Graph) -> Graph:
    photos = scenes(40, (64, 64))
    return quantize(sound, calibrate(sound, replace(photos, layout="folder"), SPEC.preprocess), "int8-x86").model


def opened(model: Graph, spec: ModelSpec = SPEC) -> Predictor:
    return Predictor(open_session(model.SerializeToString()), spec)


def judged(reference: Graph, candidate: Graph, precision: str = "fp32", pictures: Dataset = PICTURES) -> Stage:
    with opened(reference) as one, opened(candidate) as other:
        return verify(one, other, pictures, LIMITS[precision])


def of_type(graph: Graph, kind: str) -> list[onnx.NodeProto]:
    return [node for node in graph.graph.node if node.op_type == kind]


def attribute(node: onnx.NodeProto, name: str, value: object) -> None:
    for old in [a for a in node.attribute if a.name == name]:
        node.attribute.remove(old)
    node.attribute.append(helper.make_attribute(name, value))


def stored(graph: Graph, name: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    tensor = next(t for t in graph.graph.initializer if t.name == name)
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(change(numpy_helper.to_array(tensor))), name))


def last_resize(graph: Graph, mode: str) -> None:
    attribute(of_type(graph, "Resize")[-1], "coordinate_transformation_mode", mode)


def nearest_of_the_wrong_neighbour(graph: Graph) -> None:
    for node in of_type(graph, "Resize")[:-1]:
        attribute(node, "coordinate_transformation_mode", "asymmetric")
        attribute(node, "nearest_mode", "ceil")


def swapped_sides(graph: Graph) -> None:
    node = of_type(graph, "Concat")[-1]
    node.input[0], node.input[1] = node.input[1], node.input[0]


def skip_of_another_block(graph: Graph) -> None:
    """The map before the last block of its level: of the same size."""
    concat = of_type(graph, "Concat")[-2]
    producers = {name: node for node in graph.graph.node for name in node.output}
    relu = producers[concat.input[1]]
    add = producers[relu.input[0]]
    concat.input[1] = next(name for name in add.input if producers[name].op_type == "Relu")


def skip_left_out(graph: Graph) -> None:
    concat = of_type(graph, "Concat")[-1]
    graph.graph.initializer.append(numpy_helper.from_array(np.float32(0), "nothing"))
    place = list(graph.graph.node).index(concat)
    graph.graph.node.insert(place, helper.make_node("Mul", [concat.input[1], "nothing"], ["gone"], "gone"))
    of_type(graph, "Concat")[-1].input[1] = "gone"


def residual_left_out(graph: Graph) -> None:
    node = of_type(graph, "Add")[-1]
    node.input[1] = node.input[0]


def softmax_along_rows(graph: Graph) -> None:
    attribute(of_type(graph, "Softmax")[0], "axis", 2)


def void_as_a_class(graph: Graph) -> None:
    """Trained with void as class 0: every class is one further on."""
    graph.graph.initializer.append(numpy_helper.from_array(np.int64(1), "one further"))
    cast = next(node for node in of_type(graph, "Cast") if node.output[0] == "mask")
    place = list(graph.graph.node).index(cast)
    graph.graph.node.insert(place, helper.make_node("Add", [cast.input[0], "one further"], ["further"], "further"))
    next(node for node in of_type(graph, "Cast") if node.output[0] == "mask").input[0] = "further"


def classes_in_another_order(graph: Graph) -> None:
    head = of_type(graph, "Conv")[-1]
    for name in head.input[1:3]:
        stored(graph, name, lambda values: values[::-1])


def channels_turned_over(graph: Graph) -> None:
    stored(graph, of_type(graph, "Conv")[0].input[1], lambda values: values[:, ::-1])


def a_bias_that_was_not_folded(graph: Graph) -> None:
    stored(graph, of_type(graph, "Conv")[-3].input[2], lambda values: values * 0)


def another_temperature(graph: Graph) -> None:
    head = of_type(graph, "Conv")[-1]
    for name in head.input[1:3]:
        stored(graph, name, lambda values: values * np.float32(1.02))


DEFECTS: dict[str, Callable[[Graph], None]] = {
    "corners instead of half pixels": lambda graph: last_resize(graph, "align_corners"),
    "a corner's pixel instead of half pixels": lambda graph: last_resize(graph, "asymmetric"),
    **{
        change.__name__: change
        for change in (
            nearest_of_the_wrong_neighbour, swapped_sides, skip_of_another_block, skip_left_out, residual_left_out,
            softmax_along_rows, void_as_a_class, classes_in_another_order, channels_turned_over,
            a_bias_that_was_not_folded, another_temperature,
        )
    },
}  # fmt: skip


def test_the_net_itself_passes(sound: Graph) -> None:
    stage = judged(sound, sound)
    assert stage.passed, stage
    assert stage.own["classes_seen"] == 4


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_fails(sound: Graph, name: str) -> None:
    broken = onnx.ModelProto.FromString(sound.SerializeToString())
    DEFECTS[name](broken)
    assert broken.SerializeToString() != sound.SerializeToString()
    stage = judged(sound, broken)
    assert not stage.passed, stage


def test_argmax_over_the_wrong_axis_is_refused(sound: Graph) -> None:
    broken = onnx.ModelProto.FromString(sound.SerializeToString())
    attribute(of_type(broken, "ArgMax")[0], "axis", 2)
    del broken.graph.value_info[:]
    with pytest.raises(EdgekitError):
        judged(sound, broken)


def test_float16_and_int8_pass_within_their_limits(sound: Graph, int8: Graph) -> None:
    photos = replace(scenes(40, (64, 64)), layout="folder")
    half = to_fp16(sound, calibrate(sound, photos, SPEC.preprocess).tensors).model
    stage = judged(sound, half, "fp16")
    assert stage.passed, stage
    assert stage.own["pixels_equal"] >= 0.999
    stage = judged(sound, int8, "int8")
    assert stage.passed, stage
    assert stage.own["inner_pixels_equal"] >= 0.99


def test_every_step_up_is_int8_from_its_resize_to_its_concatenation(int8: Graph) -> None:
    """What a Resize gives has the scale of what it gets, and both sides of a concatenation are quantized."""
    producers = {name: node for node in int8.graph.node for name in node.output}
    assert len(of_type(int8, "Concat")) == 4
    for concat in of_type(int8, "Concat"):
        assert [producers[name].op_type for name in concat.input] == ["DequantizeLinear"] * 2
    nearest = of_type(int8, "Resize")[:-1]
    assert len(nearest) == 4
    for resize in nearest:
        before = producers[resize.input[0]]
        after = next(node for node in of_type(int8, "QuantizeLinear") if node.input[0] == resize.output[0])
        scales = [
            numpy_helper.to_array(next(t for t in int8.graph.initializer if t.name == node.input[1]))
            for node in (before, after)
        ]
        assert scales[0] == scales[1]


@pytest.mark.parametrize("side", [0, 1])
def test_another_scale_at_one_side_of_a_concatenation_fails(sound: Graph, int8: Graph, side: int) -> None:
    broken = onnx.ModelProto.FromString(int8.SerializeToString())
    producers = {name: node for node in broken.graph.node for name in node.output}
    dequantize = producers[of_type(broken, "Concat")[-1].input[side]]
    broken.graph.initializer.append(
        numpy_helper.from_array(
            2 * numpy_helper.to_array(next(t for t in broken.graph.initializer if t.name == dequantize.input[1])),
            "other.scale",
        )
    )
    place = list(broken.graph.node).index(dequantize)
    other = helper.make_node(
        "DequantizeLinear", [dequantize.input[0], "other.scale", dequantize.input[2]], ["other"], "other"
    )
    broken.graph.node.insert(place + 1, other)
    of_type(broken, "Concat")[-1].input[side] = "other"
    assert not judged(sound, broken, "int8").passed
