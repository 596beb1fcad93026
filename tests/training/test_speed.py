"""What augmentation, running mean, checks and saving cost beside the net itself."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from edgekit import nets
from edgekit.recipe import load_recipe
from edgekit.training.loop import train
from edgekit.training.schedule import make_optimizer
from edgekit.training.task import normalised
from edgekit.training.tasks import make_task

PICTURES, BATCH, TURNS = 96, 32, 9


@pytest.mark.slow
def test_it_is_as_fast_as_a_bare_loop_from_memory(tmp_path: Path) -> None:
    """ResNet-18 at 224, all of it learning, photographs' sizes: pictures a second, ours and bare in turns.

    Bare is a loop over one ready float batch: net, loss, backward, the same optimizer. Issue 3, point 6.
    """
    torch.set_num_threads(2)  # a fixture of this folder has set one
    rng = np.random.default_rng(0)
    for split, count in (("train", PICTURES // 2), ("val", 1)):
        for name in ("ants", "bees"):
            (tmp_path / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)).resize((500, 375))
                pixels.save(tmp_path / split / name / f"{i}.jpg")
    changes = ["net.weights=none", "schedule.epochs=1", f"schedule.batch={BATCH}", "schedule.probe_views=0"]
    changes += ["schedule.refit_head=false", "schedule.norm_stats=train", "schedule.frozen=[]"]
    recipe = load_recipe("resnet18-finetune", changes)
    task = make_task(recipe, tmp_path)
    batch = task.collate([task.sample(i, i) for i in range(BATCH)])
    inputs, labels = normalised(batch["image"], task.spec.preprocess), batch["label"]
    steps = PICTURES // BATCH

    def bare() -> float:
        net = nets.build(task.spec).to(memory_format=torch.channels_last)
        optimizer = make_optimizer(net, recipe.schedule, ("fc",))
        began = time.perf_counter()
        for _ in range(steps):
            nn.functional.cross_entropy(net(inputs), labels).backward()
            optimizer.step()
            optimizer.zero_grad()
        return steps * BATCH / (time.perf_counter() - began)

    def ours(turn: int) -> float:
        return train(task, recipe, tmp_path / f"run{turn}").images_per_second

    bare(), ours(-1)  # both warm
    before, ratios, speeds = bare(), [], []
    for turn in range(TURNS):
        mine, after = ours(turn), bare()
        speeds.append((mine, (before + after) / 2))
        ratios.append(mine / speeds[-1][1])
        before = after
    said = "  ".join(f"{a:.1f}/{b:.1f}={r:.3f}" for (a, b), r in zip(speeds, ratios, strict=True))
    print(said)
    assert np.median(ratios) >= 0.95, said
