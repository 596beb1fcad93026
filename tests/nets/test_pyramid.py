"""A detector stands on any net of timm that has features at strides 4 to 32, and takes that net's own weights."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from edgekit import nets
from edgekit.config.recipe import load_recipe
from edgekit.errors import CheckpointError, UsageError
from edgekit.nets.centernet import LtrbMaps, OffsetSizeMaps
from edgekit.nets.detector import with_decoding
from edgekit.nets.pyramid import channels, pyramid, pyramid_state
from edgekit.nets.resnet import he_init
from edgekit.spec import ModelSpec, PreprocessSpec

TINY = ["timm:test_efficientnet", "timm:test_resnet", "timm:test_convnext", "timm:test_byobnet"]


@pytest.mark.parametrize("trunk", [*TINY, "timm:tf_efficientnet_lite0", "timm:test_efficientnet.r160_in1k"])
def test_four_maps_at_strides_4_to_32(trunk: str) -> None:
    net = pyramid(trunk).eval()
    with torch.no_grad():
        maps = net(torch.zeros(1, 3, 96, 64))
    assert [m.shape for m in maps] == [
        (1, c, 96 // s, 64 // s) for c, s in zip(channels(net), (4, 8, 16, 32), strict=True)
    ]


@pytest.mark.parametrize("trunk", TINY)
def test_a_plain_net_s_weights_give_the_plain_net_s_features(trunk: str) -> None:
    """Its last map is what the plain net computes up to there."""
    torch.manual_seed(0)
    plain: Any = timm.create_model(trunk.removeprefix("timm:"), pretrained=False, num_classes=7).eval()
    for module in plain.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 1.5)  # type: ignore[arg-type]
    net = pyramid(trunk).eval()
    state, left = pyramid_state(net, plain.state_dict())
    net.load_state_dict(state, strict=True)
    assert {name for name in plain.state_dict() if name.startswith(("fc", "head", "classifier"))} <= set(left)
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        last = net(x)[-1]
        want = plain.forward_features(x)
        if trunk == "timm:test_efficientnet":  # its features have one convolution more
            last = plain.bn2(plain.conv_head(last))
    torch.testing.assert_close(last, want, rtol=1e-4, atol=1e-5)


def test_weights_of_another_net_are_refused() -> None:
    plain = timm.create_model("test_resnet", pretrained=False).state_dict()
    with pytest.raises(CheckpointError, match="do not fit the trunk"):
        pyramid_state(pyramid("timm:test_efficientnet"), plain)
    wider = {k: v if v.ndim < 2 else torch.zeros(3, *v.shape[1:]) for k, v in plain.items()}
    with pytest.raises(CheckpointError, match="another shape"):
        pyramid_state(pyramid("timm:test_resnet"), wider)


@pytest.mark.parametrize(
    ("trunk", "got"),
    [
        ("resnet18", "Unknown trunk"),
        ("torchvision:resnet18", "Unknown trunk"),
        ("timm:no_such_net", "no net of this name"),
        ("timm:test_vit", "16, 16, 16, 16"),
        ("timm:swin_tiny_patch4_window7_224", "NHWC"),
    ],
)
def test_trunks_that_give_no_such_maps_are_refused(trunk: str, got: str) -> None:
    with pytest.raises(UsageError, match=got):
        nets.find("centernet").build(2, trunk=trunk)


@pytest.mark.parametrize(
    ("head", "kind", "neck"), [("ltrb", LtrbMaps, "fpn"), ("offset_size", OffsetSizeMaps, "deconv")]
)
def test_a_detector_by_its_spec_alone(head: str, kind: type, neck: str) -> None:
    """A checkpoint holds the trunk's name among the net's arguments, so it can be built from the file."""
    arguments = {"trunk": "timm:test_resnet", "head": head, "neck": neck, "width": 0.5}
    spec = ModelSpec("centernet", ("a", "b"), PreprocessSpec(64, 96, "letterbox", None), arguments, "detection",
                     max_detections=10)  # fmt: skip
    net = nets.build(ModelSpec.from_dict(spec.to_dict())).eval()
    with torch.no_grad():
        x = torch.randn(2, 3, 64, 96)
        assert isinstance(net(x), kind)
        assert [tuple(t.shape) for t in with_decoding(net, spec)(x)] == [(2, 10, 4), (2, 10), (2, 10)]
    assert nets.find("centernet").trunk_of(arguments) == "timm:test_resnet"


def test_the_neck_is_as_wide_as_asked_and_the_trunk_as_it_is() -> None:
    narrow, wide = (nets.find("centernet").build(2, trunk="timm:test_resnet", width=w) for w in (0.25, 1.0))
    assert [m.out_channels for m in narrow.neck.modules() if isinstance(m, nn.Conv2d)][:1] == [64]
    assert [m.out_channels for m in wide.neck.modules() if isinstance(m, nn.Conv2d)][:1] == [256]
    shapes = [{k: v.shape for k, v in net.trunk.state_dict().items()} for net in (narrow, wide)]
    assert shapes[0] == shapes[1]
    with pytest.raises(UsageError, match="The width"):
        nets.find("centernet").build(2, trunk="timm:test_resnet", width=0)


def test_timm_has_initialized_the_trunk() -> None:
    torch.manual_seed(0)
    alone = pyramid("timm:test_resnet").state_dict()
    torch.manual_seed(0)
    part = nets.find("centernet").build(2, trunk="timm:test_resnet").trunk
    assert all(torch.equal(value, alone[key]) for key, value in part.state_dict().items())
    he_init(part)
    assert not all(torch.equal(value, alone[key]) for key, value in part.state_dict().items())


def test_centernet_mobile_takes_a_third_of_centernet_r18_s_multiply_adds() -> None:
    """Counted alike, at 384 x 384 with two classes: what its card says."""
    counted = {}
    for name in ("centernet-mobile", "centernet-r18"):
        recipe = load_recipe(name)
        with torch.device("meta"), FlopCounterMode(display=False) as counter:
            nets.find(recipe.net.arch).build(2, **recipe.net.asked()).eval()(torch.zeros(1, 3, 384, 384))
        counted[name] = counter.get_total_flops() / 2e9
    assert counted["centernet-r18"] == pytest.approx(6.82, abs=0.01)
    assert counted["centernet-mobile"] == pytest.approx(1.88, abs=0.01)
    assert counted["centernet-mobile"] <= 0.35 * counted["centernet-r18"]


def test_what_centernet_mobile_freezes_is_there() -> None:
    recipe = load_recipe("centernet-mobile")
    with torch.device("meta"):
        net = nets.find("centernet").build(2, **recipe.net.asked())
    assert set(recipe.schedule.frozen) <= {name for name, _ in net.named_modules()}
