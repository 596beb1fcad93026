"""A small checkpoint that means something, in half a minute and without a download."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from edgekit import nets
from edgekit.data import PATTERNS, made_pictures
from edgekit.spec import ModelSpec, PreprocessSpec
from edgekit.training.checkpoint import Checkpoint
from edgekit.vision.preprocess import normalise, preprocess

BATCH = 32


def pattern_checkpoint(pictures: int = 384, size: int = 64, epochs: int = 6, seed: int = 0) -> Checkpoint:
    """A ResNet-18 trained briefly, from random weights, to tell the six made-up patterns apart.

    It shows the path from checkpoint to prediction, not what training reaches.

    Args:
        pictures: made from `seed`, to train on.
        size: side of the net's input in pixels.
        epochs: passes over the pictures, about 5 s each on two cores.
    """
    spec = ModelSpec("resnet18", PATTERNS, PreprocessSpec(size, size, shorter_side=size))
    dataset = made_pictures(pictures, seed=seed + 1000)
    pixels = np.stack([preprocess(sample.read(), spec.preprocess) for sample in dataset.samples])
    inputs = torch.from_numpy(normalise(pixels, spec.preprocess))
    labels = torch.tensor([sample.label for sample in dataset.samples])

    torch.manual_seed(seed)
    net = nets.build(spec).to(memory_format=torch.channels_last)
    steps = epochs * (pictures // BATCH)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=steps)
    net.train()
    for _ in range(epochs):
        for chosen in torch.randperm(pictures)[: steps // epochs * BATCH].reshape(-1, BATCH):
            batch = inputs[chosen]
            for axis in (2, 3):  # none of the patterns changes its name when mirrored
                batch = batch.flip(axis) if torch.rand(()) < 0.5 else batch
            logits = net(batch.contiguous(memory_format=torch.channels_last))
            loss = nn.functional.cross_entropy(logits, labels[chosen], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    recipe = {"made_by": "edgekit demo", "pictures": pictures, "epochs": epochs, "seed": seed}
    return Checkpoint(spec, net.state_dict(), recipe=recipe)
