"""Every CenterNet has the maps it promises, folds whole, learns everywhere, and costs what its card says."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn

from edgekit.errors import UsageError
from edgekit.graph.fold_bn import fold_bn
from edgekit.graph.to_onnx import first_convolution
from edgekit.nets.centernet import CENTERNETS, PRIOR, CenterNet, LtrbMaps, OffsetSizeMaps, bilinear_init, check_size
from edgekit.nets.decoding.decode import Decode
from edgekit.nets.resnet import LAYOUTS, ResNet, Trunk, scaled
from edgekit.training.losses import LOSSES
from edgekit.training.targets import ENCODERS

pytestmark = pytest.mark.usefixtures("one_thread")

R18 = "centernet-resnet18"
VARIANTS = list(product(["deconv", "fpn"], ["offset_size", "ltrb"]))
each_variant = pytest.mark.parametrize(("neck", "head"), VARIANTS)


def tiny(neck: str = "fpn", head: str = "ltrb", classes: int = 3, arch: str = R18, width: float = 0.125) -> CenterNet:
    torch.manual_seed(0)
    return CenterNet(arch, classes, neck, head, width)  # type: ignore[arg-type]


def shaken(net: nn.Module) -> nn.Module:
    """BatchNorms with random weights, and statistics near the activations' own: else those die or explode."""
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    with torch.no_grad():
        for norm in norms:
            norm.momentum = None  # the statistics become those of the next batch
            norm.weight.copy_(torch.rand_like(norm.weight) + 0.5)
            norm.bias.copy_(torch.rand_like(norm.bias) - 0.5)
        net.train()(torch.randn(4, 3, 64, 64))
        for norm in norms:
            assert norm.running_var is not None
            norm.running_var.mul_(torch.rand_like(norm.running_var) + 0.5)
    return net.eval()


def lively(net: CenterNet) -> CenterNet:
    """With last layers that do not give their bias everywhere."""
    for branch in net.branches.values():
        nn.init.normal_(branch[2].weight, std=0.3)  # type: ignore[index]
    return net


@each_variant
def test_maps_have_their_names_shapes_and_first_values(neck: str, head: str) -> None:
    net = tiny(neck, head).eval()
    with torch.no_grad():
        maps = net(torch.randn(2, 3, 64, 96))
    kinds: dict[str, Any] = {"offset_size": OffsetSizeMaps, "ltrb": LtrbMaps}
    assert type(maps) is kinds[head]
    channels = {"offset_size": {"heatmap": 3, "offset": 2, "size": 2}, "ltrb": {"heatmap": 3, "distances": 4}}[head]
    assert {n: tuple(m.shape) for n, m in maps._asdict().items()} == {n: (2, c, 16, 24) for n, c in channels.items()}
    assert all(m.dtype == torch.float32 for m in maps)
    assert (maps.heatmap.sigmoid() - 0.1).abs().max() < 0.01
    if head == "ltrb":
        assert (maps.distances > 0).all()
        assert 4 < maps.distances.mean() < 7


@pytest.mark.parametrize(("neck", "head"), [("deconv", "offset_size"), ("fpn", "ltrb")])
@pytest.mark.parametrize("arch", CENTERNETS)
def test_any_resnet_of_the_house_works(arch: str, neck: str, head: str) -> None:
    with torch.device("meta"):
        maps = CenterNet(arch, 2, neck, head, 0.25)(torch.zeros(1, 3, 64, 32))  # type: ignore[arg-type]
    assert maps.heatmap.shape == (1, 2, 16, 8)


def test_there_is_one_for_every_resnet() -> None:
    assert list(CENTERNETS) == [f"centernet-{arch}" for arch in LAYOUTS]


@each_variant
def test_each_picture_of_a_batch_gets_its_own_answer(neck: str, head: str) -> None:
    net = lively(shaken(tiny(neck, head)))  # type: ignore[arg-type]
    x = torch.randn(3, 3, 64, 64)
    with torch.no_grad():
        together, alone = net(x), [net(x[i : i + 1]) for i in range(3)]
    for name, batch in together._asdict().items():
        torch.testing.assert_close(batch, torch.cat([getattr(one, name) for one in alone]), rtol=1e-4, atol=1e-4)
        assert (batch[0] - batch[1]).abs().max() > 0.01


@each_variant
@pytest.mark.parametrize("arch", [R18, "centernet-resnet50"])
def test_every_variant_folds_whole_and_stays_equal(arch: str, neck: str, head: str) -> None:
    net = lively(shaken(tiny(neck, head, arch=arch)))  # type: ignore[arg-type]
    x = torch.randn(2, 3, 64, 64)
    folded, report = fold_bn(net, x)
    norms = sum(isinstance(m, nn.BatchNorm2d) for m in net.modules())
    assert report.left == ()
    assert len(report.layers) == norms == {R18: 20, "centernet-resnet50": 53}[arch] + {"deconv": 3, "fpn": 7}[neck]
    assert not [m for m in folded.modules() if isinstance(m, nn.BatchNorm2d)]
    assert first_convolution(folded, x) is folded.trunk.conv1  # type: ignore[union-attr]
    with torch.no_grad():
        want, got = net(x), folded(x)
    assert type(got) is type(want)
    for name, map_ in want._asdict().items():
        assert map_.std() > 0.01, name
        assert (getattr(got, name) - map_).abs().max() <= 5e-5 * map_.abs().max(), name


