"""Fine-tuning a classifier on sets near ImageNet and far from it, by one recipe, with no knob turned for a set.

    python benchmarks/finetuning.py --weights resnet18.pth [--near hymenoptera/] [--cells bccd-voc/] [--seeds 3]
        [--pollen bees-and-hornets/] [--set precision=bf16] [--out finetuning/] [--schedule] [--only NAME]
        [--recipe resnet18-finetune]

Sets: class folders given by --near; single blood cells by their kind, cut out of a Pascal VOC set given by --cells;
real bees cut out of a set with boxes given by --pollen, every other one with two spots painted on it, as pollen looks;
and bees and hornets cut out of pictures of made hives, 16 to 80 pixels long, blurred and in any light. Each is trained
as `edgekit train` does, with the competition. Of the validation pictures, which chose nothing, stand there: the fitted
head (row 0 of the last run) and what was worth it; with --schedule also what [schedule] makes without a competition.
Finished rows are kept in OUT, and not made again.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgekit.api.train import train
from edgekit.artifacts.atomic import write_bytes
from edgekit.data import hive_pictures, load_dataset
from edgekit.data.sample import Sample
from edgekit.vision.image import Frame, encode_picture

CONTEXT = 1.3  # side of a cut-out in longer sides of its box
INSECT = 16  # pixels
HIVES = {"train": 120, "val": 120}
CELLS_A_CLASS = {"train": 70, "val": 80}
INSECTS_A_CLASS = {"train": 100, "val": 100}
BEES_A_CLASS = {"train": 286, "val": 72}


def cut_out(frame: Frame, box: Sequence[float]) -> Frame:
    """The square around a box, as far as it lies in the frame."""
    x0, y0, x1, y1 = (float(v) for v in box)
    x, y, half = (x0 + x1) / 2, (y0 + y1) / 2, max(x1 - x0, y1 - y0) * CONTEXT / 2
    top, left = max(0, round(y - half)), max(0, round(x - half))
    return np.ascontiguousarray(frame[top : round(y + half), left : round(x + half)])


def write(folder: Path, frames: Iterator[Frame], count: int) -> None:
    """At most `count` of the frames, as JPEG."""
    folder.mkdir(parents=True)
    for i, frame in enumerate(itertools.islice(frames, count)):
        write_bytes(folder / f"{i:04d}.jpg", encode_picture(frame, ".jpg"))


def cells(voc: Path, split: str) -> Iterator[tuple[str, Iterator[Frame]]]:
    """Of each class the first cell of every picture; val and test are held out."""
    names = ("train",) if split == "train" else ("val", "test")
    parts = [load_dataset(voc, split=name) for name in names]
    for label, name in enumerate(parts[0].classes or ()):
        yield name, (cut_out(s.read(), box) for s in itertools.chain(*parts) for box in _of(s, label, least=8)[:1])


def insects(split: str) -> Iterator[tuple[str, Iterator[Frame]]]:
    """Bees and hornets of made hives, none of a held-out picture in a hive of the others."""
    made = hive_pictures(HIVES[split], seed=0 if split == "train" else 1)
    for label, name in enumerate(made.classes or ()):
        yield name, (cut_out(s.read(), box) for s in made for box in _of(s, label, INSECT)[:2])


def bees(boxes: Path, split: str) -> Iterator[tuple[str, Iterator[Frame]]]:
    """The bees of a set's pictures, with pollen painted on every other one."""
    data = load_dataset(boxes, split=split)
    label = next(i for i, name in enumerate(data.classes or ()) if "bee" in name.lower())
    found = [cut_out(s.read(), box) for s in data for box in _of(s, label, INSECT)]
    rng = np.random.default_rng(0)
    yield "plain", iter(found[::2])
    yield "pollen", (with_pollen(frame, rng) for frame in found[1::2])


def with_pollen(frame: Frame, rng: np.random.Generator) -> Frame:
    """Two soft yellow spots near the middle, a tenth to a fifth of the shorter side across."""
    height, width = frame.shape[:2]
    y, x = np.mgrid[:height, :width]
    painted = frame.astype(np.float64)
    color = rng.uniform((30, 140, 215), (80, 190, 250))
    for _ in range(2):
        at = (0.5 + rng.uniform(-0.2, 0.2, 2)) * (height, width)
        radius = rng.uniform(0.05, 0.1) * min(height, width)
        share = 0.85 * np.clip(1.5 - np.hypot(y - at[0], x - at[1]) / radius, 0, 1)[..., None]
        painted = painted * (1 - share) + share * (color + rng.normal(0, 12, (height, width, 1)))
    return painted.clip(0, 255).astype(np.uint8)


