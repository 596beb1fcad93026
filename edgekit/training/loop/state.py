"""The state of a training on disk, whole enough that a killed run goes on as if nothing had happened.

It lies beside last.pt as last.state.pt, holds tensors and plain data only, and loads with `weights_only=True`.
"""

from __future__ import annotations

import contextlib
import errno
import random
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgekit.artifacts.atomic import atomic, reason
from edgekit.checkpoints.checkpoint import Checkpoint, save_checkpoint
from edgekit.checkpoints.tensors import read_tensors
from edgekit.config.net import Net, names_of_today
from edgekit.config.recipe import Compete, Recipe
from edgekit.errors import CheckpointError, OutputError, UsageError
from edgekit.spec import ModelSpec
from edgekit.training.loop.steps.ema import Ema
from edgekit.training.task import Training

FORMAT = 1
# what may differ between a run and its continuation, because no pixel and no step depends on it
_FREE = {
    *(("data", name) for name in ("path", "workers", "cache_mb", "credit")),
    *(("schedule", "save_steps"), ("net", "weights"), ("threshold", "precision"), ("threshold", "false_alarms")),
}


# what recipes say since runs were first written, and what it was before
ADDED: dict[str, dict[str, Any]] = {
    "compete": Compete.model_validate({}).model_dump(mode="json"),
    "input": {"mean": None, "std": None},
    "data": {"also": [], "credit": ""},
    "augment": {"paste": 0.0},
    "loss": {"dice": 1.0},
    "schedule": {"mix": 0.0, "best": "validation", "compile": False},
}


@dataclass
class Progress:
    """Where a training stands.

    Attributes:
        step: optimizer steps done; epoch and position in the epoch follow from it.
        sums, count: of this epoch's losses so far.
        rows: metrics of the epochs that are done.
        best: key of the best score, or None before the first.
        best_epoch: when that was, counted from 1.
        skipped: pictures that could not be read in mid-epoch.
        stopped: nothing got better for too long.
        refitted: whether the head was fitted again at the end.
        mixed: whether the starting weights were mixed in at the end.
    """

    step: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    count: int = 0
    rows: list[dict[str, float]] = field(default_factory=list)
    best: list[float] | None = None
    best_epoch: int = 0
    skipped: list[str] = field(default_factory=list)
    stopped: bool = False
    refitted: bool = False
    mixed: bool = False

    @property
    def scored(self) -> bool:
        """Whether the last row's figures are those of the mean as it is now."""
        return self.count == 0 and bool(self.rows) and "scored" in self.rows[-1]


def random_state() -> dict[str, Any]:
    """The state of every generator a net or a task may use, as plain data."""
    kind, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": [str(kind), torch.from_numpy(np.asarray(keys).astype(np.int64)), position, has_gauss, gauss],
        "python": random.getstate(),
    }


def restore_random(state: Mapping[str, Any]) -> None:
    """Inverse of `random_state`."""
    torch.set_rng_state(state["torch"])
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))


def check_state(path: Path, resume: bool) -> None:
    """Raises OutputError where a run's state, `path`, is not there to go on with, or is there and would be lost."""
    if resume and not path.is_file():
        raise OutputError(
            f"{path.parent} holds no training to go on with.", got=f"no {path.name}", fix="leave --resume out"
        )
    if path.exists() and not resume:
        raise OutputError(
            f"{path.parent} holds a training already.",
            got=path.name,
            fix="--resume goes on with it, or another --out",
        )


def save_state(path: Path, content: Mapping[str, Any], progress: Progress) -> None:
    """Writes `content` (state dicts, recipe, digest) and `progress`, atomically.

    Raises:
        OutputError: the folder cannot be written to or the disk is full; an earlier file stays as it was.
    """
    whole = {"edgekit_state": FORMAT, **content, "progress": asdict(progress), "random": random_state()}
    with telling_why(path), atomic(path, overwrite=True) as stream:
        torch.save(whole, stream)


def write_checkpoint(
    path: Path, task: Training, recipe: Recipe, spec: ModelSpec, ema: Ema, metrics: Mapping[str, float]
) -> None:
    """Writes the mean of the weights as a checkpoint, atomically. Raises OutputError as `save_state`."""
    checkpoint = Checkpoint(
        spec,
        **task.stored(ema.net),
        metrics=metrics,
        recipe=recipe.model_dump(mode="json"),
        trained_on=task.trained_on,
    )
    with telling_why(path):
        save_checkpoint(path, checkpoint, overwrite=True)


@contextlib.contextmanager
def telling_why(path: Path) -> Iterator[None]:
    """Turns what torch's zip writer raises on a full disk, a RuntimeError about positions, into an OutputError."""
    try:
        yield
    except RuntimeError as error:
        cause = error.__context__
        full = isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT)
        raise OutputError(
            f"{path} could not be written{': the disk is full' if full else ''}.",
            got=reason(cause) if isinstance(cause, OSError) else str(error).splitlines()[0][:200],
            expected="enough room on the disk",
            fix="free some space and go on with --resume; the earlier files are whole",
        ) from error


def load_state(path: Path, recipe: Mapping[str, Any], digest: str) -> tuple[Mapping[str, Any], Progress]:
    """The state in `path`, if it is of this recipe and these pictures.

    Raises:
        CheckpointError: not there, broken, or not a training state.
        UsageError: the recipe or the pictures changed since; the first difference is named.
    """
    content = read_tensors(path)
    wanted = {"recipe": Mapping, "digest": str, "progress": Mapping}
    whole = all(isinstance(content.get(key), kind) for key, kind in wanted.items())
    if content.get("edgekit_state") != FORMAT or not whole:
        raise CheckpointError(
            f"{path} is not the state of a training.",
            got=repr(content.get("edgekit_state"))[:80],
            expected=f"format {FORMAT}, with " + ", ".join(wanted),
            fix="start again without --resume, in another --out",
        )
    changed = _differences(content["recipe"], recipe)
    if changed:
        raise UsageError(
            "The recipe changed since the run was interrupted.",
            got="; ".join(changed[:4]),
            expected="the recipe it began with",
            fix="undo that, or start anew in another --out with --weights of this run's last.pt",
        )
    if content["digest"] != digest:
        raise UsageError(
            "The training pictures changed since the run was interrupted.",
            got=f"pictures {digest[:12]}",
            expected=f"pictures {content['digest'][:12]}",
            fix="put them back, or start anew in another --out",
        )
    known = {f.name for f in fields(Progress)}
    return content, Progress(**{k: v for k, v in content["progress"].items() if k in known})


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    found = []
    for key in sorted({*old, *new}):
        a, b = old.get(key, ADDED.get(key)), new.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            if key == "net":
                a, b = _whole_net(a), _whole_net(b)
            if key in ADDED:  # a run begun before says nothing of them
                a = {**{k: v for k, v in ADDED[key].items() if k in b}, **a}
            if key == "compete":  # and once said of two ways what [schedule] says of one
                a = {k: v for k, v in a.items() if k in Compete.model_fields}
            inner = sorted(k for k in {*a, *b} if a.get(k) != b.get(k) and (key, k) not in _FREE)
            found += [f"{key}.{k} was {a.get(k)!r}, is {b.get(k)!r}" for k in inner]
        elif a != b and key not in ("name", "description"):
            found.append(f"{key} was {a!r}, is {b!r}")
    return found


def _whole_net(table: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe's net with what was left out, under today's names: runs begun before wrote every default down."""
    return {name: field.default for name, field in Net.model_fields.items()} | names_of_today(table)
