"""Fine-tuning or training a classifier: one label a picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torchvision import tv_tensors

from edgekit import nets
from edgekit.checkpoints.pretrained import read_weights, start_from
from edgekit.config.input import sides
from edgekit.config.recipe import Recipe
from edgekit.data import Dataset
from edgekit.data.sample import Sample
from edgekit.errors import DataError
from edgekit.metrics.classification import classification_report, mean_recall
from edgekit.nets import library
from edgekit.progress import track
from edgekit.screen import count_of, some
from edgekit.spec import ModelSpec, digest
from edgekit.training.augment.variations import cropped, mixed_seed, seeded
from edgekit.training.measured.reading import readable
from edgekit.training.pictures import Pictures
from edgekit.training.probe import features, fit_head, lift, linear_head
from edgekit.training.start import settled
from edgekit.training.task import Batch, Score, Training, after, normalised, origin, stacked
from edgekit.training.temperature import fit_temperature, nll
from edgekit.vision.image import Frame
from edgekit.vision.preprocess import normalise, preprocess

EVAL_BATCH = 32


class ClassificationTraining(Training):
    """Cross-entropy on augmented crops; top-1 on what `edgekit.vision.preprocess` makes of the validation pictures.

    Args:
        recipe: net, input, augmentation, schedule.
        train, val: labelled, with the same classes.
        say: is told what was found.

    Raises:
        DataError: no labels, fewer than two classes with pictures, or no readable pictures.
    """

    def __init__(self, recipe: Recipe, train: Dataset, val: Dataset, say: Callable[[str], None] = lambda _: None):
        classes = _checked_classes(train, val)
        self.recipe = recipe
        self.trained_on = origin(train, recipe.data.credit)
        net = nets.find(recipe.net.arch, "classification")
        arguments = net.complete(recipe.net.asked())
        usual = library.preprocess(recipe.net.arch) if nets.of_library(recipe.net.arch) else None
        wanted = recipe.input if usual is None else recipe.input.as_published(usual)
        self.spec = ModelSpec(net.name, classes, wanted.preprocess(), arguments)
        if usual is not None:
            say(f"pictures: {self.spec.preprocess.describe()}; what the recipe does not say is {recipe.net.arch}'s own")
        size, limit = wanted.train_size, recipe.data.cache_mb * 2**20
        self.pictures = Pictures(train.samples, shorter_side=2 * max(sides(size)), limit=limit, say=say)
        self.labels = torch.tensor([_label(s) for s in self.pictures.samples])
        self._val = _Validation(val.samples, self.spec, limit, say)
        there = {_label(s) for s in val}
        if recipe.schedule.class_balance != "none" and len(there) < len(classes):
            say(f"the best epoch is chosen by the mean recall of {some([classes[i] for i in sorted(there)])} alone")
        self._augment = cropped(recipe.augment, size)
        counts = torch.bincount(self.labels, minlength=len(classes))
        self._balance = len(self.labels) / (len(classes) * counts.clamp(min=1).double())
        self._weights: Tensor | None = None  # the same on the net's device

        torch.manual_seed(recipe.schedule.seed)
        self.net = nets.build(self.spec)
        self.heads = net.heads
        start = read_weights(recipe.net.weights, net.name, arguments)
        if start is not None:
            count = start_from(self.net, start.state, self.heads)
            told = f"{count_of(count, 'tensor')} from {recipe.net.weights}"
            say(f"{told}; {self.heads[0]} is new, for {count_of(len(classes), 'class')}")
            self.trained_on = after(start.trained_on, self.trained_on)
            if start.exported:
                say(settled(self))

    def __len__(self) -> int:
        return len(self.pictures)

    def name(self, index: int) -> str:
        return self.pictures.samples[index].name

    def digest(self) -> str:
        samples = [[s.name, s.label] for s in self.pictures.samples]
        return digest({"classes": list(self.spec.classes), "samples": samples})

    def sample(self, index: int, seed: int) -> Batch:
        with seeded(seed):
            varied = self._augment(tv_tensors.Image(self.pictures[index]))
        return {"image": varied.as_subclass(Tensor), "label": self.labels[index]}

    def collate(self, samples: Sequence[Batch]) -> Batch:
        return {
            "image": stacked([sample["image"] for sample in samples]),
            "label": torch.stack([sample["label"] for sample in samples]),
        }

    def loss(self, net: nn.Module, batch: Batch) -> dict[str, Tensor]:
        logits, labels = net(normalised(batch["image"], self.spec.preprocess)).float(), batch["label"]
        smoothing = self.recipe.schedule.label_smoothing
        each = nn.functional.cross_entropy(logits, labels, label_smoothing=smoothing, reduction="none")
        if self.recipe.schedule.class_balance == "loss":
            # not divided by the batch's own weights: several processes must give what one gives
            if self._weights is None:  # once: a GPU would wait for the host at every step
                self._weights = self._balance.to(each)
            each = each * self._weights[labels]
        return {"loss": each.mean(), "train_top1": (logits.detach().argmax(1) == labels).float().mean()}

    def sampling_weights(self) -> Tensor | None:
        return self._balance[self.labels] if self.recipe.schedule.class_balance == "sample" else None

    def evaluate(self, net: nn.Module) -> Score:
        logits, labels = self._val.logits(net)
        if not np.isfinite(logits).all():
            return Score({"top1": 0.0}, (0.0, -float("inf")), self.spec)  # a wrong answer each, without a likelihood
        report = classification_report(logits, labels, self.spec.classes)
        temperature = fit_temperature(logits, labels)
        metrics = {
            "top1": report.top1.hits / report.n,
            "top1_low": report.top1.low,
            "top1_high": report.top1.high,
            **({} if report.balanced is None else {"balanced": report.balanced}),
            "nll": nll(logits, labels),
            "nll_calibrated": nll(logits, labels, temperature),
            "temperature": temperature,
        }
        balanced = self.recipe.schedule.class_balance != "none"
        # a class that validation has not cannot decide which epoch is best; the others can
        first = mean_recall(report) if balanced else metrics["top1"]
        return Score(metrics, (first, -metrics["nll_calibrated"]), replace(self.spec, temperature=temperature))

    def answers(self, net: nn.Module) -> tuple[np.ndarray, np.ndarray]:
        return self._val.logits(net)

    def draw(self, net: nn.Module, spec: ModelSpec, folder: Path) -> tuple[Path, ...]:
        from edgekit.training.measured import plots

        logits, labels = self._val.logits(net.eval())
        table = np.zeros((len(spec.classes), len(spec.classes)), dtype=np.int64)
        np.add.at(table, (labels, logits.argmax(1)), 1)
        path = folder / "confusion.png"
        plots.confusion_matrix(path, table, spec.classes, spec.classes)
        return (path,)

    def start(self, net: nn.Module) -> None:
        views = self.recipe.schedule.probe_views
        if not views:
            return
        head = linear_head(net, self.heads)
        net.eval()
        device = head.weight.device
        rows = [
            features(net, head, inputs)
            for view in range(views)
            for inputs in self._views(view, f"fitting the head, view {view + 1} of {views}", device)
        ]
        labels = self.labels.to(device).repeat(views)
        balanced = self.recipe.schedule.class_balance != "none"
        fit_head(head, torch.cat(rows), labels, self._balance.to(device) if balanced else None)
        if isinstance(head, nn.Conv2d):
            lift(net, head, self._views(0, "looking what follows the head", device))

    def _views(self, view: int, doing: str, device: torch.device) -> Iterator[Tensor]:
        """Batches of all training pictures, as the net takes them."""
        for start in track(range(0, len(self), EVAL_BATCH), doing):
            images = stacked([self._view(i, view) for i in range(start, min(start + EVAL_BATCH, len(self)))])
            yield normalised(images.to(device), self.spec.preprocess)

    def _view(self, index: int, view: int) -> Tensor:
        """uint8 [3, H, W]: as in evaluation, that mirrored, then augmented crops at the evaluation's size."""
        picture = self.pictures[index]
        if view > 1:
            transform = cropped(self.recipe.augment, (self.spec.preprocess.height, self.spec.preprocess.width))
            with seeded(mixed_seed(self.recipe.schedule.seed, view, index)):
                varied: Tensor = transform(tv_tensors.Image(picture)).as_subclass(Tensor)
            return varied
        frame = np.ascontiguousarray(picture.permute(1, 2, 0).numpy()[..., ::-1])
        pixels = preprocess(frame, self.spec.preprocess)
        pixels = pixels[:, ::-1] if view == 1 else pixels
        return torch.from_numpy(np.ascontiguousarray(pixels[..., ::-1])).permute(2, 0, 1)


