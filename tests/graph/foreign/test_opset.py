"""What changed between ONNX's opsets is rewritten, and computes what it did; what cannot be said is refused."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import defs, helper

from edgekit.errors import ArtifactError
from edgekit.graph.foreign import clean, read_foreign
from edgekit.graph.foreign.opset.upgrades import UPGRADES
from edgekit.graph.foreign.run import run
from tests.graph.foreign.hostile import written
from tests.graph.foreign.nets import Weights, cleaned, file, numbers, ops

NEWEST = 25  # the newest opset that a target may name
# changes of a schema that need no rewrite
HARMLESS = {
    ("Attention", 24): "one more optional input",
    ("Dropout", 12): "taken out before",
    ("Gemm", 11): "the bias became optional",
    ("Loop", 11): "refused",
    ("Scan", 9): "refused",
    ("MaxPool", 8): "one more optional output",
    ("OptionalHasElement", 18): "refused",
    ("Pad", 18): "one more optional input",
    ("Upsample", 9): "Upsample becomes Resize in one step",
}


def test_every_change_of_a_schema_is_dealt_with() -> None:
    """Attributes that went or got another default, inputs and outputs that came: by ONNX's own schemas."""
    history = defaultdict(list)
    for schema in defs.get_all_schemas_with_history():
        if schema.domain == "":
            history[schema.name].append(schema)
    rewritten = {(name, version) for version, (name, _) in UPGRADES}
    changed = set()
    for name, versions in history.items():
        versions.sort(key=lambda s: s.since_version)
        for old, new in pairwise(versions):
            if 7 < new.since_version <= NEWEST and _differ(old, new):
                changed.add((name, new.since_version))
    assert len(changed) > 30
    assert not sorted(changed - rewritten - set(HARMLESS))
    assert not sorted(set(HARMLESS) - changed)


def _differ(old: defs.OpSchema, new: defs.OpSchema) -> bool:
    def counts(schema: defs.OpSchema) -> tuple[int, ...]:
        return (schema.min_input, schema.max_input, schema.min_output, schema.max_output)

    lost = any(
        name not in new.attributes or new.attributes[name].default_value != a.default_value
        for name, a in old.attributes.items()
    )
    required = any(a.required and name not in old.attributes for name, a in new.attributes.items())
    return lost or required or counts(old) != counts(new) or new.deprecated


