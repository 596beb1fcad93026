"""Which way of fine-tuning is worth it: the fitted head, the fine-tuned net, or weights between, on held-out pictures.

No fixed recipe serves near and far pictures alike: what teaches a net pollen on bees makes it forget ants. So the way
of [schedule] is tried on a part of the training pictures, and its start, its end, weights between the two and its end
with the head fitted again answer for the rest of them. The validation pictures decide nothing, so that what they say
of the end is not what it was chosen by.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgekit.artifacts.atomic import write_bytes
from edgekit.checkpoints.checkpoint import load_checkpoint
from edgekit.config.recipe import Compete, Recipe
from edgekit.errors import UsageError
from edgekit.training.loop.choice import Choice, Labels, Logits, choose
from edgekit.training.loop.result import LAST, START, STATE
from edgekit.training.loop.run import train
from edgekit.training.loop.steps.ema import between
from edgekit.training.loop.steps.step import full_precision
from edgekit.training.task import Training

CHOICE = "competition.json"
PLAIN = "fine-tuned"  # the way that [schedule] says


@dataclass(frozen=True)
class Way:
    """One way of fine-tuning.

    Attributes:
        name: what is told of it.
        learns: whether it goes through the epochs of [schedule]; otherwise the fitted head is all.
        mix: share of the starting weights in the end.
        refit: whether the head is fitted again at the end.
    """

    name: str
    learns: bool = True
    mix: float = 0.0
    refit: bool = False

    def of(self, recipe: Recipe) -> Recipe:
        """The recipe that goes this way, to its end: no epoch is chosen."""
        schedule = recipe.schedule
        update = {"mix": self.mix, "refit_head": self.refit, "best": "last", "patience": 0}
        update["epochs"] = schedule.epochs if self.learns else 0
        update["freeze_epochs"] = schedule.freeze_epochs if self.learns else 0
        return recipe.model_copy(update={"schedule": schedule.model_copy(update=update)})


def ways(compete: Compete) -> tuple[Way, ...]:
    """From the one that changes least to the one that changes most."""
    between = sorted(compete.mixes, reverse=True)
    return (
        Way("head", learns=False),
        *(Way(f"fine-tuned with {mix:.0%} of the start", mix=mix) for mix in between),
        Way(PLAIN),
        Way("fine-tuned, head fitted again", refit=True),
    )


def competed(
    recipe: Recipe,
    make: Callable[[Recipe], Training],
    out: Path,
    *,
    share: float,
    resume: bool,
    say: Callable[[str], None],
) -> tuple[Recipe, Choice]:
    """The recipe of the way that is worth it, to be run on all training pictures, and what it was chosen by.

    Args:
        make: the task of a recipe on a part of the training pictures, with the rest of them in validation's place.
        out: folder of the try, a run of its own, and of competition.json.
        share: of the training pictures that `make` trains on. The try has as many steps as a run on all of them: in the
            few of its own epochs a net would hardly change, and the head would win for that alone.
        resume: go on with a try that is there.
        say: is told what each way reached, and which is worth it.

    Raises:
        UsageError: several processes.
        OutputError: `out` holds a try already and `resume` is False.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError(
            "The ways of fine-tuning compete in one process.",
            got=f"{os.environ['WORLD_SIZE']} processes",
            expected="one",
            fix="--set compete.share=0 trains as [schedule] says",
        )
    known = ways(recipe.compete)
    one = Way("the try").of(recipe)
    epochs = round(one.schedule.epochs / share)
    schedule = one.schedule.model_copy(update={"epochs": epochs, "evaluate_every": max(1, epochs)})
    one = one.model_copy(update={"schedule": schedule})
    task = make(one)
    train(task, one, out, resume=resume and (out / STATE).is_file(), keep_start=True, say=say)
    logits, labels = _answers(task, out, known)
    balanced = recipe.schedule.class_balance != "none"
    choice = choose(labels, logits, PLAIN, 1 / np.bincount(labels)[labels] if balanced else None)
    write_bytes(out / CHOICE, json.dumps(choice.to_dict(), indent=2).encode(), overwrite=True)
    for way in choice.told:
        say(
            f"competition: {way.name:34} {way.right} of {choice.pictures} right  nll {way.nll:.4f}  "
            f"gain {way.gain:+.4f}, standard error {way.error:.4f}"
        )
    say(f"competition: {choice.why()}")
    return next(way for way in known if way.name == choice.won).of(recipe), choice


def _answers(task: Training, run: Path, known: tuple[Way, ...]) -> tuple[dict[str, Logits], Labels]:
    """What the net of each way says of the held-out pictures, and their labels."""
    start, end = (load_checkpoint(run / name).state_dict for name in (START, LAST))
    net, logits, labels = task.net.eval(), {}, np.zeros(0, np.int64)
    for way in known:
        net.load_state_dict(between(start, end, way.mix if way.learns else 1.0))
        with full_precision():
            if way.refit:
                task.start(net)
            logits[way.name], labels = task.answers(net)
    return logits, labels