class _Validation:
    """The validation pictures as the net sees them, kept in memory where they fit."""

    def __init__(self, samples: Sequence[Sample], spec: ModelSpec, limit: int, say: Callable[[str], None]) -> None:
        self.spec = spec
        self._samples = list(samples)
        self._kept: list[tuple[Frame, int]] | None = None
        if len(samples) * spec.preprocess.height * spec.preprocess.width * 3 <= limit:
            self._kept = list(self._read(say))

    def logits(self, net: nn.Module) -> tuple[np.ndarray, np.ndarray]:
        """float32 [N, C] and int64 [N]."""
        device = next(net.parameters()).device
        rows: list[np.ndarray] = []
        labels: list[int] = []
        held: list[Frame] = []

        def run() -> None:
            x = torch.from_numpy(normalise(np.stack(held), self.spec.preprocess)).to(device)
            with torch.inference_mode():
                rows.append(net(x.contiguous(memory_format=torch.channels_last)).float().cpu().numpy())
            held.clear()

        kept = None if self._kept is None else track(self._kept, "evaluating")
        for frame, label in kept if kept is not None else self._read():
            held.append(frame)
            labels.append(label)
            if len(held) == EVAL_BATCH:
                run()
        if held:
            run()
        return np.concatenate(rows), np.asarray(labels)

    def _read(self, say: Callable[[str], None] = lambda _: None) -> Iterator[tuple[Frame, int]]:
        for sample, frame in readable(self._samples, Sample.read, say):
            yield preprocess(frame, self.spec.preprocess), _label(sample)


