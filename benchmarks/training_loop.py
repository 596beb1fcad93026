"""How fast is the training loop, compared with a bare one that feeds the same net from memory?

    python benchmarks/training_loop.py [--steps 12] [--rounds 3] [--precision fp32]

A (edgekit: decoded pictures, random crops and colours, clipped gradients, running mean of the weights, journal) and
B (the same net, batch, optimizer and loss on two tensors that are ready in memory) run in turn, A B A B, in one
process. What counts is the ratio of pictures a second: wall-clock figures on a shared machine drift, and where it is
never free, the ratio of processor time a step (of all threads; A's with its samples).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn

from edgekit.config.recipe import Recipe, load_recipe
from edgekit.data import Dataset, hive_pictures
from edgekit.training.classification import ClassificationTraining
from edgekit.training.loop.run import train
from edgekit.training.loop.schedule import freeze, make_optimizer
from edgekit.training.task import Batch

BATCH = 32


def present_or_absent(n: int, seed: int) -> Dataset:
    """Made pictures of a hive, labelled by whether a hornet is in them."""
    made = hive_pictures(n, seed)
    samples = tuple(
        replace(s, label=int(bool((s.box_labels == 1).any())), boxes=None, box_labels=None, ignored_boxes=None,
                ignored_labels=None) for s in made
    )  # fmt: skip
    return Dataset(samples, ("absent", "present"), "made")


class Timed(ClassificationTraining):
    """Notes the processor time at which each step begins."""

    began: list[float]

    def loss(self, net: nn.Module, batch: Batch) -> dict[str, Tensor]:
        self.began.append(time.process_time())
        return super().loss(net, batch)


def bare(task: ClassificationTraining, recipe: Recipe, steps: int) -> tuple[float, float]:
    """Pictures a second of the shortest loop that trains the same net, and its processor time a step."""
    net: nn.Module = task.net.to(memory_format=torch.channels_last).train()
    freeze(net, recipe.schedule, task.heads, trunk=False)
    optimizer = make_optimizer(net, recipe.schedule, task.heads)
    images = torch.randn(BATCH, 3, 224, 224).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, 2, (BATCH,))
    began, spent = time.perf_counter(), [time.process_time()]
    for _ in range(steps):
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.precision == "bf16"):
            logits = net(images)
        loss = nn.functional.cross_entropy(logits.float(), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        spent.append(time.process_time())
    return steps * BATCH / (time.perf_counter() - began), median_step(spent)


def median_step(began: list[float]) -> float:
    """Seconds from one moment to the next."""
    return statistics.median(b - a for a, b in pairwise(began))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    asked = parser.parse_args()
    recipe = load_recipe("resnet18-finetune", [
        "net.weights=none", f"precision={asked.precision}", "schedule.epochs=1", "schedule.probe_views=0",
        "compete.share=0",
        "schedule.refit_head=false", "schedule.frozen=[]", "schedule.norm_stats=train", f"schedule.batch={BATCH}",
        "schedule.warmup=0", "schedule.save_steps=100000", "input.size=224", "input.shorter_side=256",
    ])  # fmt: skip
    pictures, held = present_or_absent(asked.steps * BATCH, 0), present_or_absent(8, 1)
    ratios, ours, theirs, spent = [], [], [], []
    for round_ in range(asked.rounds + 1):
        with tempfile.TemporaryDirectory() as folder:
            task = Timed(recipe, pictures, held)
            task.began = []
            a = train(task, recipe, Path(folder)).images_per_second
        b, b_spent = bare(ClassificationTraining(recipe, pictures, held), recipe, asked.steps)
        if round_:  # the first warms up
            ours.append(a)
            theirs.append(b)
            ratios.append(a / b)
            spent.append(b_spent / median_step(task.began))
    result = {
        "edgekit": [round(v, 2) for v in ours],
        "bare": [round(v, 2) for v in theirs],
        "ratios": [round(r, 4) for r in ratios],
        "median_ratio": round(statistics.median(ratios), 4),
        "processor_time_ratios": [round(r, 4) for r in spent],
        "median_processor_time_ratio": round(statistics.median(spent), 4),
        "threads": torch.get_num_threads(),
        "precision": asked.precision,
        "torch": str(torch.__version__),
        "load": [round(v, 2) for v in os.getloadavg()],
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
