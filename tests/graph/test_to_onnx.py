"""The exported graph computes what the net does: preprocessing, padding, temperature."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from edgekit.backends.onnxruntime_ import run_once
from edgekit.errors import EdgekitError
from edgekit.graph import passes
from edgekit.graph.to_onnx import Deploy, divide_heads, first_convolution, onnx_from_torch
from edgekit.spec import PreprocessSpec
from edgekit.vision.preprocess import normalise
from tests.graph.exported import (
    CASES,
    ODD,
    RGB,
    ROUND,
    Border,
    H,
    Tiny,
    W,
    assert_close,
    exported,
    made,
    of_onnx,
    of_torch,
    pixels,
    spec_of,
)
from tests.graph.test_to_onnx_file import shape_of

pytestmark = pytest.mark.usefixtures("one_thread", "torchs_own_exports")


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