def _of(sample: Sample, label: int, least: float) -> list[Any]:
    """Boxes of this class with a side of at least `least` pixels."""
    assert sample.boxes is not None
    assert sample.box_labels is not None
    return [b for b in sample.boxes[sample.box_labels == label] if max(b[2] - b[0], b[3] - b[1]) >= least]


def made_set(
    folder: Path, of_split: Callable[[str], Iterator[tuple[str, Iterator[Frame]]]], counts: dict[str, int]
) -> Path:
    """`folder` with train/ and val/, made where it is not there."""
    for split, count in counts.items():
        if not (folder / split).is_dir():
            for name, frames in of_split(split):
                write(folder / split / name, frames, count)
    return folder


def row(name: str, data: Path, seed: int, asked: argparse.Namespace) -> dict[str, Any]:
    """One training with its competition."""
    changes = [f"net.weights={asked.weights}", f"schedule.seed={seed}", *asked.set]
    began = time.process_time()
    run = asked.out / f"{name}-{seed}"
    result = train(asked.recipe, data, run, changes=changes, say=print, resume=(run / "tries").is_dir())
    spent = time.process_time() - began
    assert result.choice is not None
    n = len(load_dataset(data / "val"))
    head = next(r for r in result.rows if r.get("scored") and r["epoch"] == 0)
    said = {"set": name, "seed": seed, "held_back": n,
            "head": round(head["top1"] * n), "head_nll": head["nll_calibrated"],
            "chosen": round(result.final["top1"] * n), "chosen_nll": result.final["nll_calibrated"],
            "process_s": round(spent, 1), "competition": result.choice.to_dict()}  # fmt: skip
    if asked.schedule:
        began = time.process_time()
        plain = train(asked.recipe, data, asked.out / f"{name}-{seed}-schedule", changes=[*changes, "compete.share=0"])
        said |= {"schedule": round(plain.final["top1"] * n), "schedule_process_s": time.process_time() - began}
    return said


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--near", type=Path, help="class folders train/ and val/ of pictures like ImageNet's")
    parser.add_argument("--cells", type=Path, help="a Pascal VOC set of blood cells")
    parser.add_argument("--pollen", type=Path, help="pictures with boxes of bees, among others")
    parser.add_argument("--only", help="one set: near, cells, pollen or hive")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--recipe", default="resnet18-finetune")
    parser.add_argument("--set", action="append", default=[], help="of the recipe, for all sets alike")
    parser.add_argument("--schedule", action="store_true", help="also without a competition")
    parser.add_argument("--out", type=Path, default=Path("finetuning"))
    asked = parser.parse_args()
    torch.set_num_threads(1)
    sets = {"near": asked.near} if asked.near else {}
    if asked.cells:
        sets["cells"] = made_set(asked.out / "cells", lambda split: cells(asked.cells, split), CELLS_A_CLASS)
    if asked.pollen:
        sets["pollen"] = made_set(asked.out / "pollen", lambda split: bees(asked.pollen, split), BEES_A_CLASS)
    if asked.only in (None, "hive"):
        sets["hive"] = made_set(asked.out / "hive", insects, INSECTS_A_CLASS)
    sets = {name: data for name, data in sets.items() if asked.only in (None, name)}
    rows = []
    for seed, (name, data) in itertools.product(range(asked.seeds), sets.items()):
        kept = asked.out / f"{name}-{seed}.json"
        if not kept.is_file():
            write_bytes(kept, json.dumps(row(name, data, seed, asked), indent=2).encode(), overwrite=True)
        rows.append(json.loads(kept.read_text()))
    write_bytes(asked.out / "finetuning.json", json.dumps(rows, indent=2).encode(), overwrite=True)
    for name in sets:
        mine = [r for r in rows if r["set"] == name]
        for what in ("head", "chosen", *(("schedule",) if asked.schedule else ())):
            mean = statistics.mean(r[what] / r["held_back"] for r in mine)
            print(f"{name:6} {what:9} {mean:7.2%}  {[r[what] for r in mine]} of {mine[0]['held_back']}")
        print(f"{name:6} {'won':9} {[r['competition']['won'] for r in mine]}")


if __name__ == "__main__":
    main()
