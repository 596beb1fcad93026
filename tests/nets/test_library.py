"""Nets of torchvision and timm by name: what is built, where its last layer is, what pictures it takes."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from torch import nn

from edgekit import nets
from edgekit.checkpoints.checkpoint import Checkpoint
from edgekit.checkpoints.reference import reference_net
from edgekit.errors import BackendError, InputError, UsageError
from edgekit.nets import library
from edgekit.nets.empty import without_memory
from edgekit.spec import ModelSpec, PreprocessSpec

HEADS = {
    "torchvision:mobilenet_v3_small": ("classifier.3",),
    "torchvision:squeezenet1_1": ("classifier.1",),
    "torchvision:googlenet": ("fc",),  # and not the two that only training has
    "torchvision:regnet_x_400mf": ("fc",),  # computes while it is built
    "torchvision:swin_t": ("head",),
    "timm:test_vit": ("head",),
    "timm:tf_efficientnet_lite0": ("classifier",),
    "timm:deit_tiny_distilled_patch16_224": ("head", "head_dist"),
    "timm:convnext_atto": ("head.fc",),
}


@pytest.mark.parametrize(("arch", "heads"), HEADS.items())
def test_the_last_layers_are_found(arch: str, heads: tuple[str, ...]) -> None:
    entry = nets.find(arch)
    assert (entry.name, entry.heads, entry.task) == (arch, heads, "classification")
    net = without_memory(lambda: nets.build(ModelSpec(arch, ("a", "b"), PreprocessSpec())))
    for head in heads:
        assert len(net.get_submodule(head).weight) == 2  # type: ignore[arg-type]


def test_a_net_by_name_is_the_library_s_own() -> None:
    import timm

    ours = nets.build(ModelSpec("timm:test_vit", ("a", "b", "c"), PreprocessSpec(), {"img_size": 64})).eval()
    theirs = timm.create_model("test_vit", num_classes=3, img_size=64).eval()
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(ours(x), theirs(x))


def test_no_network_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: Any, **named: Any) -> None:
        raise AssertionError("asked the network")

    monkeypatch.setattr("socket.socket.connect", refuse)
    assert isinstance(nets.find("timm:test_resnet").build(2), nn.Module)
    assert library.preprocess("timm:resnet18.tv_in1k") is not None
    assert library.preprocess("torchvision:resnet50.IMAGENET1K_V2") is not None


PICTURES = {
    "timm:tf_efficientnet_lite0": (224, "crop", 256, "bicubic", (0.5, 0.5, 0.5)),
    "timm:resnet18.tv_in1k": (224, "crop", 256, "bilinear", (0.485, 0.456, 0.406)),
    "timm:resnet18.a1_in1k": (224, "crop", 235, "bicubic", (0.485, 0.456, 0.406)),
    "timm:coat_lite_medium_384.in1k": (384, "stretch", None, "bicubic", (0.485, 0.456, 0.406)),
    "torchvision:resnet50": (224, "crop", 256, "bilinear", (0.485, 0.456, 0.406)),
    "torchvision:resnet50.IMAGENET1K_V2": (224, "crop", 232, "bilinear", (0.485, 0.456, 0.406)),
    "torchvision:efficientnet_b1": (240, "crop", 256, "bicubic", (0.485, 0.456, 0.406)),
}


@pytest.mark.parametrize(("arch", "wanted"), PICTURES.items())
def test_the_tag_says_what_pictures_the_weights_take(arch: str, wanted: tuple[Any, ...]) -> None:
    spec = library.preprocess(arch)
    assert spec is not None
    assert spec.height == spec.width
    assert (spec.width, spec.resize, spec.shorter_side, spec.interpolation, spec.mean) == wanted
    assert nets.find(arch).name == library.without_tag(arch)


def test_a_preparation_that_edgekit_has_not_is_said() -> None:
    with pytest.raises(InputError, match="dm_nfnet_f0") as caught:
        library.preprocess("timm:dm_nfnet_f0")
    assert "squash" in str(caught.value.got)


@pytest.mark.parametrize(
    ("arch", "message", "fix"),
    [
        ("timm:mobilenetv4_conv_smal", "timm has no net of this name", "did you mean mobilenetv4_conv_small?"),
        ("torchvision:resnet19", "torchvision has no net of this name", "did you mean resnet18?"),
        ("keras:resnet50", "Unknown net", None),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(arch: str, message: str, fix: str | None) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        nets.find(arch)
    assert caught.value.fix == fix


def test_an_unknown_tag_or_argument_is_refused() -> None:
    with pytest.raises(UsageError, match="timm has no weights of this tag") as caught:
        library.preprocess("timm:resnet18.mine")
    assert "resnet18.a1_in1k" in str(caught.value.expected)
    with pytest.raises(UsageError, match="torchvision has no weights of this tag"):
        library.preprocess("torchvision:resnet18.mine")
    with pytest.raises(UsageError, match="test_vit cannot be built so") as caught:
        nets.build(ModelSpec("timm:test_vit", ("a",), PreprocessSpec(), {"wings": 4}))
    assert str(caught.value.got).startswith("wings = 4: ")


def test_without_timm_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    library.library_net.cache_clear()
    with pytest.raises(BackendError, match="timm is not installed") as caught:
        nets.find("timm:test_vit")
    assert caught.value.exit_code == 5
    assert caught.value.fix == "pip install timm"


@pytest.mark.parametrize(
    ("arch", "width"),
    [("torchvision:squeezenet1_1", 512), ("torchvision:mobilenet_v3_small", 1024), ("timm:test_vit", 64)],
)
def test_with_no_classes_it_gives_what_its_last_layer_would_take(arch: str, width: int) -> None:
    spec = ModelSpec(arch, (), PreprocessSpec(), task="features", dimensions=width)
    net = nets.build(spec).eval()
    whole = nets.build(ModelSpec(arch, ("a", "b"), PreprocessSpec()))
    heads = tuple(f"{head}." for head in nets.find(arch).heads)
    assert set(net.state_dict()) == {key for key in whole.state_dict() if not key.startswith(heads)}
    with torch.no_grad():
        side = 160 if "vit" in arch else 224
        assert net(torch.zeros(1, 3, side, side)).shape == (1, width)


def test_a_net_that_asks_for_the_version_of_its_code_loads_from_a_plain_file() -> None:
    spec = ModelSpec("torchvision:mnasnet0_5", ("a", "b"), PreprocessSpec())
    made = nets.build(spec)
    net = Checkpoint(spec, dict(made.state_dict())).net()
    for name, value in made.state_dict().items():
        assert torch.equal(net.state_dict()[name], value), name
    reference = reference_net(Checkpoint(spec, dict(made.state_dict())))
    assert reference is not None
    with torch.no_grad():
        x = torch.randn(1, 3, 64, 64)
        assert torch.equal(reference(x), net(x))
