"""The exported graph: what is in it, what is not, and that it computes what the net computes."""

from __future__ import annotations

import functools
import sysconfig
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from edgekit.backends.onnxruntime_ import run_once
from edgekit.backends.torch_ import TorchSession
from edgekit.errors import EdgekitError
from edgekit.graph import passes
from edgekit.graph.fold_bn import fold_bn
from edgekit.graph.to_onnx import Deploy, divide_heads, first_convolution, onnx_from_torch
from edgekit.nets.resnet import ResNet
from edgekit.spec import ModelSpec, PreprocessSpec
from edgekit.vision.preprocess import normalise

pytestmark = pytest.mark.usefixtures("torchs_own_exports")

H, W = 10, 14
RGB = PreprocessSpec(H, W, "stretch", None)
ODD = PreprocessSpec(H, W, "stretch", None, color="bgr", mean=(0.9, -0.3, 0.1), std=(0.05, 3.0, 0.7))
ROUND = PreprocessSpec(H, W, "stretch", None, mean=(51 / 255, 102 / 255, 204 / 255))  # a colour that exists
CLASSES = ("a", "b", "c")


class Tiny(nn.Module):
    """A padded convolution, a residual with a ReLU that runs twice, a head."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.block = nn.Sequential(nn.Conv2d(6, 6, 1), nn.ReLU())
        self.fc = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.conv1(x))
        x = self.relu(self.block(x) + x)
        return self.fc(x.mean((2, 3)))


class Border(nn.Module):
    """Every pixel of a padded convolution counts by itself, the border's too."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 1, 3, padding=1, bias=False)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(H * W, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.flatten(self.conv1(x)))


class PoolFirst(nn.Module):
    """What Deploy cannot fold its scaling into."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(2)
        self.conv1 = nn.Conv2d(3, 4, 3)
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.conv1(self.pool(x)).mean((2, 3)))


class WithNorm(PoolFirst):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.conv1(self.norm(self.pool(x)).relu()).mean((2, 3)))


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def made(kind: type[nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return kind().eval()


def spec_of(preprocess: PreprocessSpec, temperature: float = 1.0) -> ModelSpec:
    return ModelSpec("tiny", CLASSES, preprocess, temperature=temperature)


def exported(
    kind: type[nn.Module] = Tiny,
    preprocess: PreprocessSpec = RGB,
    temperature: float = 1.0,
    opset: int = 20,
    batch: int | None = None,
    input_kind: str = "uint8",
) -> onnx.ModelProto:
    return _exported(kind, preprocess, temperature, opset, batch, input_kind)


@functools.cache  # an export takes a second
def _exported(
    kind: type[nn.Module],
    preprocess: PreprocessSpec,
    temperature: float,
    opset: int,
    batch: int | None,
    input_kind: str,
) -> onnx.ModelProto:
    net = made(kind)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    spec = spec_of(preprocess, temperature)
    model = onnx_from_torch(net, spec, opset=opset, heads=("fc",), batch=batch, input_kind=input_kind)
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())  # the net is not changed
    return model


def pixels(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, H, W, 3), dtype=np.uint8)


def of_torch(kind: type[nn.Module], preprocess: PreprocessSpec, image: np.ndarray, temperature: float = 1.0) -> Any:
    """The reference in float64, from the definition: (x / 255 - mean) / std, channels in the net's order."""
    x = image[..., ::-1] if preprocess.color == "rgb" else image
    x = (x / 255.0 - preprocess.mean) / preprocess.std
    with torch.no_grad():
        return (made(kind).double()(torch.from_numpy(x.transpose(0, 3, 1, 2))) / temperature).numpy()


def of_onnx(model: onnx.ModelProto, image: np.ndarray) -> np.ndarray:
    return run_once(model.SerializeToString(), {"image": image})["logits"]


def assert_close(got: np.ndarray, want: np.ndarray) -> None:
    assert got.shape == want.shape
    assert np.abs(want).max() > 0.01
    assert np.abs(got - want).max() <= 1e-5 * np.abs(want).max()


