"""ResNets that are torchvision's to the last bit that matters, and normalizations that are what they are called."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional

from edgekit import nets
from edgekit.errors import CheckpointError, UsageError
from edgekit.nets.blocks import NORMS, BasicBlock, Bottleneck
from edgekit.nets.resnet import LAYOUTS, ResNet
from edgekit.spec import ModelSpec, PreprocessSpec

pytestmark = pytest.mark.usefixtures("one_thread")

PARAMETERS = {  # He et al. 2015 give these nets; the counts are torchvision's, 1000 classes
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
}


def shaken(net: nn.Module, seed: int = 0) -> nn.Module:
    """Random BatchNorm weights and statistics, near those that the net's activations have: else they die or explode."""
    generator = torch.Generator().manual_seed(seed)

    def factor(like: Tensor) -> Tensor:
        return torch.rand(like.shape, generator=generator) + 0.5

    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    with torch.no_grad():
        for norm in norms:
            norm.momentum = None  # the statistics become those of the next batch
            norm.weight.copy_(factor(norm.weight))
            norm.bias.copy_(factor(norm.bias) - 1)
        net.train()(torch.randn(4, 3, 64, 64, generator=generator))
        for norm in norms:
            assert norm.running_mean is not None
            assert norm.running_var is not None
            norm.running_mean.mul_(factor(norm.running_mean))
            norm.running_var.mul_(factor(norm.running_var))
    return net.eval()


def on_meta(arch: str, classes: int, norm: str = "batch") -> nn.Module:
    """Keys and shapes without memory."""
    with torch.device("meta"):
        return ResNet(arch, classes, norm)  # type: ignore[arg-type]


@pytest.mark.parametrize("arch", LAYOUTS)
def test_the_net_equals_torchvisions(arch: str) -> None:
    torch.manual_seed(1)
    theirs = shaken(getattr(torchvision.models, arch)(weights=None, num_classes=13))
    ours = ResNet(arch, 13).eval()
    assert not torch.equal(ours.conv1.weight, theirs.conv1.weight)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    with torch.no_grad():
        image = torch.randn(2, 3, 64, 64)
        want, got = theirs(image), ours(image)
    difference, peak = (want - got).abs().max(), want.abs().max()
    assert peak > 0.05  # a net that gives nothing would agree with everything
    assert want[0].sub(want[1]).abs().max() > 0.05  # and so would one that does not look
    assert difference <= 1e-5
    assert difference <= 1e-5 * peak


@pytest.mark.parametrize("arch", LAYOUTS)
def test_parameters_are_counted(arch: str) -> None:
    assert sum(p.numel() for p in on_meta(arch, 1000).parameters()) == PARAMETERS[arch]


