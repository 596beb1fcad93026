"""Pictures made to fool a net: FGSM, PGD and a patch, in pixel space, untargeted.

Everything is in 0..1 pixels in the net's channel order, before the normalization, so `eps` is a share of the range and
8 / 255 is eight grey levels. The loss is the cross-entropy of the true class.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgekit.errors import UsageError
from edgekit.spec import PreprocessSpec

STEPS = 10
PATCH_STEPS = 40
BATCH = 16


class PixelNet(nn.Module):
    """A classifier that takes pixels 0..1, [N, 3, H, W] in the net's channel order, and normalizes them itself."""

    def __init__(self, net: nn.Module, spec: PreprocessSpec) -> None:
        super().__init__()
        self.net = net
        self.mean = torch.tensor(spec.mean)[:, None, None]
        self.std = torch.tensor(spec.std)[:, None, None]
        self.eval()  # all of it: attack libraries put the mode of the outermost module back, and BatchNorms with it

    def forward(self, x: Tensor) -> Tensor:  # [N, 3, H, W]
        logits: Tensor = self.net((x - self.mean) / self.std)  # [N, C]
        return logits


def gradient(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """d loss / d pixels, [N, 3, H, W]; each picture's own, whatever else is in the batch."""
    held = x.detach().requires_grad_(True)
    loss = nn.functional.cross_entropy(net(held), y, reduction="sum")
    (slope,) = torch.autograd.grad(loss, held)
    return slope


def fgsm(net: nn.Module, x: Tensor, y: Tensor, eps: float, slope: Tensor | None = None) -> Tensor:
    """One step of `eps` along the sign of the gradient (Goodfellow, Shlens and Szegedy 2015).

    Args:
        net: takes pixels 0..1 (`PixelNet`).
        x: [N, 3, H, W], 0..1.
        y: [N], true classes.
        eps: 0..1, the largest change of any pixel.
        slope: `gradient(net, x, y)`, where it is known: it is the same for every eps.
    """
    _check(eps)
    return (x + eps * (gradient(net, x, y) if slope is None else slope).sign()).clamp(0, 1)


def pgd(
    net: nn.Module, x: Tensor, y: Tensor, eps: float, steps: int = STEPS, alpha: float | None = None,
    seed: int | None = 0,
) -> Tensor:  # fmt: skip
    """`steps` steps of `alpha` along the sign, each brought back to within `eps` (Madry et al. 2018).

    Args:
        alpha: default 2.5 eps / steps, so that the ball's edge can be reached from anywhere in it (ibid.).
        seed: of the random start inside the ball; None starts at the picture itself.
    """
    _check(eps)
    step = 2.5 * eps / steps if alpha is None else alpha
    moved = x.clone()
    if seed is not None:
        noise = torch.rand(x.shape, generator=torch.Generator().manual_seed(seed))
        moved = (x + eps * (2 * noise - 1)).clamp(0, 1)
    for _ in range(steps):
        moved = moved + step * gradient(net, moved, y).sign()
        moved = (x + (moved - x).clamp(-eps, eps)).clamp(0, 1)
    return moved.detach()


def patch(
    net: nn.Module, x: Tensor, y: Tensor, side: int, steps: int = PATCH_STEPS, rate: float = 0.05, seed: int = 0
) -> Tensor:
    """[3, side, side], one patch that fools the net wherever it lies (Brown et al. 2017, untargeted).

    Args:
        x, y: pictures that it is made on; score it on others.
        side: pixels.
    """
    if not 0 < side < min(x.shape[2:]):
        raise UsageError("The patch does not fit.", got=f"{side} pixels", expected=f"1 to {min(x.shape[2:]) - 1}")
    rng = torch.Generator().manual_seed(seed)
    made = torch.rand((3, side, side), generator=rng)
    for _ in range(steps):
        picked = torch.randperm(len(x), generator=rng)[:BATCH]
        corners = patch_corners(len(picked), x.shape, side, rng)
        held = made.clone().requires_grad_(True)
        loss = nn.functional.cross_entropy(net(pasted(x[picked], held, corners)), y[picked])
        (slope,) = torch.autograd.grad(loss, held)
        made = (made + rate * slope.sign()).clamp(0, 1)
    return made.detach()


def patch_corners(n: int, shape: Sequence[int], side: int, rng: torch.Generator) -> Tensor:
    """[n, 2], top and left of a patch inside pictures of `shape` [N, 3, H, W]."""
    top = torch.randint(0, shape[2] - side + 1, (n,), generator=rng)
    left = torch.randint(0, shape[3] - side + 1, (n,), generator=rng)
    return torch.stack([top, left], dim=1)


def pasted(x: Tensor, made: Tensor, corners: Tensor) -> Tensor:
    """Copies of the pictures with the patch at their corners."""
    out = x.clone()
    side = made.shape[-1]
    for i, (top, left) in enumerate(corners.tolist()):
        out[i, :, top : top + side, left : left + side] = made
    return out


def to_pixels(x: Tensor, spec: PreprocessSpec) -> NDArray[np.uint8]:
    """uint8 [N, H, W, 3] BGR of 0..1 pixels, rounded to whole grey levels as a camera gives them.

    A step of half a level so becomes a whole one in about half of the pixels and none in the others.
    """
    levels = (x * 255).round().clamp(0, 255).to(torch.uint8).numpy().transpose(0, 2, 3, 1)
    return np.ascontiguousarray(levels[..., ::-1] if spec.color == "rgb" else levels)


def from_pixels(pixels: NDArray[np.uint8], spec: PreprocessSpec) -> Tensor:
    """[N, 3, H, W] in 0..1 of uint8 [N, H, W, 3] BGR."""
    ordered = pixels[..., ::-1] if spec.color == "rgb" else pixels
    return torch.from_numpy(np.ascontiguousarray(ordered.transpose(0, 3, 1, 2))).float() / 255


def _check(eps: float) -> None:
    if not 0 <= eps <= 1:
        raise UsageError("eps is a share of the range.", got=str(eps), expected="0 to 1, such as 8 / 255")