CASES = [
    (Tiny, RGB, 1.0),
    (Tiny, ODD, 1.7),
    (Border, ROUND, 1.0),
    (PoolFirst, ODD, 0.3),
]


@pytest.mark.parametrize(("kind", "preprocess", "temperature"), CASES)
@pytest.mark.parametrize("n", [1, 2, 5])
def test_the_graph_computes_what_the_net_does(
    kind: type[nn.Module], preprocess: PreprocessSpec, temperature: float, n: int
) -> None:
    image = pixels(n)
    got = of_onnx(exported(kind, preprocess, temperature), image)
    assert_close(got, of_torch(kind, preprocess, image, temperature))


def test_a_float_input_takes_what_normalise_gives() -> None:
    model = exported(Tiny, ODD, 1.7, input_kind="float")
    assert model.graph.node[0].op_type == "Conv"
    assert model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    image = pixels(3)
    assert_close(of_onnx(model, normalise(image, ODD)), of_torch(Tiny, ODD, image, 1.7))


def test_uint8_and_float_inputs_name_the_nets_parts_alike() -> None:
    one, other = exported(Tiny, ODD, 1.7), exported(Tiny, ODD, 1.7, input_kind="float")
    assert [n.name for n in one.graph.node[3:]] == [n.name for n in other.graph.node]


def test_a_fixed_batch_is_fixed() -> None:
    model = exported(Tiny, RGB, batch=4)
    assert [shape_of(v) for v in (model.graph.input[0], model.graph.output[0])] == [[4, H, W, 3], [4, 3]]
    image = pixels(4)
    assert_close(of_onnx(model, image), of_torch(Tiny, RGB, image))
    with pytest.raises(Exception, match="dimension|shape|Got: 3"):
        of_onnx(model, pixels(3))


# --- padding


def test_the_mean_is_not_folded_into_a_padded_convolution() -> None:
    """A picture of the mean colour is zero after normalization, so a padded convolution gives zero at the border too.

    Folded into the bias, the mean would be subtracted from the padding as well, and the border would not be zero.
    """
    model = passes.exposed(exported(Border, ROUND))
    image = np.empty((1, H, W, 3), np.uint8)
    image[:] = (204, 102, 51)  # BGR
    conv = run_once(model.SerializeToString(), {"image": image})["conv1"][0, 0]
    assert np.abs(conv).max() <= 1e-4
    black = run_once(model.SerializeToString(), {"image": np.zeros_like(image)})["conv1"][0, 0]
    assert np.abs(black).max() > 0.1
    assert np.abs(black[0, 0] - black[5, 5]) > 1e-3  # the padding is seen at the border


def test_border_pixels_equal_the_nets() -> None:
    image = pixels(2)
    x = torch.from_numpy(normalise(image, ROUND))
    with torch.no_grad():
        want = made(Border).conv1(x).numpy()
    model = passes.exposed(exported(Border, ROUND))
    got = run_once(model.SerializeToString(), {"image": image})["conv1"]
    for name, part in {"top": np.s_[..., 0, :], "left": np.s_[..., 0], "corner": np.s_[..., -1, -1]}.items():
        assert np.abs(got[part] - want[part]).max() <= 1e-5 * np.abs(want).max(), name


def test_the_scale_and_the_order_are_in_the_first_convolution() -> None:
    weights = {t.name: numpy_helper.to_array(t) for t in exported(Tiny, RGB).graph.initializer}
    net = made(Tiny)
    want = net.conv1.weight.detach().double().numpy() / (np.array(RGB.std) * 255)[None, :, None, None]
    np.testing.assert_allclose(weights["conv1.weight"], want[:, ::-1], rtol=1e-6)
    np.testing.assert_array_equal(weights["conv1.bias"], net.conv1.bias.detach().numpy())
    np.testing.assert_allclose(weights["mean"], [np.array(RGB.mean[::-1]) * 255] * W, rtol=1e-6)


def test_deploy_leaves_the_net_that_it_was_given_alone() -> None:
    net = made(Tiny)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    Deploy(net, RGB)
    divide_heads(net, ("fc",), 2.0)
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