@pytest.mark.parametrize("arch", ["resnet18", "resnet34", "resnet50"])
def test_timms_state_dict_loads_strictly(arch: str) -> None:
    timm = pytest.importorskip("timm")
    theirs = shaken(timm.create_model(arch, pretrained=False, num_classes=5))
    assert nets.infer(theirs.state_dict()) == (arch, 5, {"norm": "batch"})
    ours = ResNet(arch, 5).eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    with torch.no_grad():
        image = torch.randn(1, 3, 64, 64)
        torch.testing.assert_close(ours(image), theirs(image), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("arch", LAYOUTS)
@pytest.mark.parametrize("norm", ["batch", "none"])
def test_infer_tells_depth_classes_and_norm(arch: str, norm: str) -> None:
    assert nets.infer(on_meta(arch, 7, norm).state_dict()) == (arch, 7, {"norm": norm})


@pytest.mark.parametrize("norm", ["group", "layer", "instance"])
def test_infer_does_not_guess_between_norms_that_look_alike(norm: str) -> None:
    with pytest.raises(CheckpointError, match="does not say which normalization") as caught:
        nets.infer(on_meta("resnet18", 7, norm).state_dict())
    assert f"--norm {norm}" in str(caught.value.fix)


def without(state: dict[str, Tensor], *prefixes: str) -> dict[str, Tensor]:
    return {k: v for k, v in state.items() if not k.startswith(prefixes)}


@pytest.mark.parametrize(
    "prefixes",
    [("conv1.",), ("layer4.",), ("layer1.1.",), ("layer3.0.conv1.", "layer3.1.conv1."), ("",)],
)
def test_infer_refuses_what_is_no_resnet(prefixes: tuple[str, ...]) -> None:
    state = without(on_meta("resnet18", 7).state_dict(), *prefixes)
    with pytest.raises(CheckpointError, match="not of a net that edgekit knows"):
        nets.infer(state)


def test_without_its_last_layer_it_gives_what_that_would_take() -> None:
    whole = ResNet("resnet18", 7).eval()
    trunk = {k: v for k, v in whole.state_dict().items() if not k.startswith("fc.")}
    assert nets.infer(trunk) == ("resnet18", 0, {"norm": "batch"})
    features = ResNet("resnet18", 0).eval()
    features.load_state_dict(trunk, strict=True)
    x = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        assert features(x).shape == (2, 512)
        torch.testing.assert_close(whole.fc(features(x)), whole(x))


def test_infer_refuses_other_nets() -> None:
    for other in ("vgg11", "resnext50_32x4d", "wide_resnet50_2", "mobilenet_v2"):
        with torch.device("meta"):
            state = getattr(torchvision.models, other)(weights=None).state_dict()
        try:
            arch, width, arguments = nets.infer(state)
        except CheckpointError:
            continue
        with pytest.raises(RuntimeError, match="size mismatch"):  # same keys, other shapes: loading says so
            on_meta(arch, width, **arguments).load_state_dict(state, strict=True, assign=True)


def test_unknown_nets_norms_and_arguments_are_refused() -> None:
    with pytest.raises(UsageError, match="Unknown net"):
        ResNet("resnet19", 2)
    with pytest.raises(UsageError, match="Unknown norm") as caught:
        ResNet("resnet18", 2, "bach")  # type: ignore[arg-type]
    assert caught.value.expected == "one of batch, group, layer, instance, none"
    spec = ModelSpec("alexnet", ("a",), PreprocessSpec())
    with pytest.raises(UsageError, match="Unknown net") as caught:
        nets.build(spec)
    assert "resnet18" in str(caught.value.expected)
    with pytest.raises(UsageError, match="does not take these arguments"):
        nets.build(ModelSpec("resnet18", ("a",), PreprocessSpec(), {"depth": 3}))


def test_build_makes_what_the_spec_says() -> None:
    net = nets.build(ModelSpec("resnet18", ("a", "b", "c"), PreprocessSpec(), {"norm": "none"}))
    assert net.training
    assert net.fc.out_features == 3
    assert isinstance(net.bn1, nn.Identity)


# --- normalizations


def after_init(norm: str, channels: int, x: Tensor) -> Tensor:
    torch.manual_seed(0)
    return NORMS[norm](channels).eval()(x)


X = torch.randn(3, 64, 5, 4, generator=torch.Generator().manual_seed(3)) * 3 + 1


@pytest.mark.parametrize(
    ("norm", "want"),
    [
        ("layer", functional.layer_norm(X, X.shape[1:])),
        ("instance", functional.instance_norm(X)),
        ("group", functional.group_norm(X, 32)),
        ("none", X),
        ("batch", X / torch.sqrt(torch.ones(1) + 1e-5)),
    ],
)
def test_a_norm_is_what_it_is_called(norm: str, want: Tensor) -> None:
    torch.testing.assert_close(after_init(norm, 64, X), want, rtol=1e-5, atol=1e-6)


def test_the_norms_differ() -> None:
    outputs = [after_init(norm, 64, X) for norm in NORMS if norm != "none"]  # batch norm begins as the identity
    assert all((a - b).abs().max() > 1e-3 for i, a in enumerate(outputs) for b in outputs[:i])


def test_group_norm_has_32_groups_or_one_a_channel() -> None:
    assert [NORMS["group"](c).num_groups for c in (8, 32, 64, 512)] == [8, 32, 32, 32]  # type: ignore[union-attr]


@pytest.mark.parametrize("norm", NORMS)
def test_every_norm_builds_runs_and_learns(norm: str) -> None:
    torch.manual_seed(0)
    net = ResNet("resnet18", 4, norm)  # type: ignore[arg-type]
    kind = type(NORMS[norm](64))
    assert type(net.bn1) is kind
    assert type(net.layer3[1].bn2) is kind
    assert type(net.layer2[0].downsample[1]) is kind
    logits = net(torch.randn(2, 3, 64, 64))
    assert logits.shape == (2, 4)
    assert torch.isfinite(logits).all()
    logits.square().sum().backward()
    assert all(p.grad is not None and bool(p.grad.any()) for p in net.parameters())
    assert (net.conv1.bias is None) == (norm != "none")  # a norm's own shift makes the bias idle


@pytest.mark.parametrize("norm", ["group", "layer", "instance", "none"])
def test_only_batch_norm_keeps_statistics(norm: str) -> None:
    state = on_meta("resnet18", 4, norm).state_dict()
    assert not [key for key in state if "running" in key or "num_batches" in key]


# --- blocks


def test_resblock_a_keeps_and_resblock_b_halves_and_doubles() -> None:
    x = torch.randn(1, 8, 12, 10)
    a, b = BasicBlock(8, 8, 1, "batch"), BasicBlock(8, 16, 2, "batch")
    assert a.downsample is None
    assert a(x).shape == (1, 8, 12, 10)
    assert b(x).shape == (1, 16, 6, 5)
    assert b.downsample is not None
    assert b.downsample[0].kernel_size == (1, 1)
    assert b.downsample[0].stride == (2, 2)


def test_a_resblock_a_without_weights_is_the_identity_behind_a_relu() -> None:
    block = BasicBlock(8, 8, 1, "none")
    nn.init.zeros_(block.conv2.weight)
    assert block.conv2.bias is not None
    nn.init.zeros_(block.conv2.bias)
    x = torch.randn(2, 8, 6, 6)
    assert torch.equal(block(x.clone()), x.relu())


def test_the_bottlenecks_stride_is_in_its_3x3() -> None:
    block = Bottleneck(16, 8, 2, "batch")
    assert (block.conv1.stride, block.conv2.stride, block.conv3.stride) == ((1, 1), (2, 2), (1, 1))
    assert block(torch.randn(1, 16, 8, 8)).shape == (1, 32, 4, 4)
    assert Bottleneck(32, 8, 1, "batch").downsample is None
    assert Bottleneck(16, 8, 1, "batch").downsample is not None  # layer1.0: same size, four times the channels


@pytest.mark.parametrize("arch", ["resnet18", "resnet34"])
def test_the_first_blocks_of_layers_2_to_4_are_resblocks_b_and_all_others_a(arch: str) -> None:
    net = on_meta(arch, 2)
    b = {name for name, block in net.named_modules() if isinstance(block, BasicBlock) and block.downsample is not None}
    assert b == {"layer2.0", "layer3.0", "layer4.0"}


@pytest.mark.parametrize("side", [32, 33, 65])
def test_any_size_from_32_on_works(side: int) -> None:
    net = ResNet("resnet18", 2).eval()
    with torch.no_grad():
        assert net(torch.zeros(1, 3, side, side + 7)).shape == (1, 2)
