"""The U-Net: its shapes, its steps up against plain torch, its answers, and which sizes and trunks it takes."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from edgekit import nets
from edgekit.errors import UsageError
from edgekit.graph.fold_bn import fold_bn
from edgekit.nets.detector import with_decoding
from edgekit.nets.resnet import ResNet
from edgekit.nets.unet import UNet, Up, check_size
from edgekit.spec import ModelSpec, PreprocessSpec


def small(classes: int = 5, **arguments: object) -> UNet:
    torch.manual_seed(0)
    net = nets.find("unet-resnet18").build(classes, **{"width": 0.125, **arguments})
    assert isinstance(net, UNet)
    return net.eval()


@pytest.mark.parametrize("arch", ["unet-resnet18", "unet-resnet50"])
def test_it_gives_a_logit_a_class_and_pixel(arch: str) -> None:
    net = nets.find(arch).build(5, width=0.125)
    assert net(torch.zeros(2, 3, 64, 96)).shape == (2, 5, 64, 96)


def test_a_step_up_is_what_its_docstring_says() -> None:
    torch.manual_seed(0)
    up = Up(6, 4, 8, "batch").eval()
    x, skip = torch.randn(2, 6, 5, 7), torch.randn(2, 4, 10, 14)
    large = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    wide = torch.cat((torch.relu(up.bn(up.conv(large))), skip), 1)
    block = up.block
    assert isinstance(block.downsample, nn.Sequential)
    inner = block.bn2(block.conv2(torch.relu(block.bn1(block.conv1(wide)))))
    torch.testing.assert_close(up(x, skip), torch.relu(inner + block.downsample(wide)))


def test_its_trunk_is_the_resnet_of_the_same_weights() -> None:
    net = small(width=0.25)
    resnet = ResNet("resnet18", 0, width=0.25).eval()
    resnet.load_state_dict(net.trunk.state_dict())
    x = torch.randn(1, 3, 64, 64)
    maps = net.features(x)
    assert [m.shape[2] for m in maps] == [32, 16, 8, 4, 2]
    for one, other in zip(maps[1:], resnet.features(x), strict=True):
        torch.testing.assert_close(one, other)
    torch.testing.assert_close(maps[-1].mean((2, 3)), resnet(x))


def test_each_skip_reaches_the_answer() -> None:
    net, x = small(), torch.randn(1, 3, 64, 64)
    whole = net(x)
    for cut in range(4):
        features = net.features(x)
        net.features = lambda _, c=cut, f=features: tuple(m * (i != c) for i, m in enumerate(f))  # type: ignore[method-assign, misc]
        assert not torch.allclose(net(x), whole), cut
        del net.features


def test_the_answer_is_the_best_class_and_its_softmax() -> None:
    net, x = small(), torch.randn(2, 3, 64, 32)
    logits = net(x)
    assert not net.decodes
    mask, score = net.decoding()(x)
    assert (mask.dtype, score.dtype, mask.shape) == (torch.int32, torch.float32, (2, 64, 32))
    torch.testing.assert_close(mask.long(), logits.argmax(1))
    torch.testing.assert_close(score, functional.softmax(logits, 1).gather(1, mask.long().unsqueeze(1)).squeeze(1))


def test_the_logits_are_enlarged_with_half_pixel_centres() -> None:
    """A plane stays a plane: what align_corners or a corner's pixel would tilt."""
    net = small(2)
    columns = torch.arange(16.0).expand(1, 2, 16, 16)
    net.head.forward = lambda x: columns  # type: ignore[method-assign]
    row = net(torch.zeros(1, 3, 32, 32))[0, 0, 5]
    torch.testing.assert_close(row[1:-1], (torch.arange(32.0)[1:-1] + 0.5) / 2 - 0.5)


@pytest.mark.parametrize("norm", ["batch", "group", "none"])
def test_batchnorm_folds_and_nothing_of_it_is_left(norm: str) -> None:
    net, x = small(norm=norm), torch.randn(1, 3, 64, 64)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    folded, _ = fold_bn(net, x)
    assert not [m for m in folded.modules() if isinstance(m, nn.BatchNorm2d)]
    assert float((folded(x).detach() - net(x)).detach().abs().max() / net(x).detach().abs().max()) < 1e-5


def test_a_size_that_the_way_up_cannot_meet_is_refused() -> None:
    check_size(384, 480)
    with pytest.raises(UsageError, match="cannot take this input size") as caught:
        check_size(360, 480)
    assert caught.value.fix is not None
    assert "384x480" in caught.value.fix
    spec = ModelSpec("unet-resnet18", ("a", "b"), PreprocessSpec(40, 64, "letterbox", None), task="segmentation")
    with pytest.raises(UsageError, match="cannot take"):
        with_decoding(small(2), spec)


def test_a_trunk_by_name_has_its_five_maps() -> None:
    pytest.importorskip("timm")
    net = nets.find("unet").build(3, trunk="timm:mobilenetv3_small_050", width=0.25)
    assert net(torch.zeros(1, 3, 64, 64)).shape == (1, 3, 64, 64)
    with pytest.raises(UsageError, match="cannot be a U-Net's trunk"):
        nets.find("unet").build(3, trunk="timm:convnext_atto")
    with pytest.raises(UsageError, match="Unknown trunk"):
        nets.find("unet").build(3, trunk="resnet18")