CASES: dict[str, tuple[int, str, Weights]] = {
    "Upsample 7": (7, "y = Upsample<mode = \"nearest\", scales = [1.0, 1.0, 2.0, 3.0]>(x)", {}),
    "Upsample 7 linear": (8, "y = Upsample<mode = \"linear\", scales = [1.0, 1.0, 2.0, 2.0]>(x)", {}),
    "Upsample 9": (9, "y = Upsample<mode = \"nearest\">(x, s)", {"s": np.array([1, 1, 1.5, 2], np.float32)}),
    "Resize 10": (10, "y = Resize<mode = \"linear\">(x, s)", {"s": np.array([1, 1, 1.5, 2], np.float32)}),
    "Resize 10 down": (10, "y = Resize<mode = \"nearest\">(x, s)", {"s": np.array([1, 1, 0.6, 0.7], np.float32)}),
    "Resize 11": (11, "y = Resize<mode = \"cubic\", coordinate_transformation_mode = \"align_corners\">(x, r, s)",
                  {"r": np.zeros(0, np.float32), "s": np.array([1, 1, 1.5, 2], np.float32)}),
    "Resize 11 sizes": (11, "y = Resize<mode = \"linear\">(x, r, s, z)",
                        {"r": np.zeros(0, np.float32), "s": np.zeros(0, np.float32), "z": np.array([1, 3, 9, 21])}),
    "Clip 6": (7, "y = Clip<min = -0.5, max = 0.25>(x)", {}),
    "Clip 6 below": (7, "y = Clip<min = -0.5>(x)", {}),
    "Pad 2": (7, "y = Pad<pads = [0, 0, 1, 2, 0, 0, 3, 4], value = 0.5>(x)", {}),
    "Pad 2 reflect": (7, "y = Pad<mode = \"reflect\", pads = [0, 0, 1, 2, 0, 0, 3, 4]>(x)", {}),
    "Slice 1": (7, "y = Slice<starts = [1, -3], ends = [3, 100], axes = [1, 2]>(x)", {}),
    "Slice 1 without axes": (7, "y = Slice<starts = [0, 1], ends = [1, 3]>(x)", {}),
    "TopK 1": (7, "y, i = TopK<k = 2, axis = 2>(x)", {}),
    "TopK 10": (10, "y, i = TopK<axis = 2>(x, k)", {"k": np.array([2])}),
    "Squeeze 1": (7, "a = Slice<starts = [0], ends = [1], axes = [2]>(x)\n y = Squeeze<axes = [2]>(a)", {}),
    "Squeeze 1 all": (7, "a = Slice<starts = [0], ends = [1], axes = [2]>(x)\n b = Squeeze(a)\n"
                         "y = Unsqueeze<axes = [0]>(b)", {}),
    "Unsqueeze 1": (7, "y = Unsqueeze<axes = [0, 2]>(x)", {}),
    "ReduceSum 1": (7, "y = ReduceSum<axes = [1], keepdims = 0>(x)", {}),
    "ReduceMean 1": (7, "y = ReduceMean<axes = [2, 3]>(x)", {}),
    "ReduceMax 11": (11, "y = ReduceMax<axes = [-1]>(x)", {}),
    "ReduceL2 11": (11, "y = ReduceL2<axes = [1]>(x)", {}),
    "Softmax 1 of rows": (7, "a = Flatten(x)\n y = Softmax(a)", {}),
    "Softmax 1 over all that follows": (7, "y = Softmax(x)", {}),
    "Softmax 11 last": (11, "y = Softmax<axis = 3>(x)", {}),
    "Softmax 11 from 2": (11, "y = Softmax<axis = 2>(x)", {}),
    "LogSoftmax 11": (12, "y = LogSoftmax<axis = 1>(x)", {}),
    "Softmax 11 of channels in one place": (11, "a = GlobalAveragePool(x)\n y = Softmax<axis = 1>(a)", {}),
    "Softmax 13": (13, "y = Softmax<axis = 1>(x)", {}),
    "Split 2": (7, "y, a = Split<axis = 1, split = [1, 2]>(x)", {}),
    "Split 2 equally": (7, "y, a, b = Split<axis = 1>(x)", {}),
    "Split 13 equally": (13, "y, a, b = Split<axis = 1>(x)", {}),
    "BatchNormalization 7": (7, "y = BatchNormalization<spatial = 1>(x, s, b, m, v)",
                             {n: np.abs(numbers(3)) for n in "sbmv"}),
    "Dropout 7": (7, "a = Relu(x)\n y, mask = Dropout<ratio = 0.3>(a)", {}),
    "Dropout 12": (12, "a = Relu(x)\n y = Dropout(a, r)", {"r": np.array(0.5, np.float32)}),
    "Gemm 7": (7, "a = Flatten(x)\n y = Gemm<alpha = 0.5, beta = 2.0, transB = 1>(a, w, c)",
               {"w": numbers(4, 126) / 9, "c": numbers(4)}),
    "GridSample 16": (16, "g = Tanh(p)\n y = GridSample<mode = \"bicubic\">(x, p)", {"p": numbers(1, 4, 5, 2) / 3}),
    "GridSample 16 as it comes": (16, "y = GridSample(x, p)", {"p": numbers(1, 4, 5, 2) / 3}),
    "Reshape 5 with a zero": (7, "y = Reshape(x, z)", {"z": np.array([0, -1, 7])}),
    "AveragePool 7": (7, "y = AveragePool<kernel_shape = [3, 3], pads = [1, 1, 1, 1], strides = [2, 2]>(x)", {}),
    "MaxPool 1": (7, "y = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(x)", {}),
    "Cast 9": (9, "a = Cast<to = 7>(x)\n y = Cast<to = 1>(a)", {}),
    "Scatter 9": (9, "y = Scatter<axis = 1>(x, i, u)",
                  {"i": np.ones((1, 1, 6, 7), np.int64), "u": numbers(1, 1, 6, 7)}),
    "PRelu 7": (7, "y = PRelu(x, s)", {"s": numbers(3, 1, 1)}),
    "ConvTranspose 1": (7, "y = ConvTranspose<strides = [2, 2], output_padding = [1, 1]>(x, w)",
                        {"w": numbers(3, 2, 3, 3)}),
    "HardSigmoid and Elu 6": (7, "a = HardSigmoid(x)\n b = Elu(a)\n y = Selu(b)", {}),
    "LayerNormalization 17": (17, "y = LayerNormalization(x, s)", {"s": numbers(7)}),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_computes_what_it_did(name: str, tmp_path: Path) -> None:
    opset, text, weights = CASES[name]
    found = cleaned(
        file(tmp_path, f"net (float[1,3,6,7] x) => (float[a,b,c,d] y) {{\n{text}\n}}", weights, opset=opset)
    )
    assert ops(found)["Upsample"] == ops(found)["Dropout"] == 0


@pytest.mark.parametrize("opset", [18, 20, 22, 25])
def test_any_opset_that_a_target_may_name(opset: int, tmp_path: Path) -> None:
    text = """net (float[1,3,6,7] x) => (float[a,b,c,d] y) {
        a = Clip<min = 0.0, max = 6.0>(x)
        b = ReduceMean<axes = [2, 3]>(a)
        y = Mul(a, b)
    }"""
    cleaned(file(tmp_path, text, opset=7), opset=opset)


def test_a_newer_file_is_lowered_where_nothing_new_is_used(tmp_path: Path) -> None:
    text = "net (float[1,3,6,7] x) => (float[a,b,c,d] y) { a = Gelu(x)\n y = Softmax<axis = 1>(a) }"
    cleaned(file(tmp_path, text, opset=22, ir=10), opset=20)
    with pytest.raises(ArtifactError, match="Gelu"):
        clean(read_foreign(tmp_path / "net.onnx"), opset=19)


@pytest.mark.parametrize(
    ("opset", "text", "word"),
    [
        (8, "y = BatchNormalization<spatial = 0>(x, s, s, s, s)", "spatial"),
        (10, "y = Resize(x, m)", "grows"),
        (11, 'y = Resize<coordinate_transformation_mode = "tf_half_pixel_for_nn">(x, e, r)', "tf_half_pixel_for_nn"),
    ],
)
def test_what_cannot_be_said_is_refused(opset: int, text: str, word: str, tmp_path: Path) -> None:
    weights: Weights = {
        "m": np.array([1, 1, 0.5, 2], np.float32),
        "s": np.ones((3, 6, 7), np.float32),
        "e": np.zeros(0, np.float32),
        "r": np.ones(4, np.float32) * 2,
    }
    path = file(tmp_path, f"net (float[1,3,6,7] x) => (float[a,b,c,d] y) {{ {text} }}", weights, opset=opset)
    with pytest.raises(ArtifactError, match=word):
        clean(read_foreign(path), opset=20)


def test_onnx_s_own_converter_agrees(tmp_path: Path) -> None:
    """Where it has an adapter, both computations are the same."""
    opset, text, weights = CASES["Softmax 11 from 2"]
    path = file(tmp_path, f"net (float[1,3,6,7] x) => (float[1,3,6,7] y) {{ {text} }}", weights, opset=opset)
    theirs = onnx.version_converter.convert_version(onnx.load(path), 20)
    ours = cleaned(path).model
    picture = numbers(1, 3, 6, 7)
    d = run(theirs, {"x": picture})["y"] - run(ours, {"image": picture})["y"]
    assert np.abs(d).max() < 1e-6


def test_a_node_with_an_attribute_of_another_version(tmp_path: Path) -> None:
    node = helper.make_node("Clip", ["x"], ["y"], min=0.0)
    graph = helper.make_graph([node], "net", [helper.make_tensor_value_info("x", 1, [1, 3, 8, 8])],
                              [helper.make_tensor_value_info("y", 1, None)])  # fmt: skip
    path = written(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6), tmp_path)
    with pytest.raises(ArtifactError, match="attribute min"):
        clean(read_foreign(path), opset=20)
