"""Nets that are no ResNets are trained by their entry alone: their arguments, their head, their first fit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from edgekit import nets
from edgekit.checkpoints.checkpoint import load_checkpoint
from edgekit.errors import UsageError
from edgekit.nets import Net
from edgekit.training.classification import ClassificationTraining
from edgekit.training.loop.run import train
from edgekit.training.probe import features, fit_head, lift, linear_head
from edgekit.training.tasks import make_task
from tests.training.conftest import MakeRecipe


class Plain(nn.Module):
    """Takes no arguments, and calls its last layer by a name of its own."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, stride=4)
        self.last = nn.Linear(8, classes)

    def forward(self, x: Tensor) -> Tensor:  # [N, 3, H, W] -> [N, classes]
        logits: Tensor = self.last(torch.relu(self.conv(x)).mean((2, 3)))
        return logits


class Squeezed(nn.Module):
    """Its last layer is a convolution: dropout, 1x1, ReLU, mean, as SqueezeNet has it."""

    def __init__(self, classes: int, relu: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, stride=4)
        last = nn.Conv2d(8, classes, 1)
        self.classifier = nn.Sequential(nn.Dropout(0.5), last, nn.ReLU(inplace=True) if relu else nn.Identity())

    def forward(self, x: Tensor) -> Tensor:  # [N, 3, H, W] -> [N, classes]
        logits: Tensor = self.classifier(torch.relu(self.conv(x))).mean((2, 3))
        return logits


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    for entry in (Net("plain", Plain, ("last",)), Net("squeezed", Squeezed, ("classifier.1",))):
        monkeypatch.setitem(nets.NETS, entry.name, entry)


def test_a_net_is_passed_what_was_asked_for_and_nothing_else(pictures: Path, recipe: MakeRecipe) -> None:
    task = make_task(recipe("net.arch=plain"), pictures)
    assert (task.spec.arch_args, task.heads) == ({}, ("last",))
    task = make_task(recipe("net.arch=squeezed", "net.arguments.relu=false"), pictures)
    assert task.spec.arch_args == {"relu": False}
    assert isinstance(task.net.get_submodule("classifier.2"), nn.Identity)
    with pytest.raises(UsageError, match="plain does not take these arguments") as caught:
        make_task(recipe("net.arch=plain", "net.norm=batch", "net.width=1"), pictures)
    assert caught.value.got == "norm = batch, width = 1.0"
    with pytest.raises(UsageError, match="net for detection"):
        make_task(recipe("net.arch=centernet-resnet18"), pictures)


def test_the_width_of_a_resnet_is_no_longer_dropped(pictures: Path, recipe: MakeRecipe) -> None:
    task = make_task(recipe("net.width=0.125"), pictures)
    assert task.spec.arch_args == {"norm": "batch", "width": 0.125}
    assert len(task.net.get_submodule("conv1").weight) == 8  # type: ignore[arg-type]


def test_a_new_convolution_is_the_head_of_weights_for_other_classes(
    pictures: Path, recipe: MakeRecipe, tmp_path: Path
) -> None:
    changes = ("net.arch=squeezed", "schedule.epochs=2", "schedule.probe_views=2", "schedule.refit_head=true")
    first = recipe(*changes)
    done = train(make_task(first, pictures), first, tmp_path / "run")
    loaded = load_checkpoint(done.best)
    assert loaded.spec.arch == "squeezed"
    assert done.metrics["top1"] >= 0.9  # the mean colour tells the classes
    again = make_task(recipe("net.arch=squeezed", f"net.weights={done.best}"), pictures)
    assert torch.equal(again.net.state_dict()["conv.weight"], loaded.state_dict["conv.weight"])
    head = "classifier.1.weight"
    assert not torch.equal(again.net.state_dict()[head], loaded.state_dict[head])


@pytest.mark.parametrize("relu", [True, False])
def test_a_fitted_convolution_answers_what_was_fitted(relu: bool) -> None:
    """Also where a ReLU follows it, which would cut off every logit below 0."""
    torch.manual_seed(0)
    net = Squeezed(3, relu).eval()
    labels = torch.arange(30) % 3
    x = torch.rand(30, 3, 16, 16)
    x[torch.arange(30), labels] += 1.0
    head = linear_head(net, ("classifier.1",))
    assert isinstance(head, nn.Conv2d)
    pooled = features(net, head, x)
    assert pooled.shape == (30, 8)
    fit_head(head, pooled, labels)
    want = (pooled @ head.weight.flatten(1).T + head.bias).softmax(1)
    added = lift(net, head, [x[:16], x[16:]])
    torch.testing.assert_close(net(x).softmax(1), want, rtol=1e-4, atol=1e-5)
    assert (added > 0) == relu
    assert bool((net(x).argmax(1) == labels).all())


@pytest.mark.parametrize("layer", [nn.Conv2d(8, 3, 3), nn.Conv2d(8, 3, 1, stride=2), nn.Linear(8, 3, bias=False)])
def test_another_kind_of_head_cannot_be_fitted(layer: nn.Module) -> None:
    with pytest.raises(UsageError, match="no linear head to fit first"):
        linear_head(nn.Sequential(layer), ("0",))


def test_a_run_that_was_begun_before_goes_on(pictures: Path, recipe: MakeRecipe, tmp_path: Path) -> None:
    """Its state says every default of a net's arguments, and once called some of them otherwise."""
    chosen = recipe("net.arch=plain", "schedule.epochs=1")
    task = make_task(chosen, pictures)
    assert isinstance(task, ClassificationTraining)
    train(task, chosen, tmp_path)
    state = torch.load(tmp_path / "last.state.pt", weights_only=True)
    assert "norm" not in state["recipe"]["net"]
    net = state["recipe"]["net"]
    net["keep"] = net.pop("max_detections")
    net |= {"norm": "batch", "neck": "fpn", "head": "ltrb", "width": 1.0}
    torch.save(state, tmp_path / "last.state.pt")
    assert train(make_task(chosen, pictures), chosen, tmp_path, resume=True).epochs == 1
    net["width"] = 0.5
    torch.save(state, tmp_path / "last.state.pt")
    with pytest.raises(UsageError, match=r"net.width was 0.5, is 1.0"):
        train(make_task(chosen, pictures), chosen, tmp_path, resume=True)
