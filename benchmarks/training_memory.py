"""What a training step on a CPU costs with freed memory given back, as glibc does, and kept, as `edgekit train` does.

    python benchmarks/training_memory.py [--recipe centernet-mobile] [--size 384] [--batch 8] [--steps 4] [--rounds 3]

Each in a process of its own, in turn, on one batch that lies ready: processor time a step, of it the system's, pages
that the system had to find for it, and the most memory that the process held.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys

from edgekit.config.recipe import load_recipe
from edgekit.data import hive_pictures
from edgekit.memory import kept_when_freed
from edgekit.training.detection import DetectionTraining
from edgekit.training.loop.schedule import freeze, make_optimizer


def measured(asked: argparse.Namespace, keep: bool) -> dict[str, float]:
    recipe = load_recipe(
        asked.recipe, ["net.weights=none", f"input.size={asked.size}", f"input.train_size={asked.size}"]
    )
    made = hive_pictures(asked.batch, 0)
    task = DetectionTraining(recipe, made, made)
    freeze(task.net, recipe.schedule, task.heads, trunk=False)
    optimizer = make_optimizer(task.net, recipe.schedule, task.heads)
    batch = task.collate([task.sample(i, i) for i in range(asked.batch)])
    with kept_when_freed({}) if keep else contextlib.nullcontext():
        for step in range(asked.steps + 2):
            if step == 2:
                began = resource.getrusage(resource.RUSAGE_SELF)
            task.loss(task.net, batch)["loss"].backward()
            optimizer.step()
            optimizer.zero_grad()
        ended = resource.getrusage(resource.RUSAGE_SELF)
    system = (ended.ru_stime - began.ru_stime) / asked.steps
    return {
        "seconds": system + (ended.ru_utime - began.ru_utime) / asked.steps,
        "system_seconds": system,
        "pages": (ended.ru_minflt - began.ru_minflt) / asked.steps,
        "peak_mb": ended.ru_maxrss / 1024,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="centernet-mobile")
    parser.add_argument("--size", type=int, default=384)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", choices=("given back", "kept"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(measured(asked, asked.one == "kept")))
        return
    found: dict[str, list[dict[str, float]]] = {"given back": [], "kept": []}
    for _ in range(asked.rounds):
        for how, rounds in found.items():
            words = [sys.executable, *sys.argv, "--one", how]
            rounds.append(json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout))
    said = {how: {k: round(statistics.median(r[k] for r in rows), 3) for k in rows[0]} for how, rows in found.items()}
    ratios = [b["seconds"] / a["seconds"] for a, b in zip(*found.values(), strict=True)]
    threads = os.environ.get("OMP_NUM_THREADS", "all")
    print(json.dumps({**vars(asked), **said, "ratios": [round(r, 3) for r in ratios], "threads": threads}, indent=2))


if __name__ == "__main__":
    main()