@each_variant
def test_a_net_with_its_decode_folds_too(neck: str, head: str) -> None:
    net = nn.Sequential(lively(shaken(tiny(neck, head))), Decode(7)).eval()  # type: ignore[arg-type]
    x = torch.randn(2, 3, 64, 64)
    folded, report = fold_bn(net, x)
    assert report.left == ()
    with torch.no_grad():
        torch.testing.assert_close(folded(x).scores, net(x).scores, rtol=1e-4, atol=1e-5)


@each_variant
@pytest.mark.parametrize("heatmap", ["focal", "logistic"])
def test_gradients_reach_every_parameter(neck: str, head: str, heatmap: str) -> None:
    net = tiny(neck, head)
    boxes, labels = torch.tensor([[5.0, 6, 50, 40], [30, 30, 60, 62]]), torch.tensor([0, 2])
    one = ENCODERS[head](boxes, labels, classes=3, height=64, width=64)
    targets = type(one)(*(torch.stack([t, t]) for t in one))
    LOSSES[head](heatmap=heatmap)(net(torch.randn(2, 3, 64, 64)), targets).total.backward()  # type: ignore[arg-type, no-untyped-call]
    dead = [n for n, p in net.named_parameters() if p.grad is None or not p.grad.any() or not p.grad.isfinite().all()]
    assert dead == []


# --- sizes


def macs(net: nn.Module, side: int) -> int:
    """Multiply-adds of the convolutions for one picture."""
    total = 0

    def count(layer: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        nonlocal total
        turned = isinstance(layer, nn.ConvTranspose2d)  # each input, not each output, meets the whole kernel
        places = inputs[0][0, 0].numel() if turned else output[0, 0].numel()
        total += places * layer.weight.numel()

    for module in net.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            module.register_forward_hook(count)
    net.eval()(torch.zeros(1, 3, side, side, device="meta"))
    return total


def on_meta(neck: str, head: str, classes: int, width: float = 1.0) -> CenterNet:
    with torch.device("meta"):
        return CenterNet(R18, classes, neck, head, width)  # type: ignore[arg-type]


def parameters(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def test_multiply_adds_are_counted_right() -> None:
    with torch.device("meta"):
        assert macs(ResNet("resnet18", 1000), 224) == 1_814_073_344 - 512_000  # torchvision's 1.814 GMAC; no fc here
        assert macs(nn.Sequential(nn.ConvTranspose2d(3, 5, 4, 2, 1)), 8) == 8 * 8 * 3 * 5 * 16


@pytest.mark.parametrize("classes", [1, 2, 80])
def test_ours_is_at_least_1_8_times_cheaper_than_the_papers(classes: int) -> None:
    paper, ours = (macs(on_meta(*v, classes), 512) for v in (("deconv", "offset_size"), ("fpn", "ltrb")))
    assert paper / ours >= 1.8


@pytest.mark.parametrize(
    ("neck", "head", "gmacs", "millions"),
    [("deconv", "offset_size", 22.63, 15.82), ("deconv", "ltrb", 20.22, 15.67), ("fpn", "offset_size", 12.74, 11.91),
     ("fpn", "ltrb", 12.13, 11.88)],
)  # fmt: skip
def test_cost_of_the_resnet18s_at_512(neck: str, head: str, gmacs: float, millions: float) -> None:
    net = on_meta(neck, head, 1)
    assert macs(net, 512) / 1e9 == pytest.approx(gmacs, abs=0.01)
    assert parameters(net) / 1e6 == pytest.approx(millions, abs=0.01)


def test_a_tiny_one_exists() -> None:
    assert parameters(on_meta("fpn", "ltrb", 80, width=0.34)) <= 1_500_000
    assert parameters(on_meta("fpn", "ltrb", 1, width=0.25)) <= 750_000
    assert parameters(on_meta("deconv", "offset_size", 1, width=0.25)) <= 1_000_000


@pytest.mark.parametrize(
    ("channels", "width", "want"), [(64, 1, 64), (64, 0.34, 24), (64, 0.01, 8), (512, 0.5, 256), (64, 1.5, 96)]
)
def test_channels_are_multiples_of_8(channels: int, width: float, want: int) -> None:
    assert scaled(channels, width) == want


def test_a_narrow_resnet_is_narrow_everywhere() -> None:
    net = ResNet("resnet18", 3, width=0.5).eval()
    assert [m.out_channels for m in net.modules() if isinstance(m, nn.Conv2d)][0::19] == [32, 256]
    assert net.fc.in_features == 256
    assert net(torch.zeros(1, 3, 32, 32)).shape == (1, 3)


# --- where it comes from


def test_the_trunk_takes_an_imagenet_state() -> None:
    torch.manual_seed(0)
    theirs = shaken(torchvision.models.resnet18(weights=None))
    state = {k: v for k, v in theirs.state_dict().items() if not k.startswith("fc.")}
    net = CenterNet(R18, 1).eval()
    net.trunk.load_state_dict(state, strict=True)
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        *_, c5 = net.trunk(x)
        torch.testing.assert_close(theirs.fc(c5.mean((2, 3))), theirs(x), rtol=1e-5, atol=1e-5)  # type: ignore[operator]


@pytest.mark.parametrize("arch", ["resnet18", "resnet50"])
def test_features_are_at_strides_4_to_32(arch: str) -> None:
    with torch.device("meta"):
        trunk = Trunk(arch)
        features = trunk(torch.zeros(1, 3, 96, 64))
    grow = {"resnet18": 1, "resnet50": 4}[arch]
    assert [tuple(f.shape) for f in features] == [(1, c * grow, 96 // s, 64 // s) for c, s in
                                                  [(64, 4), (128, 8), (256, 16), (512, 32)]]  # fmt: skip
    assert trunk.channels == tuple(f.shape[1] for f in features)


def test_a_deconvolution_starts_as_bilinear_enlargement() -> None:
    torch.manual_seed(0)
    layer = nn.ConvTranspose2d(5, 3, 4, stride=2, padding=1, bias=False)
    bilinear_init(layer)
    x = torch.randn(1, 5, 6, 7)
    mixture = layer.weight.detach()[:, :, 1, 1].t() / 0.75**2
    want = nn.functional.interpolate(torch.einsum("oi,nihw->nohw", mixture, x), scale_factor=2, mode="bilinear")
    inner = (..., slice(1, -1), slice(1, -1))  # at the border interpolate repeats the edge, a deconvolution meets zeros
    with torch.no_grad():
        torch.testing.assert_close(layer(x)[inner], want[inner])
    assert mixture.abs().min() > 0
    assert len(set(mixture.flatten().tolist())) == 15


def test_the_heatmap_starts_at_the_papers_prior() -> None:
    bias = tiny().branches["heatmap"][2].bias  # type: ignore[index]
    assert bias.tolist() == pytest.approx([PRIOR] * 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"arch": "resnet18"}, "Unknown net"),
        ({"neck": "dcn"}, "Unknown neck"),
        ({"head": "c23"}, "Unknown head"),
        ({"width": 0}, "The width"),
        ({"width": 5.0}, "The width"),
        ({"width": "half"}, "The width"),
        ({"width": float("nan")}, "The width"),
    ],
)
def test_unknown_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        CenterNet(**{"arch": R18, "classes": 1, **arguments})
    assert caught.value.expected


