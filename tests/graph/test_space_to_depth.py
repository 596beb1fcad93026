"""The first convolution reads blocks of pixels for onnxruntime on x86: every answer is the same, bit for bit."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import helper, numpy_helper

from edgekit.backends import open_session
from edgekit.config.schemes import scheme_named
from edgekit.config.target import load_target
from edgekit.graph import lint
from edgekit.graph.passes.space_to_depth import blocks_for
from edgekit.pipeline.quicker import laid_out
from edgekit.quantize.place import Quantized, quantize
from edgekit.quantize.plan import plan

X86, OPENVINO, ARM = (load_target(name) for name in ("x86-cpu", "x86-openvino", "arm-cpu"))


def net(
    *,
    size: tuple[int, int] = (32, 48),
    channels: int = 3,
    kernel: tuple[int, int] = (7, 7),
    strides: tuple[int, int] = (2, 2),
    pads: tuple[int, ...] = (3, 3, 3, 3),
    more: str = "",
    front: bool = True,
    dilations: tuple[int, int] = (1, 1),
    group: int = 1,
) -> onnx.ModelProto:
    """A stem and a convolution behind it; with `front` it is fed uint8 NHWC, as an export is."""
    h, w = size
    outputs = "float[N,8,oh,ow] out" + (", float[N,3,mh,mw] more" if more else "")
    start = f"uint8[N,{h},{w},{channels}] image" if front else f"float[N,{channels},{h},{w}] given"
    fed = "cast = Cast<to=1>(image) less = Sub(cast, mean) given = Transpose<perm=[0,3,1,2]>(less)" if front else ""
    given = f"kernel_shape={list(kernel)}, strides={list(strides)}, pads={list(pads)}, dilations={list(dilations)}"
    model = onnx.parser.parse_model(
        f'<ir_version: 10, opset_import: ["" : 20]> g ({start}) => ({outputs}) {{ {fed}'
        f" stem = Conv<{given}, group={group}>(given, w_stem, b_stem) relu = Relu(stem)"
        f" mid = Conv<pads=[1,1,1,1]>(relu, w_mid, b_mid) mid_relu = Relu(mid)"
        f" out = Conv<pads=[1,1,1,1]>(mid_relu, w_out, b_out) {more} }}"
    )
    rng = np.random.default_rng(3)
    weights = {
        "w_stem": rng.normal(0, 0.02, (16, channels // group, *kernel)),
        "b_stem": rng.normal(0, 1, 16),
        "w_mid": rng.normal(0, 0.1, (16, 16, 3, 3)),
        "b_mid": rng.normal(0, 1, 16),
        "w_out": rng.normal(0, 0.1, (8, 16, 3, 3)),
        "b_out": rng.normal(0, 1, 8),
        "mean": np.array([103.53, 116.28, 123.675, 7.0, 0.0, 1.0][:channels]),
        "w_side": rng.normal(0, 0.1, (3, channels, 3, 3)),
        "w_more": rng.normal(0, 0.1, (3, 3, 1, 1)),
    }
    for name, value in weights.items():
        if any(name in node.input for node in model.graph.node):
            model.graph.initializer.append(numpy_helper.from_array(value.astype(np.float32), name))
    for node in model.graph.node:
        node.name = node.output[0]
    return model


def rounded(model: onnx.ModelProto, scheme: str = "int8-x86") -> Quantized:
    """With ranges that clip some, and a zero point of the picture that is not in the middle."""
    tensors = plan(model, scheme_named(scheme)).tensors
    zeros = (99, 0) if scheme == "int8-x86" else (-20, -128)
    return quantize(model, {t: (0.9, zeros[0]) if t == "given" else (0.05, zeros[1]) for t in tensors}, scheme)


def answers(model: onnx.ModelProto, backend: str = "onnxruntime") -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    given = model.graph.input[0]
    shape = [2, *(d.dim_value for d in given.type.tensor_type.shape.dim[1:])]
    pixels = rng.integers(0, 256, shape).astype(np.uint8)
    feed = pixels if given.name == "image" else pixels.astype(np.float32) - 110
    with open_session(model.SerializeToString(), backend) as session:
        return session.run({given.name: feed})


def stem(model: onnx.ModelProto) -> tuple[list[int], list[int]]:
    """Its kernel and strides."""
    conv = next(node for node in model.graph.node if node.name == "stem")
    given = {a.name: helper.get_attribute_value(a) for a in conv.attribute}
    return list(given["kernel_shape"]), list(given["strides"])


@pytest.mark.parametrize(
    ("arguments", "kernel"),
    [
        ({}, [4, 4]),
        ({"kernel": (3, 3), "pads": (1, 1, 1, 1)}, [2, 2]),
        ({"kernel": (3, 3), "pads": (0, 0, 1, 1)}, [2, 2]),  # TensorFlow's "same"
        ({"kernel": (5, 4), "pads": (2, 0, 1, 3)}, [3, 2]),
        ({"kernel": (4, 9), "strides": (3, 3), "size": (33, 48), "pads": (1, 5, 2, 3)}, [2, 4]),
        ({"kernel": (5, 5), "strides": (4, 4), "pads": (0, 0, 0, 0)}, [2, 2]),  # the last rows are not read
        ({"channels": 1}, [4, 4]),
        ({"channels": 4}, [4, 4]),
        ({"front": False}, [4, 4]),
        ({"more": "more = Relu(given)"}, [4, 4]),
    ],
)
def test_the_answers_are_the_same_bit_for_bit(arguments: dict[str, object], kernel: list[int]) -> None:
    before = rounded(net(**arguments))  # type: ignore[arg-type]
    after = laid_out(before, X86)
    assert stem(after.model) == (kernel, [1, 1])
    assert stem(before.model)[0] != kernel, "what it was made from is not changed"
    assert "--target x86-openvino" in blocks_for(after.model, "openvino")
    assert not blocks_for(after.model, "onnxruntime")
    assert not blocks_for(before.model, "openvino")
    was, now = answers(before.model), answers(after.model)
    assert sorted(was) == sorted(now)
    for name, value in was.items():
        assert np.array_equal(value, now[name])
        assert value.std() > 0
    assert after.parameters == before.parameters
    assert after.layers == before.layers
    assert not lint.lint(after.model, runtimes=("onnxruntime",), opset=20, scheme="int8-x86")
    again = laid_out(after, X86)
    assert again.model == after.model


def test_openvino_answers_the_same_too() -> None:
    before = rounded(net())
    was, now = answers(before.model, "openvino")["out"], answers(laid_out(before, X86).model, "openvino")["out"]
    assert np.abs(was - now).max() <= 0.05 + 1e-6  # a step of the last range: it sums in another order


@pytest.mark.parametrize(
    "arguments",
    [
        {"channels": 6},
        {"kernel": (2, 2), "pads": (0, 0, 0, 0)},  # patches as a ViT's
        {"strides": (1, 1)},
        {"size": (31, 48)},  # no whole number of blocks
        {"group": 3},
        {"dilations": (2, 2)},
        {"strides": (2, 3)},
        {"channels": 4, "group": 2},
        {"more": "side = Conv(given, w_side) more = Conv(side, w_more)"},  # two convolutions read it
    ],
)
def test_others_stay_as_they_are(arguments: dict[str, object]) -> None:
    before = rounded(net(**arguments))  # type: ignore[arg-type]
    assert laid_out(before, X86) is before


def test_other_runtimes_and_schemes_keep_theirs() -> None:
    before = rounded(net())
    assert laid_out(before, OPENVINO) is before
    signed = rounded(net(), "int8-arm")
    assert laid_out(signed, ARM) is signed
    assert laid_out(signed, X86) is signed


def test_a_stem_that_stays_in_float_is_not_touched() -> None:
    model = net()
    tensors = plan(model, scheme_named("int8-x86"), ["stem"]).tensors
    before = quantize(model, dict.fromkeys(tensors, (0.05, 99)), "int8-x86", keep=["stem"])
    assert laid_out(before, X86) is before
