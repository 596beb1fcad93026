"""Preprocessing before someone else's graph: the wrapped graph answers pictures as the bare one answers numbers."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit.backends.onnxruntime_ import run_once
from edgekit.errors import ArtifactError
from edgekit.graph.wrap import layout_of, wrap_input
from edgekit.spec import PreprocessSpec, TensorSpec
from edgekit.vision.preprocess import normalise

RNG = np.random.default_rng(0)
PICTURES = RNG.integers(0, 256, (2, 8, 12, 3), dtype=np.uint8)
SPEC = PreprocessSpec(8, 12, "stretch", None)
RAW = replace(SPEC, color="bgr", mean=(0, 0, 0), std=(1 / 255,) * 3)
SPECS = {
    "imagenet": SPEC,
    "bgr": replace(SPEC, color="bgr"),
    "half": replace(SPEC, mean=(0.5,) * 3, std=(0.5,) * 3),
    "raw": RAW,
    "raw rgb": replace(RAW, color="rgb"),
}


def conv(kind: int = TensorProto.FLOAT, shape: tuple[int | str, ...] = ("N", 3, 8, 12)) -> onnx.ModelProto:
    """Padded by zeros, so that a mean in the wrong place shows at the border."""
    weight = numpy_helper.from_array(RNG.normal(size=(4, 3, 3, 3)).astype(np.float32), "weight")
    node = helper.make_node("Conv", ["image", "weight"], ["y"], name="conv", pads=[1, 1, 1, 1])
    return made([node], [weight], kind, shape, [shape[0], 4, 8, 12])


def made(
    nodes: list[onnx.NodeProto],
    weights: list[TensorProto],
    kind: int,
    shape: tuple[int | str, ...],
    out: list[int | str],
) -> onnx.ModelProto:
    image = helper.make_tensor_value_info("image", kind, shape)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, out)
    graph = helper.make_graph(nodes, "bare", [image], [y], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
@pytest.mark.parametrize("kind", ["conv", "relu", "twice"])
def test_a_wrapped_graph_answers_pictures_as_the_bare_one_answers_numbers(spec: PreprocessSpec, kind: str) -> None:
    bare = conv()
    if kind == "relu":  # no convolution to put the scale into
        bare = made(
            [helper.make_node("Relu", ["image"], ["y"])], [], TensorProto.FLOAT, ("N", 3, 8, 12), ["N", 3, 8, 12]
        )
    if kind == "twice":  # the convolution is not the only one that reads the picture
        bare.graph.node.append(helper.make_node("Relu", ["image"], ["other"], name="other"))
        bare.graph.output.append(helper.make_tensor_value_info("other", TensorProto.FLOAT, ["N", 3, 8, 12]))
    want = run_once(bare.SerializeToString(), {"image": normalise(PICTURES, spec)})
    wrapped = onnx.ModelProto()
    wrapped.CopyFrom(bare)
    wrap_input(wrapped, spec)
    onnx.checker.check_model(onnx.shape_inference.infer_shapes(wrapped, strict_mode=True), full_check=True)
    got = run_once(wrapped.SerializeToString(), {"image": PICTURES})
    for name, values in want.items():
        np.testing.assert_allclose(got[name], values, rtol=0, atol=2e-5 * np.abs(values).max())


def test_raw_bgr_needs_a_cast_and_a_transpose_alone() -> None:
    model = conv()
    wrap_input(model, RAW)
    assert [node.op_type for node in model.graph.node] == ["Cast", "Transpose", "Conv"]


def test_a_scale_goes_into_the_first_convolution_and_its_old_weights_are_gone() -> None:
    model = conv()
    assert wrap_input(model, replace(RAW, std=(1, 1, 1), color="rgb"))
    assert [node.op_type for node in model.graph.node] == ["Cast", "Transpose", "Conv"]
    assert [tensor.name for tensor in model.graph.initializer] == ["weight/of_pictures"]


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_channels_last_stay_last(spec: PreprocessSpec) -> None:
    mix = numpy_helper.from_array(RNG.normal(size=(3, 5)).astype(np.float32), "mix")
    node = helper.make_node("MatMul", ["image", "mix"], ["y"])
    model = made([node], [mix], TensorProto.FLOAT, (1, 8, 12, 3), [1, 8, 12, 5])
    numbers = normalise(PICTURES[:1], spec).transpose(0, 2, 3, 1)
    want = run_once(model.SerializeToString(), {"image": np.ascontiguousarray(numbers)})["y"]
    wrap_input(model, spec)
    got = run_once(model.SerializeToString(), {"image": PICTURES[:1]})["y"]
    np.testing.assert_allclose(got, want, rtol=0, atol=2e-5 * np.abs(want).max())
    assert not [node for node in model.graph.node if node.op_type == "Transpose"]


def test_a_graph_that_takes_bytes_gets_bytes_in_its_own_order() -> None:
    node = helper.make_node("Cast", ["image"], ["y"], to=TensorProto.FLOAT)
    model = made([node], [], TensorProto.UINT8, ("N", 8, 12, 3), ["N", 8, 12, 3])
    wrap_input(model, replace(RAW, color="rgb"))
    assert (run_once(model.SerializeToString(), {"image": PICTURES})["y"] == PICTURES[..., ::-1]).all()
    with pytest.raises(ArtifactError, match="whole numbers"):
        wrap_input(made([node], [], TensorProto.UINT8, ("N", 8, 12, 3), ["N", 8, 12, 3]), SPEC)


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
def test_float_input_is_normalized_channels_first_whatever_the_graph_has(layout: str) -> None:
    shape = ("N", 3, 8, 12) if layout == "nchw" else ("N", 8, 12, 3)
    model = made([helper.make_node("Relu", ["image"], ["y"])], [], TensorProto.FLOAT, shape, list(shape))
    wrap_input(model, SPEC, "float")
    given = normalise(PICTURES, SPEC)
    got = run_once(model.SerializeToString(), {"image": given})["y"]
    want = np.maximum(given if layout == "nchw" else given.transpose(0, 2, 3, 1), 0)
    assert (got == want).all()


@pytest.mark.parametrize(
    ("shape", "said"), [((1, 1, 8, 8), "one channel"), ((1, 8, 8), "no colour"), ((1, 4, 8, 8), "no")]
)
def test_what_is_no_colour_picture_is_refused(shape: tuple[int, ...], said: str) -> None:
    with pytest.raises(ArtifactError, match=said):
        layout_of(TensorSpec("x", "float32", shape))


def test_another_size_is_refused() -> None:
    with pytest.raises(ArtifactError, match="another size"):
        wrap_input(conv(), replace(SPEC, width=16))
