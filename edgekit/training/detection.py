"""Training a CenterNet: boxes and classes, any of its necks and heads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.utils.data import default_collate
from torchvision import tv_tensors
from torchvision.transforms import v2

from edgekit import nets
from edgekit.config.input import sides
from edgekit.config.recipe import Recipe
from edgekit.data import Dataset
from edgekit.errors import DataError
from edgekit.metrics.detection import detection_report
from edgekit.metrics.operating_point import confusion
from edgekit.nets.centernet import BRANCHES, LtrbMaps, OffsetSizeMaps
from edgekit.nets.detector import with_decoding
from edgekit.screen import count_of, some
from edgekit.spec import ModelSpec, digest
from edgekit.tasks.detection.text import alarm_lines, curve_lines
from edgekit.training.augment.paste import MOST, cuts_by_class, pasted
from edgekit.training.augment.scene import Scene, clipped, mosaic, placed, set_aside
from edgekit.training.augment.variations import seeded, variations
from edgekit.training.losses import LOSSES, counts
from edgekit.training.measured.boxes import Validation, unmeasured
from edgekit.training.pictures import Pictures
from edgekit.training.start import preprocess_of, settled, started
from edgekit.training.targets import ENCODERS, LtrbTargets, OffsetSizeTargets, unlearnt
from edgekit.training.task import Batch, Boxes, Score, Training, after, normalised, origin, stacked
from edgekit.vision.decode import DEFAULT_SCORE


class DetectionTraining(Training):
    """CenterNet's losses on augmented scenes; AP on what `edgekit.vision.preprocess` makes of the validation pictures.

    Args:
        recipe: net, input, augmentation, loss, schedule.
        train, val: with boxes, and the same classes.
        say: is told what was found.

    Raises:
        DataError: no boxes, other classes in validation, or no readable pictures.
    """

    def __init__(self, recipe: Recipe, train: Dataset, val: Dataset, say: Callable[[str], None] = lambda _: None):
        classes = _checked_classes(train, val)
        self.recipe, self._say = recipe, say
        self.trained_on = origin(train, recipe.data.credit)
        net = nets.find(recipe.net.arch, "detection")
        arguments = net.complete(recipe.net.asked())
        self.spec = ModelSpec(
            net.name,
            classes,
            preprocess_of(recipe, net.trunk_of(arguments)),
            arguments,
            task="detection",
            max_detections=recipe.net.max_detections,
            suppression=recipe.suppression.made(),
        )
        self._size = sides(recipe.input.train_size)
        limit = recipe.data.cache_mb * 2**20
        # a picture enlarged by zoom shows no more than its own pixels, so those are kept
        self.pictures = Pictures(train.samples, shorter_side=2 * max(self._size), limit=limit, say=say)
        kept = self.pictures.samples
        self._cuts = cuts_by_class([_array(s.boxes) for s in kept], [_array(s.box_labels) for s in kept])
        self._val = Validation(val.samples, self.spec, say)
        for note in unmeasured(self._val.truths, classes):
            say(note)
        steps = variations(recipe.augment)
        self._vary = v2.Compose(steps) if steps else v2.Identity()
        self._encode = ENCODERS[arguments["head"]]
        self._loss = LOSSES[arguments["head"]](heatmap=recipe.loss.heatmap)

        torch.manual_seed(recipe.schedule.seed)
        self.net = nets.build(self.spec)
        self.heads = net.heads
        start = started(self.net, recipe.net.weights, self.spec, "neck and head are new")
        self.trained_on = after(start.trained_on, self.trained_on)
        for line in (start.told, settled(self) if start.bare else ""):
            if line:
                say(line)

    def __len__(self) -> int:
        return len(self.pictures)

    def name(self, index: int) -> str:
        return self.pictures.samples[index].name

    def digest(self) -> str:
        samples = [[s.name, _array(s.box_labels).tolist(), _array(s.boxes).tolist()] for s in self.pictures.samples]
        for one, sample in zip(samples, self.pictures.samples, strict=True):
            if sample.ignored_boxes is not None:
                one += [_array(sample.ignored_labels).tolist(), sample.ignored_boxes.tolist()]
        return digest({"classes": list(self.spec.classes), "samples": samples})

    def sample(self, index: int, seed: int) -> Batch:
        scene = self.varied(index, seed)
        height, width = self._size
        aside = scene.labels < 0
        targets = self._encode(
            scene.boxes[~aside],
            scene.labels[~aside],
            classes=len(self.spec.classes),
            height=height,
            width=width,
            radius=self.recipe.loss.radius,
        )
        unlearnt(targets.heatmap, scene.boxes[aside], set_aside(scene.labels[aside]))
        return {"image": scene.image, **targets._asdict()}

    def varied(self, index: int, seed: int) -> Scene:
        """The training picture of that seed with its boxes, those set aside among them, uint8 [3, *train_size]."""
        height, width = self._size
        with seeded(seed):
            scene = self._composed(index)
            boxes = tv_tensors.BoundingBoxes(
                scene.boxes, format="XYXY", canvas_size=(height, width), clamping_mode=None
            )
            image, boxes, labels = self._vary(tv_tensors.Image(scene.image), boxes, scene.labels)
        plain = Scene(image.as_subclass(Tensor), boxes.as_subclass(Tensor), labels)
        return clipped(plain, torch.zeros(2), torch.tensor([float(width), float(height)]))

    def shown(self, index: int, seed: int) -> tuple[Tensor, Boxes]:
        scene = self.varied(index, seed)
        return scene.image, [(x1, y1, x2, y2) for x1, y1, x2, y2 in scene.boxes[scene.labels >= 0].tolist()]

    def collate(self, samples: Sequence[Batch]) -> Batch:
        rest = [{k: v for k, v in sample.items() if k != "image"} for sample in samples]
        collated: Batch = default_collate(rest)
        return {"image": stacked([sample["image"] for sample in samples]), **collated}

    def loss(self, net: nn.Module, batch: Batch) -> dict[str, Tensor]:
        maps = net(normalised(batch["image"], self.spec.preprocess))
        fields = {k: v for k, v in batch.items() if k != "image"}
        if (self.spec.arch_args or {})["head"] == "offset_size":
            targets: Any = OffsetSizeTargets(**fields)
            maps = OffsetSizeMaps(*maps)
        else:
            targets, maps = LtrbTargets(**fields), LtrbMaps(*maps)
        divisors, processes = counts(targets), 1
        if distributed.is_available() and distributed.is_initialized():
            processes = distributed.get_world_size()
            distributed.all_reduce(divisors)
        value = self._loss(maps, targets, divisors.clamp(min=1) / processes)
        return {"loss": value.total, **value.parts}

    def evaluate(self, net: nn.Module) -> Score:
        founds = self._val.found(with_decoding(net, self.spec))
        objects = any(len(truth.labels) for truth in self._val.truths)
        if founds is None:  # nothing is found by a net that answers with no numbers
            return Score({"ap50": 0.0, "ap": 0.0}, (0.0, 0.0), self.spec) if objects else Score({}, (), self.spec)
        wanted = self.recipe.threshold.precision
        report = detection_report(
            self._val.truths,
            founds,
            self.spec.classes,
            precision=wanted,
            alarm_limits=self._alarm_limits,
        )
        mean = report.mean
        named = {"ap50": mean.ap50, "ap": mean.ap, "ap75": mean.ap75, "voc07": mean.voc07}
        metrics = {name: value for name, value in named.items() if value is not None}
        metrics |= {f"ap50_{name}": a.ap50 for name, a in report.classes if a.ap50 is not None}
        thresholds = tuple(0.5 if t is None else float(t) for t in report.thresholds)
        # where these pictures cannot tell, an alarm is a box that is shown
        proposed = [alarm.strictest for alarm in report.alarms]
        alarms = tuple(own if one is None else one for one, own in zip(proposed, thresholds, strict=True))
        key = (metrics.get("ap50", 0.0), metrics.get("ap", 0.0)) if objects else ()
        return Score(metrics, key, replace(self.spec, thresholds=thresholds, alarm_thresholds=alarms))

    @property
    def _alarm_limits(self) -> tuple[float, ...]:
        return (self.recipe.threshold.false_alarms,)

    def draw(self, net: nn.Module, spec: ModelSpec, folder: Path) -> tuple[Path, ...]:
        from edgekit.training.measured import plots

        founds = self._val.found(with_decoding(net.eval(), spec))
        if founds is None:
            return ()
        truths, names = self._val.truths, spec.classes
        limits = spec.thresholds or (DEFAULT_SCORE,) * len(names)
        written = [folder / f"{name}.png" for name in ("precision_recall", "alarm", "confusion")]
        plots.precision_recall(written[0], truths, founds, names, limits)
        plots.alarm_roc(written[1], truths, founds, names, spec.alarm_thresholds)
        report = detection_report(
            truths, founds, names, limits, alarm_thresholds=spec.alarm_thresholds, alarm_limits=self._alarm_limits
        )
        for line in (*curve_lines(report), *alarm_lines(report)):
            self._say(line)
        table = confusion(truths, founds, len(names), limits)
        plots.confusion_matrix(written[2], table, (*names, "nothing there"), (*names, "not found"))
        sheet = folder / "validation.jpg"
        self._val.sheet(sheet, founds, limits)
        return (*written, sheet)

    def _scene(self, index: int) -> Scene:
        """The decoded picture; boxes in its pixels, which may be fewer than the file's; last those set aside."""
        image, sample = self.pictures[index], self.pictures.samples[index]
        boxes = torch.cat([_boxes(sample.boxes), _boxes(sample.ignored_boxes)])
        labels = torch.cat([_labels(sample.box_labels), set_aside(_labels(sample.ignored_labels))])
        height, width = self.pictures.original_size(index)
        scale = torch.tensor([image.shape[2] / width, image.shape[1] / height]).repeat(2)
        return Scene(image, boxes * scale, labels)

    def _composed(self, index: int) -> Scene:
        """One picture, or a mosaic of it and three others, on the canvas, with objects of others where that is asked
        for; draws from torch's generator.
        """
        scene = self._laid_out(index)
        chance = self.recipe.augment.paste
        if not chance or float(torch.rand(())) >= chance:
            return scene
        low, high = self.recipe.augment.zoom
        for _ in range(int(torch.randint(1, MOST + 1, ()))):
            of_class = self._cuts[int(torch.randint(len(self._cuts), ()))]  # so rare classes are pasted as often
            cut = of_class[int(torch.randint(len(of_class), ()))]
            donor = self._scene(cut.picture)
            zoom = float(torch.exp(torch.empty(()).uniform_(float(np.log(low)), float(np.log(high)))))
            fit = min(n / m for n, m in zip(self._size, donor.image.shape[1:], strict=True))
            scene = pasted(scene, donor, cut.box, zoom * fit)
        return scene

    def _laid_out(self, index: int) -> Scene:
        augment, resize = self.recipe.augment, self.recipe.input.resize
        low, high = augment.zoom
        zooms = torch.exp(torch.empty(4).uniform_(float(np.log(low)), float(np.log(high)))).tolist()
        if augment.mosaic and float(torch.rand(())) < augment.mosaic:
            others = [index, *torch.randint(len(self), (3,)).tolist()]
            return mosaic(lambda i: self._scene(others[i]), self._size, zooms, resize)
        place = torch.rand(2).tolist() if low != high or low != 1 else (0.5, 0.5)
        return placed(self._scene(index), self._size, zooms[0], (place[0], place[1]), resize)


