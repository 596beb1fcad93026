"""What a training sample of a detector costs: processor time of one thread, from the decoded picture to its targets.

    python benchmarks/training_samples.py [--data hornets/] [--recipe centernet-r18] [--size 512] [--samples 240]

A GPU waits where its workers cannot make samples as fast as it takes them: with 14 workers and 6 ms a sample they make
2,300 a second. Pictures are decoded before it begins, as in a training whose pictures fit into its cache.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from dataclasses import replace
from pathlib import Path

import torch

from edgekit.config.recipe import load_recipe
from edgekit.data import Dataset, hive_pictures, load_dataset, sample_evenly
from edgekit.training.detection import DetectionTraining

PICTURES, ROUNDS = 120, 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="pictures with boxes; default: a made hive")
    parser.add_argument("--recipe", default="centernet-r18")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--samples", type=int, default=240, help="of each of four rounds")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    changes = [f"input.size={asked.size}", f"input.train_size={asked.size}", "net.weights=none"]
    recipe = load_recipe(asked.recipe, changes)
    data: Dataset = load_dataset(asked.data, None, "train") if asked.data else hive_pictures(PICTURES, 0)
    few = sample_evenly(data, PICTURES)
    task = DetectionTraining(recipe, few, replace(few, samples=few.samples[:4]))
    rounds = []
    for i in range(ROUNDS + 1):
        began = time.process_time()
        for j in range(asked.samples):
            task.sample(j % len(task), i * asked.samples + j)
        rounds.append((time.process_time() - began) / asked.samples * 1e3)
    said = {
        "recipe": asked.recipe, "size": asked.size, "pictures": len(task), "threads": 1,
        "data": asked.data.name if asked.data else "made hive",
        "ms_a_sample": round(statistics.median(rounds[1:]), 2), "rounds": [round(value, 2) for value in rounds[1:]],
    }  # fmt: skip
    print(json.dumps(said, indent=2))


if __name__ == "__main__":
    main()
