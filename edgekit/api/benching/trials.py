"""What `edgekit bench` puts a model to beside clean pictures: corruptions and attacks, and its objects erased."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from edgekit.benchmark.schema import Case, Erased, ErasedClass, Robustness, Span

if TYPE_CHECKING:
    from edgekit.benchmark.quality.erasing import Case as Asked
    from edgekit.benchmark.quality.erasing import Erasing
    from edgekit.benchmark.quality.robustness import Attacked
    from edgekit.data import Dataset
    from edgekit.data.classes.class_map import ClassMap
    from edgekit.metrics.classification import Rate
    from edgekit.predictor import Predictor
    from edgekit.vision.image import Frame

Say = Callable[[str], None]
EXAMPLES = 3  # pictures of a model with its objects erased
_SIDE = 240  # pixels, the longer side of one


class Robust:
    """Corruptions, and attacks crafted once on the checkpoint and scored on every file of the same net."""

    def __init__(self, pictures: int, checkpoint: Path | None, say: Say) -> None:
        self.pictures = pictures
        self.checkpoint = checkpoint
        self.say = say
        self._attacks: list[Attacked] | None = None

    def __call__(self, case: Case, predictor: Predictor, dataset: Dataset) -> Robustness:
        from edgekit.benchmark.quality.robustness import robustness
        from edgekit.data import sample_evenly

        chosen = sample_evenly(dataset, self.pictures)
        attacks = self._crafted(predictor, chosen)
        found = robustness(predictor, chosen, attacks=attacks, say=self.say)
        if case.backend != "torch":
            found.examples = [dict(e) for a in attacks for e in a.examples if found.attacks][:2]
        return found

    def _crafted(self, predictor: Predictor, dataset: Dataset) -> list[Attacked]:
        if self.checkpoint is None or not predictor.task.attackable:
            return []
        if self._attacks is None:
            from edgekit.api.benching.attacks import craft

            self.say(f"crafting attacks on {self.checkpoint.name}")
            self._attacks = craft(self.checkpoint, predictor.spec, dataset)
        same = all(p.shape[1:3] == _size(predictor) for a in self._attacks for p in a.pixels.values())
        return self._attacks if same else []


def _size(predictor: Predictor) -> tuple[int, int]:
    return predictor.spec.preprocess.height, predictor.spec.preprocess.width


class Erase:
    """What a model still says with the objects erased: of pictures with boxes, whatever its accuracy is measured on.

    Args:
        pictures: asked about at most.
        data: the data set, with boxes.
        split, classes_map: as in `edgekit.evaluate`.
    """

    def __init__(self, pictures: int, data: Path, split: str | None, classes_map: ClassMap | None) -> None:
        self.pictures, self.data, self.split, self.classes_map = pictures, data, split, classes_map

    def __call__(self, predictor: Predictor) -> Erased:
        """Raises DataError: no picture with an object of the model's."""
        from edgekit.benchmark.pictures import name_of
        from edgekit.benchmark.quality.erasing import ask
        from edgekit.data import load_dataset, sample_evenly

        known = load_dataset(self.data, predictor.spec.classes, self.split, self.classes_map, truth="boxes")
        chosen = sample_evenly(known, self.pictures)
        found, kept = ask(predictor, chosen, keep=EXAMPLES)
        return Erased(
            n=len(chosen) - len(found.unread),
            data=name_of(known),
            classes=_classes(found),
            covered=len(found.covered),
            examples=[_example(case, frames) for case, frames in kept],
        )


def _classes(found: Erasing) -> list[ErasedClass]:
    told = []
    for one in found.classes:
        whole, alone = _span(one.whole), _span(one.alone)
        assert whole is not None
        assert alone is not None
        told.append(
            ErasedClass(label=one.label, n=one.whole.n, whole=whole, said=one.whole.hits, still=_span(one.still),
                        elsewhere=_span(one.elsewhere), alone=alone, reading=one.reading)
        )  # fmt: skip
    return told


def _span(rate: Rate) -> Span | None:
    return None if rate.value is None else Span(value=rate.value, low=rate.low, high=rate.high)


def _example(case: Asked, frames: dict[str, Frame]) -> dict[str, str]:
    """A picture as it is, with its objects erased, and the objects alone, each with what the model says."""
    from edgekit.benchmark.quality.agreement import thumbnail

    told = {"title": f"{PurePath(case.name).name}: {case.label}"}
    for variant in ("whole", "erased", "alone"):
        told[variant] = thumbnail(frames[variant], _SIDE) or ""
        told[f"{variant}_text"] = f"{'' if case.says[variant] else 'not '}{case.label}"
    return told
