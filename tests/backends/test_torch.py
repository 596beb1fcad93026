"""The trained net as a Session: evaluation mode, float32, logits divided by the temperature."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgekit.backends.torch_ import TorchSession
from edgekit.errors import InputError
from edgekit.spec import ModelSpec, PreprocessSpec, TensorSpec


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.bn = nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)
        self.drop = nn.Dropout(0.9)
        self.fc = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn(self.conv(x)))
        x = self.relu(x - 0.5)
        return self.fc(self.drop(x.mean((2, 3))))


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(0)
    return Tiny()


def spec(temperature: float = 1.0) -> ModelSpec:
    return ModelSpec("tiny", ("a", "b"), PreprocessSpec(6, 5, "stretch", None), temperature=temperature)


def image(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 3, 6, 5)).astype(np.float32)


def test_specs_say_what_it_takes_and_gives(net: nn.Module) -> None:
    session = TorchSession(net, spec())
    assert session.backend == "torch"
    assert session.inputs == (TensorSpec("image", "float32", ("N", 3, 6, 5)),)
    assert session.outputs == (TensorSpec("logits", "float32", ("N", 2)),)


@pytest.mark.parametrize("temperature", [1.0, 2.5])
@pytest.mark.parametrize("n", [1, 3])
def test_it_gives_the_nets_logits(net: nn.Module, n: int, temperature: float) -> None:
    session = TorchSession(net.train(), spec(temperature))
    assert not net.training
    with torch.no_grad():
        want = net(torch.from_numpy(image(n))).numpy()
    got = session.run({"image": image(n)})["logits"]
    assert got.dtype == np.float32
    np.testing.assert_allclose(got * temperature, want, rtol=1e-5, atol=1e-6)


def test_running_does_not_train(net: nn.Module) -> None:
    session = TorchSession(net, spec())
    before = {k: v.clone() for k, v in net.state_dict().items()}
    first = session.run({"image": image(2)})["logits"]
    kept = first.copy()
    session.run({"image": image(2, seed=1)})
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(session.run({"image": image(2)})["logits"], kept)
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


def test_inputs_are_checked(net: nn.Module) -> None:
    session = TorchSession(net, spec())
    for bad in (image(1).astype(np.float64), image(1)[:, :, :5], image(1)[0]):
        with pytest.raises(InputError, match="Input image does not fit"):
            session.run({"image": bad})


def test_strided_input_is_accepted(net: nn.Module) -> None:
    session = TorchSession(net, spec())
    array = image(4)[::2]
    want = session.run({"image": array.copy()})["logits"]
    np.testing.assert_array_equal(session.run({"image": array})["logits"], want)


def test_intermediates_are_every_layers_output_by_path_and_call(net: nn.Module) -> None:
    session = TorchSession(net, spec(3.0))
    got = session.intermediates({"image": image(2)})
    assert list(got) == ["conv", "bn", "relu", "relu_1", "drop", "fc"]
    with torch.no_grad():
        conv = net.conv(torch.from_numpy(image(2)))
        bn = net.bn(conv)
        first = bn.relu()
        second = (first - 0.5).relu()
        want = {"conv": conv, "bn": bn, "relu": first, "relu_1": second, "fc": net.fc(second.mean((2, 3)))}
    for name, tensor in want.items():  # bn is what it gave, not what the in-place ReLU made of it
        np.testing.assert_allclose(got[name], tensor.numpy(), rtol=1e-5, atol=1e-6, err_msg=name)
    assert (got["bn"] < 0).any()


def test_intermediates_leave_no_hook_even_after_an_error(net: nn.Module) -> None:
    session = TorchSession(net, spec())
    session.intermediates({"image": image(1)})
    with pytest.raises(InputError):
        session.intermediates({"image": image(1).astype(np.float64)})
    assert not any(module._forward_hooks for module in net.modules())


class Boxes(NamedTuple):
    """In another order than the spec names them: they are bound by name."""

    scores: Tensor
    labels: Tensor
    boxes: Tensor
    heatmap: Tensor


class Finder(nn.Module):
    def forward(self, x: Tensor) -> Boxes:
        n = len(x)
        return Boxes(torch.full((n, 2), 0.5), torch.ones(n, 2, dtype=torch.int32), torch.zeros(n, 2, 4), x)


def test_a_detectors_outputs_are_bound_by_name_and_its_maps_left_out() -> None:
    found = ModelSpec("finder", ("a", "b"), PreprocessSpec(6, 5, "stretch", None), task="detection", max_detections=2)
    given = TorchSession(Finder(), found).run({"image": image(3)})
    assert {name: (a.shape, a.dtype.name) for name, a in given.items()} == {
        "boxes": ((3, 2, 4), "float32"),
        "scores": ((3, 2), "float32"),
        "labels": ((3, 2), "int32"),
    }
