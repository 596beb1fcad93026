"""What is in an exported file: operators, opset, shapes, names; and nothing of the machine that made it."""

from __future__ import annotations

import sysconfig
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from edgekit.backends.onnxruntime_ import run_once
from edgekit.backends.torch_ import TorchSession
from edgekit.errors import EdgekitError
from edgekit.graph import passes
from edgekit.graph.fold_bn import fold_bn
from edgekit.graph.to_onnx import onnx_from_torch
from edgekit.nets.resnet import ResNet
from edgekit.spec import ModelSpec, PreprocessSpec
from edgekit.vision.preprocess import normalise
from tests.graph.exported import (
    CASES,
    CLASSES,
    RGB,
    H,
    Tiny,
    W,
    WithNorm,
    assert_close,
    exported,
    made,
    of_onnx,
    of_torch,
    pixels,
    spec_of,
)

pytestmark = pytest.mark.usefixtures("one_thread", "torchs_own_exports")
# --- what is in the file


@pytest.mark.parametrize("case", CASES[:3])
def test_the_graph_begins_with_cast_sub_transpose_conv(case: tuple[Any, ...]) -> None:
    """The order matters: TensorRT's parser refuses a Transpose of uint8, and onnxruntime subtracts rows quickly."""
    nodes = exported(*case).graph.node
    assert [n.op_type for n in nodes[:4]] == ["Cast", "Sub", "Transpose", "Conv"]
    assert [n.name for n in nodes[:4]] == ["preprocess.cast", "preprocess.sub", "preprocess.transpose", "conv1"]


def test_without_a_first_convolution_one_mul_and_one_gather_more() -> None:
    nodes = [n.op_type for n in exported(*CASES[-1]).graph.node]
    assert nodes[:3] == ["Cast", "Sub", "Transpose"]
    assert sorted(nodes[3:5]) == ["Gather", "Mul"]


def shape_of(value: onnx.ValueInfoProto) -> list[int | str]:
    return [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]


@pytest.mark.parametrize("case", CASES)
def test_inputs_and_outputs_have_their_names_and_shapes(case: tuple[Any, ...]) -> None:
    graph = exported(*case).graph
    assert [(v.name, shape_of(v)) for v in graph.input] == [("image", ["N", H, W, 3])]
    assert [(v.name, shape_of(v)) for v in graph.output] == [("logits", ["N", 3])]
    assert graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8


@pytest.mark.parametrize("opset", [20, 21, 23])
def test_the_opset_is_the_one_asked_for(opset: int) -> None:
    model = exported(opset=opset)
    assert [(o.domain, o.version) for o in model.opset_import] == [("", opset)]
    image = pixels(2)
    if opset <= 21:  # what every onnxruntime that edgekit allows can run
        assert_close(of_onnx(model, image), of_torch(Tiny, RGB, image))


def test_an_opset_that_the_exporter_silently_raises_is_an_error() -> None:
    with pytest.raises(EdgekitError, match="did not give the opset") as caught:
        exported(opset=17)
    assert caught.value.expected == "17"


def test_an_exporter_that_gives_another_opset_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    proto = onnx.ModelProto.FromString(exported().SerializeToString())
    monkeypatch.setattr(torch.onnx, "export", lambda *_, **__: SimpleNamespace(model_proto=proto))
    onnx_from_torch(made(Tiny), spec_of(RGB), opset=20)
    proto.opset_import[0].version = 19
    with pytest.raises(EdgekitError, match="did not give the opset"):
        onnx_from_torch(made(Tiny), spec_of(RGB), opset=20)


def test_an_exporter_that_makes_an_invalid_graph_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    proto = onnx.ModelProto.FromString(exported().SerializeToString())
    proto.graph.node[3].op_type = "Convolve"
    monkeypatch.setattr(torch.onnx, "export", lambda *_, **__: SimpleNamespace(model_proto=proto))
    with pytest.raises((onnx.checker.ValidationError, onnx.shape_inference.InferenceError)):
        onnx_from_torch(made(Tiny), spec_of(RGB), opset=20)


@pytest.mark.parametrize("case", CASES)
def test_one_valid_file_with_standard_operators(case: tuple[Any, ...], tmp_path: Path) -> None:
    model = exported(*case)
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    onnx.checker.check_model(str(path), full_check=True)
    assert not [t.name for t in model.graph.initializer if t.external_data or t.data_location]
    assert len(model.functions) == 0
    assert {n.domain for n in model.graph.node} <= {"", "ai.onnx"}
    assert "BatchNormalization" not in {n.op_type for n in model.graph.node}
    assert (model.producer_name, model.graph.name) == ("edgekit", "tiny")
    typed = {v.name for v in (*model.graph.value_info, *model.graph.output)}
    assert {o for n in model.graph.node for o in n.output} <= typed


@pytest.mark.parametrize("case", CASES)
def test_nothing_of_the_build_machine_is_in_the_file(case: tuple[Any, ...]) -> None:
    """The exporter writes a stack trace into every node."""
    model = exported(*case)
    data = model.SerializeToString()
    for secret in (sysconfig.get_path("purelib"), str(Path(__file__).parent), str(Path.home()), 'File "', ".py"):
        assert secret.encode() not in data
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.initializer, *graph.input, *graph.output, *graph.value_info):
        assert not part.doc_string
        assert not part.metadata_props


