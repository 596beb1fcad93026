"""Small nets, exported once each, beside what torch computes with them."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from edgekit.backends.onnxruntime_ import run_once
from edgekit.graph.to_onnx import onnx_from_torch
from edgekit.spec import ModelSpec, PreprocessSpec

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
