"""How well does a detector's training fill a GPU, compared with a bare loop that feeds the same net from its memory?

    python benchmarks/training_gpu.py [--data hornets/] [--recipe centernet-r18] [--size 512] [--batch 16]
                                      [--workers 14] [--precision bf16] [--epochs 6] [--compile]

A (edgekit: decoded pictures, mosaics, colours, targets, clipped gradients, running mean of the weights, journal) trains
for a few epochs, of which the first warms up; B is the same net, batch, loss and optimizer on one batch that lies
ready. The pause is what the first step of an epoch comes later than one of its midst does, the last step's numbers read
in between. Without a GPU all runs on the CPU, which the result says.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn

from edgekit.config.recipe import Recipe, load_recipe
from edgekit.data import Dataset, hive_pictures, load_dataset
from edgekit.training.detection import DetectionTraining
from edgekit.training.loop.run import train
from edgekit.training.loop.schedule import freeze, make_optimizer
from edgekit.training.task import Batch

PICTURES = 480


class Timed(DetectionTraining):
    """Notes when each step begins."""

    began: list[float]

    def loss(self, net: nn.Module, batch: Batch) -> dict[str, Tensor]:
        self.began.append(time.perf_counter())
        return super().loss(net, batch)


def pauses(began: list[float], steps: int) -> list[float]:
    """Seconds from the last step of an epoch to the first of the next, beyond a usual step's."""
    gaps = [b - a for a, b in pairwise(began)]
    usual = statistics.median(gaps)
    return [gap - usual for i, gap in enumerate(gaps, 1) if i % steps == 0]


def bare(task: DetectionTraining, recipe: Recipe, steps: int) -> float:
    """Pictures a second of the shortest loop that trains the same net."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    net: nn.Module = task.net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    freeze(net, recipe.schedule, task.heads, trunk=False)
    optimizer = make_optimizer(net, recipe.schedule, task.heads)
    called = torch.compile(net) if recipe.schedule.compile else net
    size = recipe.schedule.batch
    batch = {k: v.to(device) for k, v in task.collate([task.sample(i % len(task), i) for i in range(size)]).items()}
    for step in range(steps + 3):
        if step == 3:
            _wait(device)
            began = time.perf_counter()
        with torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bf16"):
            loss = task.loss(called, batch)["loss"]
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    _wait(device)
    return steps * size / (time.perf_counter() - began)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="pictures with boxes; default: a made hive")
    parser.add_argument("--recipe", default="centernet-r18")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--workers", type=int, default=14)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="bf16")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--pictures", type=int, default=PICTURES, help="of the made hive")
    parser.add_argument("--steps", type=int, default=100, help="of the bare loop")
    parser.add_argument("--compile", action="store_true")
    asked = parser.parse_args()
    recipe = load_recipe(asked.recipe, [
        "net.weights=none", f"precision={asked.precision}", f"schedule.epochs={asked.epochs}",
        f"schedule.batch={asked.batch}", f"data.workers={asked.workers}",
        f"schedule.compile={str(asked.compile).lower()}",
        f"schedule.evaluate_every={asked.epochs}", "schedule.save_steps=100000", "schedule.warmup=0",
        f"input.size={asked.size}", f"input.train_size={asked.size}",
    ])  # fmt: skip
    pictures: Dataset = load_dataset(asked.data, None, "train") if asked.data else hive_pictures(asked.pictures, 0)
    held = replace(pictures, samples=pictures.samples[:4])
    task = Timed(recipe, pictures, held)
    task.began = []
    with tempfile.TemporaryDirectory() as folder:
        rows = train(task, recipe, Path(folder)).rows
    ours = [row["images_per_second"] for row in rows if "images_per_second" in row][1:]
    between = pauses(task.began, len(task.began) // asked.epochs)[1:]
    theirs = bare(DetectionTraining(recipe, pictures, held), recipe, asked.steps)
    result = {
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "recipe": asked.recipe, "size": asked.size, "batch": asked.batch, "workers": asked.workers,
        "precision": asked.precision, "compiled": asked.compile,
        "edgekit": [round(value, 1) for value in ours], "bare": round(theirs, 1),
        "ratio": round(statistics.median(ours) / theirs, 3),
        "pause_ms": [round(value * 1e3, 1) for value in between],
        "torch": str(torch.__version__),
    }  # fmt: skip
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
