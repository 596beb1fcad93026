"""A small checkpoint that means something, in seconds and without a download."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from edgekit import nets
from edgekit.data import PATTERNS, made_pictures
from edgekit.spec import ModelSpec, PreprocessSpec
from edgekit.training.checkpoint import Checkpoint
from edgekit.vision.preprocess import normalise, preprocess


def pattern_checkpoint(pictures: int = 240, size: int = 128, seed: int = 0) -> Checkpoint:
    """A ResNet-18 that tells the six made-up patterns apart.

    The trunk stays random: BatchNorm takes the pictures' statistics, and the last layer is fitted to the trunk's
    features by ridge regression. It shows the path from checkpoint to camera, not what training reaches.

    Args:
        pictures: made with `seed`, to fit on.
        size: side of the net's input in pixels.
    """
    spec = ModelSpec("resnet18", PATTERNS, PreprocessSpec(size, size, shorter_side=size))
    torch.manual_seed(seed)
    net = nets.build(spec)
    assert isinstance(net, nets.ResNet)
    dataset = made_pictures(pictures, seed=seed + 1000)
    pixels = np.stack([preprocess(sample.read(), spec.preprocess) for sample in dataset.samples])
    inputs = torch.from_numpy(normalise(pixels, spec.preprocess))
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # a plain average over the batches below
    head, net.fc = net.fc, nn.Identity()  # type: ignore[assignment]
    with torch.no_grad():
        net.train()
        for batch in inputs.split(40):
            net(batch)
        net.eval()
        features = torch.cat([net(batch) for batch in inputs.split(40)]).double()
    centre, spread = features.mean(0), features.std(0) + 1e-6
    x = (features - centre) / spread
    labels = torch.tensor([sample.label for sample in dataset.samples])
    y = nn.functional.one_hot(labels, len(PATTERNS)).double() * 2 - 1
    ridge = x.T @ x + 0.05 * len(x) * torch.eye(x.shape[1], dtype=torch.float64)
    weight = torch.linalg.solve(ridge, x.T @ (y - y.mean(0))) / spread[:, None]
    sharpness = 4.0  # turns targets of -1 and +1 into logits that give telling probabilities
    with torch.no_grad():
        head.weight.copy_((weight.T * sharpness).float())
        head.bias.copy_(((y.mean(0) - centre @ weight) * sharpness).float())
    net.fc = head
    recipe = {"made_by": "edgekit demo", "pictures": pictures, "seed": seed}
    return Checkpoint(spec, net.state_dict(), recipe=recipe)
