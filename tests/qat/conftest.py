"""A tiny net, trained for a moment on smooth pictures whose colour tells the class."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekit import nets
from edgekit.api import train as training
from tests.training.conftest import TINY, TINY_NET

SHORT = ["schedule.epochs=2", "data.cache_mb=16"]


@dataclass(frozen=True)
class Trained:
    """Folders and files of one training, and of the quantized one that went on with it."""

    data: Path
    recipe: Path
    best: Path
    quantized: Path
    said: tuple[str, ...]


def write_smooth(folder: Path, count: int, seed: int) -> None:
    """Class folders of colour gradients; red or green is the stronger."""
    rng = np.random.default_rng(seed)
    for c, name in enumerate(("red", "green")):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            corners = rng.uniform(0, 140, (2, 2, 3))
            corners[..., c] += 60
            rows = np.linspace(corners[0], corners[1], 40)  # [40, 2, 3]
            picture = np.linspace(rows[:, 0], rows[:, 1], 48, axis=1)
            Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(folder / name / f"{i}.png")


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("qat")
    write_smooth(folder / "data" / "train", 20, 0)
    write_smooth(folder / "data" / "val", 10, 1)
    recipe = folder / "tiny.toml"
    recipe.write_text(TINY)
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(nets.NETS, "resnet18", TINY_NET)
        first = training.train(recipe, folder / "data", folder / "float", changes=SHORT)
        second = training.train(
            recipe, folder / "data", folder / "int8", changes=["schedule.epochs=2", "data.cache_mb=16"],
            resume_from=first.best, quantize="int8-x86", say=said.append,
        )  # fmt: skip
    return Trained(folder / "data", recipe, first.best, second.last, tuple(said))
