"""Training a U-Net: the class of every pixel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed, nn
from torchvision import tv_tensors
from torchvision.transforms import v2

from edgekit import nets
from edgekit.config.input import sides
from edgekit.config.recipe import Recipe
from edgekit.data import Dataset
from edgekit.errors import DataError, UsageError
from edgekit.metrics.segmentation.report import segmentation_report
from edgekit.nets.detector import with_decoding
from edgekit.nets.unet import check_size
from edgekit.screen import some
from edgekit.spec import ModelSpec, digest
from edgekit.training.augment.masked import around, cut
from edgekit.training.augment.variations import seeded, variations
from edgekit.training.losses import dice_loss, pixel_entropy
from edgekit.training.measured.masks import MaskValidation, confusion_table
from edgekit.training.pictures import Pictures
from edgekit.training.start import Started, preprocess_of, settled, started
from edgekit.training.task import Batch, Score, Training, after, normalised, origin, stacked


class SegmentationTraining(Training):
    """Cross-entropy and dice on augmented crops; mIoU on what `edgekit.vision.preprocess` makes of the validation
    pictures, at their own size.

    A training crop shows a picture `augment.zoom` times as large as evaluation does.

    Args:
        recipe: net, input, augmentation, loss, schedule.
        train, val: with masks, and the same classes.
        say: is told what was found.

    Raises:
        DataError: no masks, no names of classes, other classes in validation, or no readable pictures.
        UsageError: an input size that the net cannot take, an augmentation that cannot move a mask, or
            weights for a net without a trunk.
    """

    def __init__(self, recipe: Recipe, train: Dataset, val: Dataset, say: Callable[[str], None] = lambda _: None):
        classes = _checked_classes(train, val)
        self.recipe, self._say = recipe, say
        self.trained_on = origin(train, recipe.data.credit)
        net = nets.find(recipe.net.arch, "segmentation")
        arguments = net.complete(recipe.net.asked())
        spec = preprocess_of(recipe, net.trunk_of(arguments))
        self.spec = ModelSpec(net.name, classes, spec, arguments, task="segmentation")
        self._size = sides(recipe.input.train_size)
        for size in (self._size, (spec.height, spec.width)):
            check_size(*size)
        if recipe.augment.trivial or recipe.augment.mosaic or recipe.augment.paste:
            raise UsageError(
                "These augmentations do not move masks along.",
                got="augment.trivial, mosaic or paste",
                expected="zoom, mirror, upside_down, degrees, translate, scale, shear, colours, noise, erasing",
                fix="--set augment.trivial=false --set augment.mosaic=0 --set augment.paste=0",
            )
        limit = recipe.data.cache_mb * 2**20
        largest = max(spec.height, spec.width) * max(1.0, recipe.augment.zoom[1])
        self.pictures = Pictures(train.samples, shorter_side=round(largest), limit=limit, say=say)
        self._masks = [sample.read_mask() for sample in self.pictures.samples]
        self._val = MaskValidation(val.samples, self.spec, say)
        steps = variations(recipe.augment)
        self._vary = v2.Compose(steps) if steps else v2.Identity()
        counts = self._counts()
        counts[:, counts.sum(0).argmax()] = 0
        self._others = [row.nonzero().flatten().tolist() for row in counts]  # classes of a picture but the largest
        self._weights = self._class_weights()
        missing = [name for name, weight in zip(classes, self._weights.tolist(), strict=True) if not weight]
        if missing:
            say(f"WARNING: no pixel in training is {some(missing)}: it will not be found")

        torch.manual_seed(recipe.schedule.seed)
        self.net = nets.build(self.spec)
        self.heads = net.heads
        named = net.trunk_of(arguments)
        if not named and recipe.net.weights != "none":
            raise UsageError(
                "This net has no trunk that could start from weights.",
                got=f"net.weights = {recipe.net.weights} for {net.name}",
                expected="none",
                fix="--weights none",
            )
        new = "the way up and the head are new"
        start = started(self.net, recipe.net.weights, self.spec, new) if named else Started()
        self.trained_on = after(start.trained_on, self.trained_on)
        for line in (start.told, settled(self) if start.bare else ""):
            if line:
                say(line)

    def __len__(self) -> int:
        return len(self.pictures)

    def name(self, index: int) -> str:
        return self.pictures.samples[index].name

    def digest(self) -> str:
        there = [np.bincount(mask.ravel() + 1, minlength=len(self.spec.classes) + 1).tolist() for mask in self._masks]
        samples = [[s.name, counts] for s, counts in zip(self.pictures.samples, there, strict=True)]
        return digest({"classes": list(self.spec.classes), "samples": samples})

    def sample(self, index: int, seed: int) -> Batch:
        image, mask = self.varied(index, seed)
        return {"image": image, "mask": mask}

    def varied(self, index: int, seed: int) -> tuple[Tensor, Tensor]:
        """The training picture of that seed and its mask: uint8 [3, *train_size], int16 [*train_size], -1 for void."""
        low, high = self.recipe.augment.zoom
        with seeded(seed):
            zoom = float(torch.exp(torch.empty(()).uniform_(float(np.log(low)), float(np.log(high)))))
            part = self._cut(index, zoom)
            varied, moved = self._vary(tv_tensors.Image(part[0]), tv_tensors.Mask(torch.from_numpy(part[1])))
        return varied.as_subclass(Tensor), moved.as_subclass(Tensor)

    def collate(self, samples: Sequence[Batch]) -> Batch:
        return {
            "image": stacked([sample["image"] for sample in samples]),
            "mask": torch.stack([sample["mask"] for sample in samples]),
        }

    def loss(self, net: nn.Module, batch: Batch) -> dict[str, Tensor]:
        logits, target = net(normalised(batch["image"], self.spec.preprocess)).float(), batch["mask"].long()
        pixels, processes = (target >= 0).sum(), 1
        if distributed.is_available() and distributed.is_initialized():
            processes = distributed.get_world_size()
            distributed.all_reduce(pixels)
        self._weights = self._weights.to(logits.device)
        entropy = pixel_entropy(logits, target, self._weights, pixels.clamp(min=1) / processes)
        dice = dice_loss(logits, target)
        return {"loss": entropy + self.recipe.loss.dice * dice, "entropy": entropy.detach(), "dice": dice.detach()}

    def sampling_weights(self) -> Tensor | None:
        """With `schedule.class_balance = "sample"`: pictures in which rare classes have a large share come oftener."""
        if self.recipe.schedule.class_balance != "sample":
            return None
        counts = self._counts().double()  # [pictures, C]
        shares = counts / counts.sum(0).clamp(min=1)  # of all pixels of a class
        return shares.mean(1) + shares.mean() / 10  # and none is left out

    def evaluate(self, net: nn.Module) -> Score:
        counts = self._val.counts(with_decoding(net, self.spec))
        if counts is None:  # a net that answers with no numbers
            return Score({"miou": 0.0}, (0.0, 0.0), self.spec)
        report = segmentation_report(counts, self.spec.classes)
        figures = {"miou": report.miou, "pixel_accuracy": report.pixel_accuracy, "boundary_f": report.boundary_f}
        metrics = {name: value.value for name, value in figures.items() if value is not None}
        key = (metrics.get("miou", 0.0), metrics.get("pixel_accuracy", 0.0))
        metrics |= {f"iou_{one.label}": one.iou for one in report.classes if one.iou is not None}
        return Score(metrics, key if "miou" in metrics else (), self.spec)

    def draw(self, net: nn.Module, spec: ModelSpec, folder: Path) -> tuple[Path, ...]:
        from edgekit.training.measured import plots

        answers = with_decoding(net.eval(), spec)
        counts = self._val.counts(answers)
        if counts is None:
            return ()
        table = folder / "confusion.png"
        plots.confusion_matrix(table, confusion_table(counts), spec.classes, (*spec.classes,), counts=False)
        sheet = folder / "validation.jpg"
        self._val.sheet(sheet, answers)
        return table, sheet

    def _cut(self, index: int, zoom: float) -> tuple[Tensor, NDArray[np.int16]]:
        """A part of the picture where chance or `augment.foreground` lays it."""
        image, mask = self.pictures[index], self._masks[index]
        spec = self.spec.preprocess
        ratio = [n / m for n, m in zip((spec.height, spec.width), mask.shape, strict=True)]
        if spec.resize == "letterbox":
            ratio = [min(ratio)] * 2
        scale = (ratio[0] * zoom, ratio[1] * zoom)
        y, x = torch.rand(2).tolist()
        share = self.recipe.augment.foreground
        if share and float(torch.rand(())) < share:
            others = self._others[index]
            if others:
                label = others[int(torch.randint(len(others), ()))]
                y, x = around(mask, label, self._size, scale, (float(torch.rand(())), y, x))
        return cut(image, mask, self._size, scale, (y, x))

    def _counts(self) -> Tensor:
        """int64 [pictures, C]: pixels of each class."""
        classes = len(self.spec.classes)
        rows = [np.bincount(mask.ravel() + 1, minlength=classes + 1)[1:] for mask in self._masks]
        return torch.from_numpy(np.stack(rows))

    def _class_weights(self) -> Tensor:
        """float32 [C] of the cross-entropy, by the training pixels; 0 for a class that has none.

        With `schedule.class_balance = "loss"` 1 / ln(1.1 + share) (Paszke et al. 2016, "ENet", sec. 5.2, with 1.1
        for 1.02: a class of no pixel weighs four times as much as one of a quarter), such that a pixel weighs 1 on
        average.
        """
        pixels = self._counts().sum(0).double()
        share = pixels / pixels.sum()
        weights = torch.where(pixels > 0, torch.ones_like(share), 0.0)
        if self.recipe.schedule.class_balance == "loss":
            weights = weights / torch.log(1.1 + share)
            weights = weights / (weights * share).sum()
        return weights.float()


def _checked_classes(train: Dataset, val: Dataset) -> tuple[str, ...]:
    for which, dataset in (("training", train), ("validation", val)):
        if not dataset.masked:
            raise DataError(
                f"The {which} pictures have no masks.",
                got=f"layout {dataset.layout!r}",
                expected="pictures in images/ and PNGs of class indices of the same names in masks/, Pascal VOC's "
                "SegmentationClass/, or outlines as COCO, YOLO, labelme and CVAT have them",
                fix="a recipe for classification or detection learns labels or boxes",
            )
    if not train.classes:
        raise DataError(
            "Nothing says what the numbers in the masks are.",
            got="no classes.txt",
            expected="a classes.txt beside train/ and val/: a name a line from number 0 on, void where nobody knows",
        )
    if val.classes != train.classes:
        raise DataError("The splits have different classes.", got=some(val.classes or ()), expected=some(train.classes))
    return train.classes
