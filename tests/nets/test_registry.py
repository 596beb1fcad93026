"""Each entry of the table is true: it builds, its heads are there, its state dict is known again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from edgekit import nets
from edgekit.checkpoints.fitting.naming import plain_name
from edgekit.errors import CheckpointError, UsageError
from edgekit.nets import LIBRARIES, Inferred, Keys, Net
from edgekit.spec import ModelSpec, PreprocessSpec

CLASSES = 3


def on_meta(entry: Net) -> nn.Module:
    """Keys and shapes without memory."""
    with torch.device("meta"):
        return nets.build(ModelSpec(entry.name, ("a", "b", "c"), PreprocessSpec()))


@pytest.mark.parametrize("entry", nets.NETS.values(), ids=lambda entry: entry.name)
def test_an_entry_is_what_it_says(entry: Net) -> None:
    net = on_meta(entry)
    for head in entry.heads:
        assert net.get_submodule(head).state_dict(), head
    if entry.head is not None:
        assert len(net.get_submodule(entry.head).weight) == CLASSES  # type: ignore[arg-type]
    state = net.state_dict()
    if entry.keys is not None:
        assert set(entry.keys.marks) <= set(state)
        arch, classes, arguments = nets.infer(state)
        assert (arch, classes) == (entry.name, CLASSES)
        assert entry.complete(arguments) == entry.complete({})
    if entry.reference is not None:
        with torch.device("meta"):
            theirs = LIBRARIES[entry.reference.library](entry.reference.name, CLASSES)
        assert {k: v.shape for k, v in theirs.state_dict().items()} == {k: v.shape for k, v in state.items()}
    if entry.trunk:
        assert nets.find(entry.trunk).task == "classification"
        assert net.get_submodule("trunk").state_dict()


def test_a_reference_is_the_same_net_with_some_arguments_only() -> None:
    entry = nets.find("resnet18")
    assert entry.reference_of({}) == entry.reference
    assert entry.reference_of({"norm": "batch", "width": 1}) == entry.reference
    assert entry.reference_of({"norm": "group"}) is None
    assert entry.reference_of({"width": 0.5}) is None
    assert nets.find("centernet-resnet18").reference_of({}) is None


@pytest.mark.parametrize("name", ["resnet34", "tv_resnet34", "gluon_resnet34_v1b", "timm:resnet34.a1_in1k"])
def test_other_names_of_a_net_are_known(name: str) -> None:
    assert plain_name(name) == "resnet34"


@pytest.mark.parametrize("name", ["resnet34d", "resnet35", "centernet-resnet34", "wide_resnet50_2"])
def test_names_of_other_nets_are_not(name: str) -> None:
    assert plain_name(name) is None


def test_arguments_that_a_net_does_not_take_are_named() -> None:
    with pytest.raises(UsageError, match="resnet18 does not take these arguments") as caught:
        nets.find("resnet18").complete({"neck": "fpn", "norm": "group"})
    assert caught.value.got == "neck = fpn"
    assert caught.value.expected == "of net: norm, width"
    assert nets.find("resnet18").complete({"norm": "group"}) == {"norm": "group", "width": 1.0}


def test_a_net_of_another_task_is_refused() -> None:
    with pytest.raises(UsageError, match="resnet18 is a net for classification") as caught:
        nets.find("resnet18", "detection")
    assert "centernet-resnet18" in str(caught.value.expected)
    assert "resnet18, " not in str(caught.value.expected).replace("centernet-resnet18, ", "")
    with pytest.raises(UsageError, match="Unknown net"):
        nets.find("resnet19")


class Toy(nn.Module):
    """Not a ResNet: its keys, head and arguments are its own."""

    def __init__(self, classes: int, depth: int = 2) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=4)
        self.body = nn.Sequential(*(nn.Conv2d(8, 8, 1) for _ in range(depth)))
        self.last = nn.Linear(8, classes)

    def forward(self, x: Tensor) -> Tensor:  # [N, 3, H, W] -> [N, classes]
        logits: Tensor = self.last(torch.relu(self.body(self.stem(x))).mean((2, 3)))
        return logits


def infer_toy(state: Mapping[str, Tensor], stated: Mapping[str, Any]) -> Inferred | None:
    if "last.weight" not in state:
        return None
    return Inferred("toy", len(state["last.weight"]), {"depth": len({k for k in state if k.startswith("body.")}) // 2})


TOY = Net("toy", Toy, heads=("last",), keys=Keys("toy net", ("stem.weight", "body.0.weight"), infer_toy))


def test_a_family_beside_the_resnets_is_known_by_its_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(nets.NETS, "toy", TOY)
    assert nets.infer(Toy(5, depth=3).state_dict()) == ("toy", 5, {"depth": 3})
    assert nets.infer(on_meta(nets.find("resnet50")).state_dict())[0] == "resnet50"
    with pytest.raises(UsageError, match="toy does not take these arguments"):
        nets.infer(Toy(5).state_dict(), {"norm": "group"})
    with pytest.raises(CheckpointError, match="not of a net that edgekit knows") as caught:
        nets.infer({"something.weight": torch.zeros(1)})
    assert str(caught.value.expected).endswith("resnet152, toy")


def test_what_no_keys_tell_has_to_be_stated() -> None:
    assert nets.untold({"norm": "group", "width": 0.5}) == {"norm": "group"}
    assert nets.untold({"norm": "batch"}) == {}


def test_the_head_of_a_net_with_several_is_none() -> None:
    assert nets.find("resnet18").head == "fc"
    assert nets.find("centernet-resnet18").head is None
    assert replace(TOY, heads=("a", "b")).head is None
