"""Plain state dicts of a net that is no ResNet: found behind wrappers and prefixes, named, described and judged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from edgekit import nets
from edgekit.checkpoints.checkpoint import load_checkpoint
from edgekit.checkpoints.pretrained import read_weights
from edgekit.errors import CheckpointError, UsageError
from edgekit.pipeline.verdict import basis_of
from tests.nets.test_registry import TOY, Toy

CLASSES = ("a", "b", "c")


@pytest.fixture(autouse=True)
def _toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(nets.NETS, "toy", TOY)


@pytest.fixture
def net() -> Toy:
    torch.manual_seed(0)
    return Toy(3).eval()


@pytest.mark.parametrize("prefix", ["", "module.", "model.net."])
def test_it_is_found_and_runs(prefix: str, net: Toy, tmp_path: Path) -> None:
    path = tmp_path / "toy.pth"
    torch.save({"state_dict": {prefix + k: v for k, v in net.state_dict().items()}, "epoch": 3}, path)
    loaded = load_checkpoint(path, classes=CLASSES, arch="toy")
    assert (loaded.spec.arch, loaded.spec.arch_args, loaded.named_by) == ("toy", {"depth": 2}, "--arch")
    assert loaded.notes[0].startswith("plain state dict of toy (2 depth), 3 classes")
    x = torch.randn(1, 3, 16, 16)
    np.testing.assert_array_equal(loaded.net()(x).detach().numpy(), net(x).detach().numpy())
    assert basis_of(loaded).equal_to == ("our toy (2 depth) with these weights, as named by --arch",)


def test_the_messages_speak_of_its_own_last_layer(net: Toy, tmp_path: Path) -> None:
    path = tmp_path / "toy.pth"
    torch.save(net.state_dict(), path)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path, classes=("a", "b"))
    assert caught.value.expected == "3 (last.weight of toy.pth)"
    with pytest.raises(UsageError, match="--arch contradicts the keys"):
        load_checkpoint(path, classes=CLASSES, arch="resnet18")
    with pytest.raises(UsageError, match="does not take these arguments"):
        load_checkpoint(path, classes=CLASSES, norm="group")


def test_weights_of_another_net_are_named_by_what_differs(net: Toy, tmp_path: Path) -> None:
    path = tmp_path / "toy.pth"
    torch.save(net.state_dict(), path)
    assert read_weights(str(path), "toy", {}) is not None
    with pytest.raises(CheckpointError, match="another net than the recipe names") as caught:
        read_weights(str(path), "toy", {"depth": 4})
    assert (caught.value.got, caught.value.expected) == ("toy with 2 depth", "toy with 4 depth")
    assert caught.value.fix == "--set net.arch=toy --set net.arguments.depth=2, or other weights"
    with pytest.raises(CheckpointError, match="another net") as caught:
        read_weights(str(path), "resnet18", {})
    assert (caught.value.got, caught.value.expected) == ("toy", "resnet18")
    with pytest.raises(UsageError, match="Only torchvision.s weights are fetched"):
        read_weights("imagenet", "toy", {})
    with pytest.raises(UsageError, match="no ImageNet weights with this width"):
        read_weights("imagenet", "resnet18", {"width": 0.5})
