"""Weights are found where training scripts leave them; what is taken of several, and what is left out, is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from edgekit.errors import CheckpointError, UsageError
from tests.checkpoints.states import light_of, loaded

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def light() -> State:
    return light_of()


@pytest.fixture(scope="module")
def other(light: State) -> State:
    return {k: v + 1 for k, v in light.items()}


def equal(one: Any, two: State) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in two)


def prefixed(state: State, prefix: str) -> State:
    return {prefix + k: v for k, v in state.items()}


@pytest.mark.parametrize(
    "wrapper",
    ["net", "model", "ema", "model_state", "weights", "params", "state_dict", "my_own", "checkpoint.state_dict"],
)
@pytest.mark.parametrize("prefix", ["", "module.", "net.", "resnet.", "backbone.", "encoder.", "model.net.", "a.b.c."])
def test_any_wrapper_and_prefix(wrapper: str, prefix: str, light: State, tmp_path: Path) -> None:
    content: Any = prefixed(light, prefix)
    for key in reversed(wrapper.split(".")):
        content = {key: content, "epoch": 3, "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}}}
    found = loaded(tmp_path / "net.pth", content)
    assert equal(found.state_dict, light)
    assert any(note.startswith("weights: those") for note in found.notes)


@pytest.mark.parametrize(
    ("plain", "averaged", "prefix"),
    [("model", "model_ema", "module."), ("state_dict", "state_dict_ema", ""), ("params", "params_ema", ""),
     ("net", "ema", ""), ("model", "swa_model", "module.")],
)  # fmt: skip
def test_of_two_sets_the_averaged_one_is_taken_and_said(
    plain: str, averaged: str, prefix: str, light: State, other: State, tmp_path: Path
) -> None:
    content = {plain: light, averaged: {"n_averaged": torch.tensor(7), **prefixed(other, prefix)}}
    path = tmp_path / "net.pth"
    found = loaded(path, content)
    assert equal(found.state_dict, other)
    assert any(f"{averaged}, the averaged ones, is taken; not {plain}" in note for note in found.notes)
    assert any(f"--weights-key {plain}" in note for note in found.notes)
    assert equal(loaded(path, content, weights_key=plain).state_dict, light)
    assert equal(loaded(path, content, weights_key=averaged).state_dict, other)
    with pytest.raises(UsageError, match="--weights-key") as caught:
        loaded(path, content, weights_key="teacher")
    assert plain in str(caught.value.expected)


def test_averaged_weights_behind_a_prefix(light: State, other: State, tmp_path: Path) -> None:
    content = {"state_dict": {**prefixed(light, "net."), **prefixed(other, "ema.")}}
    assert equal(loaded(tmp_path / "a.ckpt", content).state_dict, other)
    assert equal(loaded(tmp_path / "a.ckpt", content, weights_key="net").state_dict, light)


def test_several_sets_of_which_none_is_averaged_have_to_be_named(light: State, other: State, tmp_path: Path) -> None:
    content = {"student": light, "teacher": other}
    with pytest.raises(CheckpointError, match="several sets of weights") as caught:
        loaded(tmp_path / "net.pth", content)
    assert "--weights-key student" in str(caught.value.fix)
    assert equal(loaded(tmp_path / "net.pth", content, weights_key="teacher").state_dict, other)
    same = loaded(tmp_path / "net.pth", {"last": light, "best": dict(light)})
    assert any("the same weights are there 2 times" in note for note in same.notes)


@pytest.mark.parametrize(
    "beside",
    [
        {"criterion.weight": torch.ones(3)},
        {"net.total_ops": torch.zeros(1), "net.conv1.total_ops": torch.zeros(1), "net.total_params": torch.zeros(1)},
        {"n_averaged": torch.tensor(3)},
        {"train_acc.correct": torch.tensor(3), "val_accuracy": torch.tensor(0.5), "loss_fn.weight": torch.ones(3)},
    ],
    ids=["criterion", "thop", "averaging", "metrics"],
)
def test_tensors_of_no_layer_are_left_out_and_said(beside: State, light: State, tmp_path: Path) -> None:
    found = loaded(tmp_path / "net.pth", {**prefixed(light, "net."), **beside})
    assert equal(found.state_dict, light)
    assert any("belong to no layer" in note and next(iter(beside)).removeprefix("net.") in note for note in found.notes)


@pytest.mark.parametrize(
    "more", ["transformer.layers.0.weight", "decoder.conv.weight", "projection.weight", "fc2.bias"]
)
def test_a_resnet_inside_a_larger_net_is_no_resnet(more: str, light: State, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="only a part") as caught:
        loaded(tmp_path / "net.pth", {**prefixed(light, "backbone."), more: torch.ones(3, 3)})
    assert more in str(caught.value.got)


def test_a_normalization_inside_the_net_is_its_preprocessing(light: State, tmp_path: Path) -> None:
    mean, std = torch.tensor([0.5, 0.4, 0.3]), torch.tensor([0.2, 0.2, 0.1])
    state = {**prefixed(light, "net."), "mean": mean.reshape(1, 3, 1, 1), "std": std.reshape(1, 3, 1, 1)}
    found = loaded(tmp_path / "a.pth", state)
    assert found.spec.preprocess.mean == pytest.approx((0.5, 0.4, 0.3))
    assert found.spec.preprocess.std == pytest.approx((0.2, 0.2, 0.1))
    levels = {**light, "pixel_mean": 255 * mean.reshape(3, 1, 1), "pixel_std": 255 * std.reshape(3, 1, 1)}
    assert loaded(tmp_path / "b.pth", levels).spec.preprocess.mean == pytest.approx((0.5, 0.4, 0.3))
    nothing = {**light, "mean": torch.zeros(1, 3, 1, 1), "std": torch.ones(1, 3, 1, 1)}
    assert loaded(tmp_path / "c.pth", nothing).spec.preprocess.mean == (0.485, 0.456, 0.406)


def test_heads(light: State, tmp_path: Path) -> None:
    inner = {k.replace("fc.", "fc.1."): v for k, v in light.items()}
    found = loaded(tmp_path / "a.pth", inner)
    assert equal(found.state_dict, light)
    assert any("fc.1" in note for note in found.notes)
    bare = {k: v for k, v in light.items() if k != "fc.bias"}
    found = loaded(tmp_path / "b.pth", bare)
    assert torch.equal(found.state_dict["fc.bias"], torch.zeros(3))
    assert any("no bias" in note for note in found.notes)
    two = {**{k: v for k, v in light.items() if "fc" not in k}, "fc.0.weight": torch.ones(9, 512),
           "fc.2.weight": torch.ones(3, 9)}  # fmt: skip
    with pytest.raises(CheckpointError, match="another last layer than fc"):
        loaded(tmp_path / "c.pth", two)


def test_what_is_near_a_resnet_is_called_by_its_name(light: State, tmp_path: Path) -> None:
    wide = {**light_of(arch="resnet50"), "layer1.0.conv1.weight": torch.ones(128, 64, 1, 1)}
    with pytest.raises(CheckpointError, match="wider or grouped"):
        loaded(tmp_path / "b.pth", wide)


def test_a_grey_stem_is_named_and_the_way_out_works(tmp_path: Path) -> None:
    torch.manual_seed(0)
    from edgekit.nets.resnet import ResNet

    net = ResNet("resnet18", 3).eval()
    grey = net.conv1.weight.detach().sum(1, keepdim=True)
    state = {**net.state_dict(), "conv1.weight": grey}
    with pytest.raises(CheckpointError, match="pictures of 1 channel") as caught:
        loaded(tmp_path / "a.pth", state)
    line = str(caught.value.fix).split(": ")[1].split(", torch.save")[0]
    exec(line, {"state": state})
    x = torch.rand(2, 1, 64, 64)
    with torch.inference_mode():
        want = torch.nn.functional.conv2d(x, grey, stride=2, padding=3)
        weight = loaded(tmp_path / "b.pth", state).net().conv1.weight
        got = torch.nn.functional.conv2d(x.expand(2, 3, 64, 64), weight, stride=2, padding=3)
    assert torch.allclose(got, want, atol=1e-5)
