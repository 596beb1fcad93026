"""The checkpoints and the state that a run keeps in its folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgekit.checkpoints.checkpoint import load_checkpoint
from edgekit.config.recipe import Recipe
from edgekit.spec import ModelSpec
from edgekit.training.loop.result import BEST, LAST, STATE
from edgekit.training.loop.state import Progress, save_state, write_checkpoint
from edgekit.training.loop.steps.learner import Learner
from edgekit.training.task import Score, Training


class RunFiles:
    """Writes them as the run goes on; on a process that is not the first it does nothing.

    Args:
        content: of the state that the run goes on from, or None.
        active: False on all processes but the first.

    Attributes:
        changed: whether there is something that was not saved.
    """

    def __init__(
        self,
        folder: Path,
        task: Training,
        recipe: Recipe,
        learner: Learner,
        progress: Progress,
        content: Mapping[str, Any] | None,
        *,
        active: bool,
    ) -> None:
        self.folder = folder
        self._task, self._recipe, self._learner, self._progress = task, recipe, learner, progress
        self._active = active
        self._spec = task.spec if content is None else ModelSpec.from_dict(content["spec"])
        self._metrics: Mapping[str, float] = {} if content is None else content["metrics"]
        self.changed = False

    def scored(self, score: Score) -> None:
        """Takes what an evaluation of the mean gave, for all that is written from now on."""
        self._spec, self._metrics, self.changed = score.spec, score.metrics, True

    def save(self) -> None:
        """The state and last.pt, of one moment."""
        if not self._active:
            return
        content = {
            "recipe": self._recipe.model_dump(mode="json"),
            "digest": self._task.digest(),
            "spec": self._spec.to_dict(),
            "metrics": dict(self._metrics),
            **self._learner.state_dict(),
        }
        save_state(self.folder / STATE, content, self._progress)
        self.write(LAST)
        self.changed = False

    def write(self, name: str) -> None:
        """The mean as the checkpoint `name`."""
        if not self._active:
            return
        progress, figures = self._progress, dict[str, float]()
        if progress.scored:  # between two evaluations the figures at hand are those of other weights
            figures = {**self._metrics, "epoch": progress.rows[-1]["epoch"]}
        figures["step"] = progress.step
        write_checkpoint(self.folder / name, self._task, self._recipe, self._spec, self._learner.ema, figures)

    def figures(self) -> tuple[Mapping[str, float], Mapping[str, float]]:
        """What best.pt and last.pt say of themselves."""
        if self._active:
            return load_checkpoint(self.folder / BEST).metrics, load_checkpoint(self.folder / LAST).metrics
        rows = [row for row in self._progress.rows if row.get("scored")]  # its disk may be another machine's
        return next((row for row in rows if row.get("best")), rows[-1]), rows[-1]