class Reads(nn.Module):
    """Calls its parts in ways that keep the input from being only the convolution's."""

    def __init__(self, how: str, first: nn.Module) -> None:
        super().__init__()
        self.how, self.conv = how, first

    def forward(self, x: Tensor) -> Tensor:
        if self.how == "residual":
            return self.conv(x) + x
        if self.how == "twice":
            return self.conv(self.conv(x))
        if self.how == "flipped":
            return self.conv(x.flip(3))
        return self.conv(x)


@pytest.mark.parametrize(
    ("how", "first", "folds"),
    [
        ("alone", nn.Conv2d(3, 3, 3, padding=1), True),
        ("alone", nn.Conv2d(3, 3, 3, padding="same", dilation=2), True),
        ("alone", nn.Conv2d(3, 3, 3, padding=1, padding_mode="reflect"), False),
        ("alone", nn.Conv2d(3, 3, 1, groups=3), False),
        ("alone", nn.ReLU(), False),
        ("alone", nn.ConvTranspose2d(3, 3, 1), False),
        ("residual", nn.Conv2d(3, 3, 1), False),
        ("twice", nn.Conv2d(3, 3, 1), False),
        ("flipped", nn.Conv2d(3, 3, 1), False),
    ],
)
def test_deploy_folds_only_where_that_is_exact(how: str, first: nn.Module, folds: bool) -> None:
    net = Reads(how, first).eval()
    assert (first_convolution(net, torch.zeros(1, 3, H, W)) is first) is folds
    image = pixels(2)
    for preprocess in (RGB, ODD):
        with torch.no_grad():
            got = Deploy(net, preprocess).eval()(torch.from_numpy(image)).numpy()
            want = net(torch.from_numpy(normalise(image, preprocess))).numpy()
        assert np.abs(got - want).max() <= 2e-5 * np.abs(want).max()


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


@pytest.mark.parametrize(("mean", "shape"), [((0.5, 0.5, 0.5), ()), ((0.5, 0.5, 0.4), (W, 3))])
def test_a_mean_that_all_channels_have_is_one_number_and_others_are_a_row(
    mean: tuple[float, float, float], shape: tuple[int, ...]
) -> None:
    deploy = Deploy(made(Tiny), replace(RGB, mean=mean))
    assert tuple(deploy.mean.shape) == shape
    frame = torch.randint(0, 256, (1, H, W, 3), dtype=torch.uint8)
    x = frame.flip(3).permute(0, 3, 1, 2) / 255
    x = (x - torch.tensor(mean).reshape(1, 3, 1, 1)) / torch.tensor(RGB.std).reshape(1, 3, 1, 1)
    with torch.no_grad():
        torch.testing.assert_close(deploy(frame), made(Tiny)(x), rtol=1e-4, atol=1e-5)


def test_the_temperature_divides_logits_once() -> None:
    net = made(Tiny)
    x = torch.randn(2, 3, H, W)
    with torch.no_grad():
        torch.testing.assert_close(divide_heads(net, ("fc",), 4.0)(x) * 4, net(x))
        assert torch.equal(divide_heads(net, ("fc",), 1.0)(x), net(x))