def _array(values: np.ndarray[Any, Any] | None) -> np.ndarray[Any, Any]:
    return np.zeros(0) if values is None else values


def _boxes(values: np.ndarray[Any, Any] | None) -> Tensor:
    return torch.from_numpy(_array(values).astype(np.float32).reshape(-1, 4).copy())


def _labels(values: np.ndarray[Any, Any] | None) -> Tensor:
    return torch.from_numpy(_array(values).astype(np.int64).reshape(-1).copy())


def _checked_classes(train: Dataset, val: Dataset) -> tuple[str, ...]:
    for which, dataset in (("training", train), ("validation", val)):
        if not dataset.boxed:
            raise DataError(
                f"The {which} pictures have no boxes.",
                got=f"layout {dataset.layout!r}",
                expected="YOLO, Pascal VOC or COCO",
                fix="a recipe with task = 'classification' learns labels of whole pictures",
            )
    classes = train.classes
    assert classes is not None  # every layout with boxes names its classes
    if val.classes != classes:
        raise DataError("The splits have different classes.", got=some(val.classes or ()), expected=some(classes))
    if not sum(train.box_counts):
        raise DataError("No training picture has an object.", got=f"{count_of(len(train), 'picture')} without boxes")
    return classes


assert set(BRANCHES) == set(ENCODERS) == set(LOSSES)