def _label(sample: Sample) -> int:
    assert sample.label is not None  # _checked_classes has seen to it
    return sample.label


def _checked_classes(train: Dataset, val: Dataset) -> tuple[str, ...]:
    for which, dataset in (("training", train), ("validation", val)):
        if dataset.labels_known:
            raise DataError(
                f"The {which} pictures have any number of labels, and a classifier learns one a picture.",
                got=f"layout {dataset.layout!r}",
                expected="class folders, or a csv of file,class",
                fix="a detector learns from boxes of each; a multi-label net trained elsewhere is exported with "
                "--multi-label",
            )
        if not dataset.labelled:
            raise DataError(
                f"The {which} pictures have no labels.",
                got=f"layout {dataset.layout!r}",
                expected="class folders, or a csv of file,class",
            )
    classes = train.classes or tuple(str(i) for i in range(1 + max(_label(s) for s in train)))
    if val.classes is not None and val.classes != classes:
        raise DataError("The splits have different classes.", got=some(val.classes), expected=some(classes))
    with_pictures = {_label(s) for s in train}
    if len(with_pictures) < 2:
        raise DataError(
            "There is nothing to tell apart: only one class has training pictures.",
            got=", ".join(classes[i] for i in sorted(with_pictures)),
            expected="two classes or more",
            fix="add a folder of pictures without it, e.g. none/",
        )
    outside = sorted({_label(s) for s in val} - set(range(len(classes))))
    if outside:
        raise DataError(
            "A validation label is for a class that does not exist.",
            got=str(outside[0]),
            expected=f"0 to {len(classes) - 1}",
        )
    return classes