class ConvHead(nn.Module):
    """Its last layer is a convolution, with a ReLU and a mean behind it, as SqueezeNet's."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3)
        self.last = nn.Conv2d(4, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.last(self.conv1(x))).mean((2, 3))


def test_the_temperature_goes_into_a_convolution() -> None:
    net = made(ConvHead)
    x = torch.randn(2, 3, H, W)
    model = onnx_from_torch(net, spec_of(RGB, 4.0), opset=20, heads=("last",), input_kind="float")
    got = run_once(model.SerializeToString(), {"image": x.numpy()})["logits"]
    np.testing.assert_allclose(got * 4, net(x).detach().numpy(), rtol=1e-5, atol=1e-6)


def test_a_temperature_needs_a_layer_that_takes_it() -> None:
    with pytest.raises(EdgekitError, match="Nobody said which layer"):
        onnx_from_torch(made(Tiny), spec_of(RGB, 2.0), opset=20)
    with pytest.raises(EdgekitError, match="cannot be folded into relu") as caught:
        onnx_from_torch(made(Tiny), spec_of(RGB, 2.0), opset=20, heads=("relu",))
    assert caught.value.got == "ReLU"


# --- attention and what goes with it


class Attends(nn.Module):
    """A vision transformer's block over four patches, with the attention asked for in one of torch's ways."""

    def __init__(self, how: str = "plain") -> None:
        super().__init__()
        self.how = how
        self.patches, self.norm = nn.Conv2d(3, 8, 4, 4), nn.LayerNorm(8)
        self.qkv, self.mlp, self.fc = nn.Linear(8, 24), nn.Sequential(nn.Linear(8, 16), nn.GELU()), nn.Linear(16, 3)
        self.register_buffer("mask", torch.randn(4, 4), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(functional.adaptive_avg_pool2d(x, 8)).flatten(2).transpose(1, 2)
        q, k, v = self.qkv(self.norm(x)).reshape(-1, 4, 3, 2, 4).permute(2, 0, 3, 1, 4).unbind(0)
        more: dict[str, Any] = {
            "plain": {},
            "scaled": {"scale": 0.3},
            "biased": {"attn_mask": self.mask},
            "masked": {"attn_mask": (self.mask > 0) | torch.eye(4, dtype=torch.bool)},
            "causal": {"is_causal": True},
        }[self.how]
        x = functional.scaled_dot_product_attention(q, k, v, **more).transpose(1, 2).reshape(-1, 4, 8)
        pooled = functional.adaptive_avg_pool2d(self.mlp(x).transpose(1, 2).unsqueeze(3), 1)
        result: Tensor = self.fc(pooled.flatten(1))
        return result


def attender(how: str) -> nn.Module:
    torch.manual_seed(0)
    return Attends(how).eval()


def attending(how: str = "plain", opset: int = 20) -> tuple[nn.Module, onnx.ModelProto]:
    net = attender(how)
    return net, onnx_from_torch(net, spec_of(RGB), opset=opset)


@pytest.mark.parametrize("how", ["plain", "scaled", "biased", "masked"])
def test_attention_computes_what_torchs_does(how: str) -> None:
    net, model = attending(how)
    image = pixels(3)
    with torch.no_grad():
        want = net(torch.from_numpy(normalise(image, RGB))).numpy()
    assert_close(of_onnx(model, image), want)
    others = [attender(other) for other in ("plain", "scaled", "biased", "masked") if other != how]
    with torch.no_grad():  # one taken for another would show
        for other in others:
            assert np.abs(other(torch.from_numpy(normalise(image, RGB))).numpy() - want).max() > 1e-4


@pytest.mark.parametrize("opset", [20, 21, 23])
def test_norms_and_activations_stay_whole_and_no_shape_is_computed(opset: int) -> None:
    _, model = attending(opset=opset)
    assert [(o.domain, o.version) for o in model.opset_import] == [("", opset)]
    kinds = [node.op_type for node in model.graph.node]
    assert {kind: kinds.count(kind) for kind in ("LayerNormalization", "Gelu", "Softmax", "MatMul")} == {
        "LayerNormalization": 1,
        "Gelu": 1,
        "Softmax": 1,
        "MatMul": 4,  # two layers and attention's two products
    }
    assert not set(kinds) & {"Shape", "Range", "Expand", "Erf", "Sqrt"}
    for node in model.graph.node:
        if node.op_type == "Reshape":
            assert any(t.name == node.input[1] for t in model.graph.initializer), "a Reshape to a constant shape"


def test_what_torch_cannot_write_is_refused_with_the_reason() -> None:
    with pytest.raises(EdgekitError, match="cannot write the net") as caught:
        attending("causal")
    assert "causal" in str(caught.value.got)


def test_pooling_to_one_place_is_one_mean() -> None:
    """torch describes how a pooled map lies in its memory if that is channels last: a Gather over a Range."""
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Hardswish(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    net = net.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    kinds = [node.op_type for node in onnx_from_torch(net, spec_of(RGB), opset=20).graph.node]
    assert kinds == ["Cast", "Sub", "Transpose", "Conv", "HardSwish", "ReduceMean", "Reshape", "Gemm"]
