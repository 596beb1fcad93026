from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgekit.data import made_pictures
from edgekit.errors import UsageError
from edgekit.spec import ModelSpec, PreprocessSpec
from edgekit.training.attacks import PixelNet, fgsm, from_pixels, gradient, pasted, patch, patch_corners, pgd, to_pixels
from edgekit.vision.preprocess import preprocess

SPEC = PreprocessSpec(32, 32, shorter_side=36)
EPS = [e / 255 for e in (0.5, 1, 2, 4, 8)]


@pytest.fixture(scope="module")
def trained() -> tuple[PixelNet, Tensor, Tensor]:
    """A small net that knows its pictures, so that there is something to attack."""
    torch.manual_seed(0)
    samples = made_pictures(60, seed=2).samples
    x = from_pixels(np.stack([preprocess(s.read(), SPEC) for s in samples]), SPEC)
    y = torch.tensor([s.label for s in samples])
    net = nn.Sequential(
        nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(2048, 6)
    )
    whole = PixelNet(net, SPEC)
    net.train()
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(whole(x), y).backward()
        optimizer.step()
    net.eval()
    assert accuracy(whole, x, y) > 0.95
    return whole, x, y


def accuracy(net: nn.Module, x: Tensor, y: Tensor) -> float:
    with torch.inference_mode():
        return float((net(x).argmax(1) == y).float().mean())


@pytest.mark.parametrize("attack", [fgsm, pgd])
def test_accuracy_falls_with_eps_and_no_pixel_moves_further(
    attack: object, trained: tuple[PixelNet, Tensor, Tensor]
) -> None:
    net, x, y = trained
    found = [accuracy(net, x, y)]
    for eps in EPS:
        moved = attack(net, x, y, eps)  # type: ignore[operator]
        assert float((moved - x).abs().max()) <= eps + 1e-6
        assert 0 <= float(moved.min()) <= float(moved.max()) <= 1
        found.append(accuracy(net, moved, y))
    assert found == sorted(found, reverse=True)
    assert found[-1] < found[0] - 0.4


def test_pgd_is_at_least_as_strong_as_fgsm(trained: tuple[PixelNet, Tensor, Tensor]) -> None:
    net, x, y = trained
    for eps in EPS:
        assert accuracy(net, pgd(net, x, y, eps), y) <= accuracy(net, fgsm(net, x, y, eps), y) + 0.02


def test_no_eps_is_no_attack(trained: tuple[PixelNet, Tensor, Tensor]) -> None:
    net, x, y = trained
    assert torch.equal(fgsm(net, x, y, 0), x)
    assert torch.equal(pgd(net, x, y, 0), x)


def test_a_pictures_gradient_does_not_depend_on_its_neighbours(trained: tuple[PixelNet, Tensor, Tensor]) -> None:
    net, x, y = trained
    alone, together = gradient(net, x[:1], y[:1]), gradient(net, x[:8], y[:8])
    assert torch.allclose(alone[0], together[0], atol=1e-6)


def test_equal_to_a_known_library(trained: tuple[PixelNet, Tensor, Tensor]) -> None:
    """Every eps that the reports know and smaller ones: pixel for pixel, so that no accuracy can differ."""
    foolbox = pytest.importorskip("foolbox", reason="foolbox is not installed")
    net, x, y = trained
    model = foolbox.PyTorchModel(net, bounds=(0, 1), device="cpu")
    single = foolbox.attacks.LinfFastGradientAttack(random_start=False)
    many = foolbox.attacks.LinfPGD(rel_stepsize=2.5 / 10, steps=10, random_start=False)
    for eps in (0.1 / 255, 0.25 / 255, *EPS):
        for attack, ours in ((single, fgsm(net, x, y, eps)), (many, pgd(net, x, y, eps, seed=None))):
            theirs = attack(model, x, y, epsilons=eps)[1]
            # a gradient of nearly nothing may have either sign
            assert float(((theirs - ours).abs() > 1e-6).float().mean()) < 1e-3
            assert abs(accuracy(net, theirs, y) - accuracy(net, ours, y)) <= 0.01


def test_a_patch_fools_pictures_that_it_was_not_made_on(trained: tuple[PixelNet, Tensor, Tensor]) -> None:
    net, x, y = trained
    made = patch(net, x[::2], y[::2], 12)
    corners = patch_corners(30, x.shape, 12, torch.Generator().manual_seed(3))
    noise = torch.rand((3, 12, 12), generator=torch.Generator().manual_seed(4))
    fooled = accuracy(net, pasted(x[1::2], made, corners), y[1::2])
    assert fooled < accuracy(net, pasted(x[1::2], noise, corners), y[1::2])
    changed = (pasted(x[1::2], made, corners) != x[1::2]).any(dim=1).sum(dim=(1, 2))
    assert int(changed.max()) <= 144


@pytest.mark.parametrize("color", ["rgb", "bgr"])
def test_pixels_there_and_back(color: str) -> None:
    spec = PreprocessSpec(32, 32, shorter_side=36, color=color)  # type: ignore[arg-type]
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    assert np.array_equal(to_pixels(from_pixels(pixels, spec), spec), pixels)


def test_the_pixel_net_is_the_net_on_normalized_input(trained: tuple[PixelNet, Tensor, Tensor]) -> None:
    from edgekit.vision.preprocess import normalise

    net, x, _ = trained
    inputs = torch.from_numpy(normalise(to_pixels(x, SPEC), SPEC))
    with torch.inference_mode():
        assert torch.allclose(net(x), net.net(inputs), atol=1e-4)
    assert ModelSpec("resnet18", ("a",), SPEC).preprocess == SPEC


def test_the_pixel_net_is_in_evaluation_mode_as_a_whole() -> None:
    """What puts the outer module's mode back, as torchattacks does, must not switch the BatchNorms to training."""
    whole = PixelNet(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).train(), SPEC)
    whole.train(whole.training)
    assert not any(m.training for m in whole.modules())


def test_values_out_of_range(trained: tuple[PixelNet, Tensor, Tensor]) -> None:
    net, x, y = trained
    with pytest.raises(UsageError, match="share of the range"):
        fgsm(net, x, y, 8)
    with pytest.raises(UsageError, match="does not fit"):
        patch(net, x, y, 32)
