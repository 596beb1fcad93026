"""Trains the tiny net in a process of its own: to be killed, or to be one of several.

python runner.py PICTURES OUT [--resume] [--kill STEP] [key=value ...]
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

from edgekit import nets
from edgekit.config.recipe import parse_recipe
from edgekit.training.loop import run
from edgekit.training.tasks import make_task
from tests.training.conftest import TINY, TINY_NET


def main(arguments: list[str]) -> None:
    torch.set_num_threads(1)
    nets.NETS["resnet18"] = TINY_NET
    pictures, out, *rest = arguments
    resume = "--resume" in rest
    if "--kill" in rest:
        last = int(rest[rest.index("--kill") + 1])
        honest = run._Run._step

        def step(self: run._Run, *values: object) -> dict[str, float]:
            if self.progress.step == last:
                os.kill(os.getpid(), signal.SIGKILL)
            return honest(self, *values)  # type: ignore[arg-type]

        run._Run._step = step  # type: ignore[method-assign]
    recipe = parse_recipe(TINY, "tiny", [text for text in rest if "=" in text])
    run.train(make_task(recipe, Path(pictures)), recipe, Path(out), resume=resume)


if __name__ == "__main__":
    main(sys.argv[1:])
