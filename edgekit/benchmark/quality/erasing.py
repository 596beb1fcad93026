"""What a model goes by: what it still says where the object is erased, and what it says of the object alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.benchmark.quality.erase import alone, elsewhere, erased, within
from edgekit.data import Dataset, Sample
from edgekit.errors import DataError, PictureError
from edgekit.metrics.classification import Rate, plain, rate
from edgekit.predictor import Predictor
from edgekit.progress import track
from edgekit.screen import count_of, shown, some
from edgekit.tasks.evaluation import rate_text
from edgekit.vision.image import Frame

VARIANTS = ("whole", "erased", "elsewhere", "alone")
LARGEST = 0.6  # of a picture, that its objects may cover: with more erased nothing is left to go by
_SHOWN = 8
_BATCH = 4


@dataclass(frozen=True)
class Case:
    """One picture with one class in it.

    Attributes:
        name: of the picture.
        label: the class.
        says: of each of `VARIANTS` whether the model says that class; None where there was no room elsewhere.
    """

    name: str
    label: str
    says: dict[str, bool | None]


@dataclass(frozen=True)
class ErasedClass:
    """One class.

    Attributes:
        label: its name.
        whole: pictures with it, of which the model says it.
        still: of those, where it says it with every object of the class erased. High: it goes by the scene.
        elsewhere: of those, where it says it with as much erased where no object is. Low: it minds the filling.
        alone: of all pictures with it, where it says it of the objects alone, all else in one colour.
        names: the pictures of `still`.
    """

    label: str
    whole: Rate
    still: Rate
    elsewhere: Rate
    alone: Rate
    names: tuple[str, ...]

    @property
    def reading(self) -> str:
        """The four figures in a sentence, which says no more than their intervals do."""
        if not self.still.n:
            return "it never says so: nothing can be told"
        if self.still.low > 0.5:
            return "it goes by something else than the object: most answers stay without it"
        if self.still.high < 0.5:
            return "most of its answers depend on the object"
        return "too few pictures to tell what it goes by"


@dataclass(frozen=True)
class Erasing:
    """What a model says of pictures with and without what it is asked for.

    Attributes:
        classes: of each class with an object in the pictures.
        cases: each picture and class, in order.
        covered: pictures left out for a class, since its objects cover more than 60 % of them.
        unread: pictures that could not be read, with the reason.
    """

    classes: tuple[ErasedClass, ...]
    cases: tuple[Case, ...]
    covered: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; what was not measured is null."""
        return {
            "classes": [plain(one) for one in self.classes],
            "cases": [{"name": case.name, "label": case.label, **case.says} for case in self.cases],
            "covered": list(self.covered),
            "confidence": 0.95,
            "unread": list(self.unread),
        }

    def lines(self, model: str) -> list[str]:
        """For people."""
        told = [f"{model}, asked with the objects erased; exact 95 % intervals"]
        for one in self.classes:
            told += [
                f"  {shown(one.label)}",
                f"    {'says so of the whole picture':<34} {rate_text(one.whole, 'with it')}",
                f"    {'still, the objects erased':<34} {rate_text(one.still, 'of those')}",
                f"    {'still, as much erased elsewhere':<34} {rate_text(one.elsewhere, 'of those')}",
                f"    {'says so of the objects alone':<34} {rate_text(one.alone, 'with it')}",
                f"    {one.reading}{'; it still says so of' if one.names else ''}",
            ]
            told += [f"      {shown(name)}" for name in one.names[:_SHOWN]]
            if len(one.names) > _SHOWN:
                told.append(f"      and {len(one.names) - _SHOWN} more (--format json has all)")
        if self.covered:
            told.append(f"  left out, more than {LARGEST:.0%} of the picture to erase: {some(self.covered)}")
        return told