def test_sizes_that_do_not_fit_are_refused() -> None:
    check_size(64, 512)
    for height, width, fix in ((65, 64, "64x64"), (512, 300, "512x288"), (0, 32, "32x32"), (-32, 32, "32x32")):
        with pytest.raises(UsageError) as caught:
            check_size(height, width)
        assert fix in str(caught.value.fix)


# --- it learns


@pytest.mark.parametrize(("neck", "head"), [("deconv", "offset_size"), ("fpn", "ltrb")])
def test_two_pictures_are_learnt_by_heart(neck: str, head: str) -> None:
    """The whole chain: encode, net, loss, decode."""
    side = 64
    boxes = [torch.tensor([[6.0, 10, 30, 28], [36, 34, 60, 58]]), torch.tensor([[20.0, 16, 52, 40]])]
    labels = [torch.tensor([0, 1]), torch.tensor([1])]
    images = torch.zeros(2, 3, side, side)
    for image, of_image, names in zip(images, boxes, labels, strict=True):
        for (x1, y1, x2, y2), label in zip(of_image.int().tolist(), names.tolist(), strict=True):
            image[label, y1:y2, x1:x2] = 1
    encode = ENCODERS[head]
    ones = [encode(b, n, classes=2, height=side, width=side) for b, n in zip(boxes, labels, strict=True)]
    targets = type(ones[0])(*map(torch.stack, zip(*ones, strict=True)))
    net = tiny(neck, head, classes=2)
    criterion: Any = LOSSES[head]()
    optimizer = torch.optim.AdamW(net.parameters(), 5e-3, weight_decay=0, foreach=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=120)
    history = []
    for _ in range(120):
        loss = criterion(net(images), targets).total
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        history.append(float(loss.detach()))
    assert history[-1] <= history[0] / 10, (history[0], history[-1])
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
            module.reset_running_stats()
    with torch.no_grad():
        net(images)  # statistics of these weights
        found = Decode(10)(net.eval()(images))
    for i in range(2):
        sure = found.scores[i] > 0.5
        got = sorted(zip(found.labels[i][sure].tolist(), found.boxes[i][sure].tolist(), strict=True))
        assert [label for label, _ in got] == labels[i].tolist()
        assert torch.tensor([box for _, box in got]).sub(boxes[i]).abs().max() < 3  # pixels