def test_a_batchnorm_behind_no_layer_stays_and_computes_what_it_did() -> None:
    net = made(WithNorm)
    with torch.no_grad():
        net.norm.running_mean.normal_()
        net.norm.running_var.uniform_(0.5, 2)
        net.norm.weight.normal_()
        net.norm.bias.normal_()
    folded, report = fold_bn(net, torch.zeros(1, 3, H, W))
    assert report.left == ("norm",)
    model = onnx_from_torch(folded, spec_of(RGB), opset=20, input_kind="float")
    assert [n.name for n in model.graph.node if n.op_type == "BatchNormalization"] == ["norm"]
    x = torch.randn(2, 3, H, W)
    got = run_once(model.SerializeToString(), {"image": x.numpy()})["logits"]
    np.testing.assert_allclose(got, net(x).detach().numpy(), rtol=1e-5, atol=1e-6)


def test_a_batchnorm_that_could_have_been_folded_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's exporter fuses what it finds; one that is left behind a convolution was never measured by `fold_bn`."""
    proto = onnx.ModelProto.FromString(exported().SerializeToString())
    at = next(i for i, node in enumerate(proto.graph.node) if node.op_type == "Conv")
    conv = proto.graph.node[at]
    values = {name: numpy_helper.from_array(np.ones(6, np.float32), name) for name in ("gamma", "beta", "mu", "var")}
    proto.graph.initializer.extend(values.values())
    norm = onnx.helper.make_node("BatchNormalization", ["before", *values], list(conv.output), name="norm")
    conv.output[0] = "before"
    proto.graph.node.insert(at + 1, norm)
    monkeypatch.setattr(torch.onnx, "export", lambda *_, **__: SimpleNamespace(model_proto=proto))
    with pytest.raises(EdgekitError, match="BatchNormalization is left"):
        onnx_from_torch(made(Tiny), spec_of(RGB), opset=20)


# --- names


def test_nodes_and_tensors_are_called_like_the_modules() -> None:
    model = exported(Tiny)
    names = [n.name for n in model.graph.node]
    assert [n for n in names if not n.startswith("preprocess.")] == [
        "conv1",
        "relu",
        "block.0",
        "block.1",
        "add",
        "relu_1",
        "reduce_mean",
        "fc",
    ]
    assert len(names) == len(set(names))
    initializers = {t.name for t in model.graph.initializer}
    assert {"conv1.weight", "conv1.bias", "block.0.weight", "block.0.bias", "fc.weight", "fc.bias"} <= initializers
    for node in model.graph.node[:-1]:
        assert list(node.output) == [node.name]
    assert list(model.graph.node[-1].output) == ["logits"]


@pytest.fixture(scope="module")
def resnet() -> tuple[nn.Module, onnx.ModelProto]:
    torch.manual_seed(0)
    folded, _ = fold_bn(ResNet("resnet18", 3).eval(), torch.randn(1, 3, 32, 32))
    spec = ModelSpec("resnet18", CLASSES, PreprocessSpec(32, 32, "stretch", None), temperature=1.5)
    return folded, onnx_from_torch(folded, spec, opset=20, heads=("fc",))


def test_a_resnets_nodes_have_the_names_of_its_modules(resnet: tuple[nn.Module, onnx.ModelProto]) -> None:
    net, model = resnet
    names = {n.name for n in model.graph.node}
    convs = {name for name, module in net.named_modules() if isinstance(module, nn.Conv2d)}
    assert {"layer1.0.conv1", "layer4.1.conv2", "layer2.0.downsample.0"} < convs <= names
    assert {"maxpool", "fc", "layer1.0.relu", "layer1.0.relu_1", "layer1.0.add"} <= names
    assert len(names) == len(model.graph.node)
    assert not {n.op_type for n in model.graph.node} & {"BatchNormalization", "Shape", "Reshape", "Identity"}


def test_exposed_tensors_equal_torchs_by_name(resnet: tuple[nn.Module, onnx.ModelProto]) -> None:
    net, model = resnet
    image = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    x = normalise(image, PreprocessSpec(32, 32, "stretch", None))
    spec = ModelSpec("resnet18", ("a", "b", "c"), PreprocessSpec(32, 32, "stretch", None), temperature=1.5)
    want = TorchSession(net, spec).intermediates({"image": x})
    got = run_once(passes.exposed(model).SerializeToString(), {"image": image})
    common = set(want) & set(got)
    # every layer but the folded norms (identities), and fc, whose output is called logits
    identities = {name for name, module in net.named_modules() if isinstance(module, nn.Identity)}
    assert set(want) - common == identities | {"fc"}
    assert {"layer1.0.relu", "layer1.0.relu_1", "layer4.1.conv2"} <= common
    for name in common:
        assert np.abs(got[name] - want[name]).max() <= 1e-5 * np.abs(want[name]).max(), name
    assert np.abs(got["logits"] * 1.5 - want["fc"]).max() <= 1e-5 * np.abs(want["fc"]).max()