def ask(predictor: Predictor, dataset: Dataset, keep: int = 0) -> tuple[Erasing, list[tuple[Case, dict[str, Frame]]]]:
    """Asks a model about each picture as it is, and with the objects of a class out of it.

    Every class of a picture is asked for on its own. Where the filling lies that stands elsewhere depends on the
    picture's number alone, so that two models are asked the same.

    Args:
        dataset: with boxes, under the model's classes.
        keep: of how many pictures the frames are returned too, those first that say the most against the model.

    Raises:
        DataError: pictures without boxes, none with an object, or none that can be read.
        UsageError: a model that names nothing.
    """
    if not dataset.boxed:
        got = f"layout {dataset.layout!r}"
        raise DataError("The pictures have no boxes, so nothing can be erased.", got=got, expected="labelled boxes")
    asked = _Asked(predictor, dataset)
    cases: list[Case] = []
    kept: list[tuple[Case, dict[str, Frame]]] = []
    for case, frames in asked.cases():
        cases.append(case)
        if keep:
            kept = sorted([*kept, (case, frames)], key=lambda pair: _weight(pair[0]))[:keep]
    if not cases:
        got = some(asked.unread) if asked.unread else f"{count_of(len(dataset), 'picture')}"
        raise DataError("No picture has an object that could be erased.", got=got, expected="boxes of the model's")
    classes = tuple(one for label in predictor.spec.classes if (one := _of_class(label, cases)) is not None)
    return Erasing(classes, tuple(cases), tuple(asked.covered), tuple(asked.unread)), kept


def _weight(case: Case) -> int:
    """Pictures to look at first: still says so, says nothing of the object alone, then the others."""
    return -2 * bool(case.says["whole"] and case.says["erased"]) - (not case.says["alone"])


def _of_class(label: str, cases: Sequence[Case]) -> ErasedClass | None:
    own = [case for case in cases if case.label == label]
    if not own:
        return None
    said = [case for case in own if case.says["whole"]]
    moved = [case for case in said if case.says["elsewhere"] is not None]
    still = [case for case in said if case.says["erased"]]
    return ErasedClass(
        label=label,
        whole=rate(len(said), len(own)),
        still=rate(len(still), len(said)),
        elsewhere=rate(sum(bool(case.says["elsewhere"]) for case in moved), len(moved)),
        alone=rate(sum(bool(case.says["alone"]) for case in own), len(own)),
        names=tuple(case.name for case in still),
    )


class _Asked:
    def __init__(self, predictor: Predictor, dataset: Dataset) -> None:
        self._predictor, self._dataset = predictor, dataset
        self.covered: list[str] = []
        self.unread: list[str] = []

    def cases(self) -> Iterator[tuple[Case, dict[str, Frame]]]:
        names = self._predictor.spec.classes
        for number, sample in enumerate(track(self._dataset.samples, "erasing objects")):
            try:
                frame = sample.read()
            except PictureError as error:
                self.unread.append(f"{sample.name}: {error.got or error.what}")
                continue
            boxes, labels = _objects(sample)
            for label in sorted(set(labels.tolist())):
                own = boxes[labels == label]
                if within(frame.shape, own).mean() > LARGEST:
                    self.covered.append(f"{sample.name} ({names[label]})")
                    continue
                frames = {"whole": frame, "erased": erased(frame, own), "alone": alone(frame, own)}
                places = elsewhere(frame.shape, own, boxes, np.random.default_rng([number, label]))
                if places is not None:
                    frames["elsewhere"] = erased(frame, places)
                found = self._predictor.results(frames.values(), batch=_BATCH)
                says: dict[str, bool | None] = dict.fromkeys(VARIANTS)
                says |= {variant: result.says(names[label]) for variant, result in zip(frames, found, strict=True)}
                yield Case(sample.name, names[label], says), frames


def _objects(sample: Sample) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """All boxes of a picture, those that are set aside too: what may be an insect is erased with the others."""
    assert sample.boxes is not None
    assert sample.box_labels is not None
    if sample.ignored_boxes is None or sample.ignored_labels is None:
        return sample.boxes, sample.box_labels
    return np.concatenate([sample.boxes, sample.ignored_boxes]), np.concatenate(
        [sample.box_labels, sample.ignored_labels]
    )
