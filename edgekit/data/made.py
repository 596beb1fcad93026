"""Data sets made in code, by a name that stands where a folder would: `synthetic://hive?n=800&seed=0`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl

from edgekit.data.classes.apply import mapped
from edgekit.data.classes.class_map import ClassMap, proposal
from edgekit.data.hive.made import HIVE_CLASSES, hive_pictures
from edgekit.data.hive.masked import MASK_CLASSES, masked_pictures
from edgekit.data.layouts.annotations import HELD_OUT
from edgekit.data.names import ALL
from edgekit.data.sample import Dataset, class_index
from edgekit.data.synthetic import PATTERNS, made_pictures
from edgekit.errors import DataError, SplitError
from edgekit.screen import count_of

SCHEME = "synthetic:"
# far from any seed that people choose, so that no held-out picture is one of training's
_HELD_OUT_SEED = 500_000_000
_DEFAULTS = {"n": 400, "val": 100, "seed": 0, "height": 360, "width": 640}


@dataclass(frozen=True)
class StandIn:
    """Pictures made in code, where none are given, that suit a task.

    Attributes:
        make: `make(n, seed)` gives n of them; without a seed it is 0.
        classes: what they show.
        gate_seed: of those that the gate compares on.
    """

    make: Callable[..., Dataset]
    classes: tuple[str, ...]
    gate_seed: int


# by what `edgekit.tasks.Task.stand_in` says
STAND_INS = {
    "hive": StandIn(hive_pictures, HIVE_CLASSES, 7),
    "patterns": StandIn(made_pictures, PATTERNS, 0),
}


def is_made(path: object) -> bool:
    """Whether this names a data set made in code."""
    return str(path).startswith(SCHEME)


def load_made(
    name: str, classes: Sequence[str] | None = None, split: str | None = None, truth: str | None = None
) -> Dataset:
    """The pictures of `synthetic://hive?n=400&val=100&seed=0&height=360&width=640`, all with boxes, or with masks.

    Args:
        name: `n` pictures are the train split and `val` the held-out one; what is left out has these values.
        classes: the model's, the hive's among them; its labels then index into them.
        split: `train`, `all`, or a held-out one's name; that is the default too.
        truth: `masks` for the class of each pixel (`masked_pictures`), else boxes.

    Raises:
        DataError: an unknown scene or key, a value that is no whole number, or a model without these classes.
        SplitError: another split.
    """
    scene, _, query = name.removeprefix(SCHEME).lstrip("/").partition("?")
    pairs = dict(parse_qsl(query, keep_blank_values=True))
    unknown = sorted(set(pairs) - set(_DEFAULTS))
    wrong = [f"{k}={v}" for k, v in pairs.items() if k in _DEFAULTS and not v.isdecimal()]
    if scene != "hive" or unknown or wrong:
        raise DataError(
            f"{name} is not a data set that edgekit makes.",
            got=", ".join(unknown or wrong) or scene or "no scene",
            expected="synthetic://hive?" + "&".join(f"{k}={v}" for k, v in _DEFAULTS.items()),
        )
    values = {**_DEFAULTS, **{k: int(v) for k, v in pairs.items()}}
    if split not in (None, ALL, "train", *HELD_OUT):
        error = SplitError(f"{name} has no such split.", got=str(split), expected="train, val or all")
        error.splits = ("train", "val")
        raise error
    make = masked_pictures if truth == "masks" else hive_pictures
    own = MASK_CLASSES if truth == "masks" else HIVE_CLASSES
    parts = []
    if split in ("train", ALL):
        parts.append(_part(make, values, "n", values["seed"]))
    if split != "train":
        parts.append(_part(make, values, "val", values["seed"] + _HELD_OUT_SEED))
    samples = tuple(s for part in parts for s in part)
    whole = replace(parts[0], samples=samples)
    counted = ", ".join(f"{c} {k}" for c, k in zip(HIVE_CLASSES, whole.box_counts, strict=False)) or "with masks"
    whole = replace(whole, notes=(f"{count_of(len(samples), 'picture')} of a hive entrance made in code: {counted}",))
    if classes is None or tuple(classes) == own:
        return whole
    unknown = [name for name in own if class_index(name, classes) is None]
    if unknown:
        raise DataError(
            "The model does not know the insects of the made hive.",
            got=", ".join(classes[:5]),
            expected=", ".join(own),
            fix=proposal(unknown, classes),
        )
    return mapped(whole, classes, ClassMap(()))


def _part(make: Callable[..., Dataset], values: dict[str, int], count: str, seed: int) -> Dataset:
    return make(values[count], seed, values["height"], values["width"])
