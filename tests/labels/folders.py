"""Small folders of pictures to be labelled."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from edgekit.labels.schema import Labels, Mark

WIDTH, HEIGHT = 60, 40
BOX = (10.25, 5.5, 30.125, 25.75)


def pictures(folder: Path, *names: str) -> Path:
    """Pictures of 60 x 40, each another one."""
    for i, name in enumerate(names or ("a.png", "b.png", "sub/c.png")):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(i).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
        Image.fromarray(noise).save(path)
    return folder


def labels(*boxes: tuple[float, float, float, float], label: int = 0, done: bool = True) -> Labels:
    return Labels(tuple(Mark(box, label) for box in boxes), done)


def yolo(folder: Path, *rows: tuple[str, str], names: str = "[bee, hornet]") -> Path:
    """Somebody's YOLO set: (picture's name, its label file)."""
    pictures(folder / "images", *(name for name, _ in rows))
    for name, text in rows:
        file = (folder / "labels" / name).with_suffix(".txt")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (folder / "data.yaml").write_text(f"train: images\nnames: {names}\n")
    return folder
