"""Which way of fine-tuning is worth it: head alone, gentle, strong and the weights between them, on held-out pictures.

No fixed recipe serves near and far pictures alike: what teaches a net pollen on bees makes it forget ants. So each way
is tried on a part of the training pictures and measured on the rest of them; the validation pictures decide nothing,
so that what they say of the end is not what it was chosen by.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgekit.config.recipe import Compete, Recipe, Steps
from edgekit.errors import UsageError
from edgekit.training.loop.result import STATE
from edgekit.training.loop.run import train
from edgekit.training.task import Training

HALF = 0.5  # between start and end: near the best over many data sets (Wortsman et al. 2022, sec. 4.1)


@dataclass(frozen=True)
class Way:
    """One way of fine-tuning; no steps: the fitted head alone."""

    name: str
    steps: Steps | None = None
    mix: float = 0.0

    def of(self, recipe: Recipe) -> Recipe:
        """The recipe that goes this way."""
        steps = {"epochs": 0} if self.steps is None else self.steps.model_dump()
        schedule = recipe.schedule.model_copy(update={**steps, "mix": self.mix, "refit_head": False, "best": "last"})
        return recipe.model_copy(update={"schedule": schedule})


def ways(compete: Compete) -> tuple[Way, ...]:
    """From the one that changes least to the one that changes most; of equals the earlier wins."""
    return (
        Way("head"),
        *(
            Way(f"{name}{', half-way' if mix else ''}", steps, mix)
            for name, steps in (("gentle", compete.gentle), ("strong", compete.strong))
            for mix in (HALF, 0.0)
        ),
    )


def competed(
    recipe: Recipe, make: Callable[[Recipe], Training], out: Path, *, resume: bool, say: Callable[[str], None]
) -> Recipe:
    """The recipe of the way that wins, to be run on all training pictures.

    Args:
        make: the task of a recipe on a part of the training pictures, with the rest of them in validation's place.
        out: folder of the tries: gentle and strong, each a run of its own.
        resume: go on with tries that are there.
        say: is told what each way reached, and which won.

    Raises:
        UsageError: several processes.
        OutputError: `out` holds tries already and `resume` is False.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError(
            "The ways of fine-tuning compete in one process.",
            got=f"{os.environ['WORLD_SIZE']} processes",
            expected="one",
            fix="--set compete.share=0 trains as [schedule] says",
        )
    compete, scores = recipe.compete, {}
    for name, steps in (("gentle", compete.gentle), ("strong", compete.strong)):
        one, folder = Way(name, steps, HALF).of(recipe), out / name
        rows = train(make(one), one, folder, resume=resume and (folder / STATE).is_file(), say=say).rows
        scored = [row for row in rows if row.get("scored")]
        for told, row in (("head", scored[0]), (name, scored[-2]), (f"{name}, half-way", scored[-1])):
            scores[told] = _key(row, balanced=recipe.schedule.class_balance != "none")
    known = ways(compete)
    best = max(known, key=lambda way: scores[way.name])
    for way in known:
        say(f"competition: {way.name:16}  right {scores[way.name][0]:.4f}  nll {-scores[way.name][1]:.4f}")
    say(f"competition: {best.name} wins, and is done on all training pictures")
    return best.of(recipe)


def _key(row: Mapping[str, float], *, balanced: bool) -> tuple[float, float]:
    return row["balanced" if balanced and "balanced" in row else "top1"], -row["nll_calibrated"]
