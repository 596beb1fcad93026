"""A tiny net on a tiny set of made-up pictures, so that a whole training takes a second."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from edgekit import nets
from edgekit.config.recipe import Recipe, parse_recipe

TINY = """
name = "tiny"
[net]
arch = "resnet18"
[input]
train_size = 32
size = 32
shorter_side = 32
[augment]
crop = [0.6, 1.0]
brightness = 0.3
erasing = 0.3
[schedule]
epochs = 3
batch = 4
ema = 0.9
lr_head = 1e-2
lr_trunk = 1e-3
save_steps = 2
"""


class TinyNet(nn.Module):
    """Two convolutions, BatchNorm and dropout: what a resume must get right, in 2000 parameters."""

    def __init__(self, arch: str, classes: int, norm: str = "batch") -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, stride=4, bias=False)
        self.bn1 = nn.BatchNorm2d(8) if norm == "batch" else nn.GroupNorm(2, 8)
        self.conv2 = nn.Conv2d(8, 16, 3, stride=2, bias=False)
        self.drop = nn.Dropout(0.0 if os.environ.get("EDGEKIT_TEST_NO_DROPOUT") else 0.2)
        self.fc = nn.Linear(16, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        logits: Tensor = self.fc(self.drop(x.mean((2, 3))))
        return logits


TINY_NET = replace(nets.NETS["resnet18"], build=partial(TinyNet, "resnet18"))


def write_pictures(folder: Path, classes: Sequence[str], count: int, seed: int) -> None:
    """Class folders of small noise pictures whose mean colour tells the class."""
    rng = np.random.default_rng(seed)
    for c, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            pixels = rng.integers(0, 120, (40, 48, 3), dtype=np.uint8)
            pixels[..., c % 3] += 90
            Image.fromarray(pixels).save(folder / name / f"{i}.png")


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train/ with 2 x 10 pictures and val/ with 2 x 6."""
    folder = tmp_path_factory.mktemp("pictures")
    write_pictures(folder / "train", ("red", "green"), 10, 0)
    write_pictures(folder / "val", ("red", "green"), 6, 1)
    return folder


@pytest.fixture
def tiny_net(monkeypatch: pytest.MonkeyPatch) -> None:
    """`resnet18` is a TinyNet."""
    monkeypatch.setitem(nets.NETS, "resnet18", TINY_NET)


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    """One thread: what is tested here is too small for two."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


MakeRecipe = Callable[..., Recipe]


@pytest.fixture
def recipe() -> MakeRecipe:
    """The tiny recipe with changes, as `--set` takes them."""
    return lambda *changes: parse_recipe(TINY, "tiny", changes)
