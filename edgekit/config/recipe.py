"""What to train and how, read from TOML."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, model_validator

from edgekit.config.input import Input, sides
from edgekit.config.net import Net
from edgekit.config.tables import ClassNames, Kind, Table
from edgekit.errors import InputError
from edgekit.spec import Suppression
from edgekit.tasks import TaskName, task_of

_ONE_LINE = r"^[^\x00-\x1f\x7f]*$"  # without line breaks or other control characters


class Data(Table):
    """Where the pictures are and how they reach the net."""

    path: str | None = Field(None, description="a folder; --data goes before it")
    train: str = Field("train", description="folder of the training split")
    val: str | None = Field(None, description="folder of the validation split; none: val, valid, validation or test")
    val_share: float = Field(0.2, gt=0, lt=1, description="share held out where there are no such folders")
    group: str | None = Field(None, description="regular expression on names; what it finds stays on one side")
    also: tuple[str, ...] = Field((), description="further sets with boxes to train on: folders, or synthetic://hive")
    credit: str = Field(
        "",
        max_length=200,
        pattern=_ONE_LINE,
        description="whose pictures, under which licence: goes into files",
    )
    cache_mb: int = Field(1024, ge=0, description="memory for decoded pictures")
    workers: int | None = Field(None, ge=0, description="loader processes; none: 0 on a CPU, else cores - 1")


class Augment(Table):
    """How training pictures are varied. Probabilities and strengths 0 switch a step off."""

    crop: tuple[float, float] = Field((0.35, 1.0), description="share of the area that a random crop keeps")
    zoom: tuple[float, float] = Field(
        (1.0, 1.0), description="detection, segmentation: factor on the size that evaluation shows"
    )
    mosaic: float = Field(0.0, ge=0, le=1, description="detection: probability of four pictures in one")
    paste: float = Field(0.0, ge=0, le=1, description="detection: probability of objects of other pictures pasted in")
    foreground: float = Field(
        0.0, ge=0, le=1, description="segmentation: share of crops laid around a class other than the largest"
    )
    mirror: float = Field(0.5, ge=0, le=1)
    upside_down: float = Field(0.0, ge=0, le=1)
    turned: float = Field(
        0.0, ge=0, le=1, description="probability of a quarter turn to either side; a square train_size"
    )
    degrees: float = Field(0.0, ge=0, le=180, description="of the affine map")
    translate: float = Field(0.0, ge=0, le=1)
    scale: tuple[float, float] = (1.0, 1.0)
    shear: float = Field(0.0, ge=0, le=45)
    brightness: float = Field(0.0, ge=0, le=1)
    contrast: float = Field(0.0, ge=0, le=1)
    saturation: float = Field(0.0, ge=0, le=1)
    hue: float = Field(0.0, ge=0, le=0.5)
    trivial: bool = Field(False, description="TrivialAugment (Mueller & Hutter 2021) instead of affine and colour")
    noise: float = Field(0.0, ge=0, le=1, description="deviation, of white = 1")
    erasing: float = Field(0.0, ge=0, le=1, description="probability (Zhong et al. 2017)")

    @model_validator(mode="after")
    def _ordered(self) -> Augment:
        for name, (low, high) in (("crop", self.crop), ("scale", self.scale), ("zoom", self.zoom)):
            if not 0 < low <= high or (name == "crop" and high > 1):
                raise ValueError(f"{name} as two rising numbers above 0" + (", at most 1" if name == "crop" else ""))
        return self


class Schedule(Table):
    """The optimizer and what happens when."""

    optimizer: Literal["adamw", "sgd"] = "adamw"
    lr_head: float = Field(3e-4, gt=0)
    lr_trunk: float = Field(5e-5, ge=0)
    momentum: float = Field(0.9, ge=0, lt=1, description="of sgd")
    weight_decay: float = Field(0.05, ge=0, description="none on norms and biases")
    epochs: int = Field(30, ge=0, description="0: the fitted head alone")
    batch: int = Field(32, ge=1, description="pictures a step, over all processes")
    warmup: float = Field(1.0, ge=0, description="epochs in which the learning rate rises from 0")
    cosine: bool = Field(True, description="fall to 0 along a half cosine; else stay")
    drops: tuple[float, ...] = Field((), description="without cosine: shares of the epochs after which a tenth is left")
    probe_views: int = Field(0, ge=0, le=16, description="fit the head first, on features of so many views a picture")
    refit_head: bool = Field(False, description="fit the head again at the end, on the size it will see (FixRes)")
    mix: float = Field(0.0, ge=0, lt=1, description="share of the starting weights mixed in at the end (WiSE-FT)")
    best: Literal["validation", "last"] = Field("validation", description="what best.pt is")
    freeze_epochs: int = Field(0, ge=0, description="epochs in which only the head learns")
    frozen: tuple[str, ...] = Field((), description="parts of the net that never learn, e.g. conv1, bn1, layer1")
    norm_stats: Literal["train", "fixed"] = Field("train", description="fixed: BatchNorm keeps its statistics")
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    class_balance: Literal["none", "loss", "sample"] = "none"
    clip: float = Field(1.0, ge=0, description="largest norm of the gradient; 0: any")
    ema: float = Field(0.0, ge=0, lt=1, description="decay a step of the weights' running mean; 0: no mean")
    compile: bool = Field(False, description="torch.compile: quicker steps after a minute or more for the first")
    patience: int = Field(0, ge=0, description="epochs without a better metric before it stops; 0: never stops")
    evaluate_every: int = Field(1, ge=1, description="epochs between two evaluations; the last is always evaluated")
    save_steps: int = Field(50, ge=1, description="steps between two saves of the training state")
    seed: int = Field(0, ge=0, lt=2**31)

    @model_validator(mode="after")
    def _some_epochs_thawed(self) -> Schedule:
        if self.freeze_epochs > self.epochs:
            raise ValueError("freeze_epochs of at most epochs")
        if (self.refit_head or not self.epochs) and not self.probe_views:
            raise ValueError("probe_views of at least 1 with refit_head or without epochs")
        if self.drops and (self.cosine or not all(0 < d < 1 for d in self.drops)):
            raise ValueError("drops between 0 and 1, and cosine = false with them")
        return self


class Loss(Table):
    """What a CenterNet (Zhou et al. 2019, sec. 3) and a U-Net are trained with."""

    heatmap: Literal["focal", "logistic"] = Field("focal", description="logistic: the lecture's, pixel by pixel")
    radius: Literal["fixed", "official"] = Field("fixed", description="formula of the bells' radius")
    dice: float = Field(1.0, ge=0, le=10, description="segmentation: weight of the dice loss beside the cross-entropy")


class Duplicates(Table):
    """How duplicates among a detector's boxes are left out: a part of the net, so the same wherever it runs."""

    iou: float = Field(0.6, ge=0, lt=1, description="a box that overlaps a better one by more is left out; 0: none is")
    across_classes: bool = Field(False, description="also where the two are of different classes")

    def made(self) -> Suppression | None:
        return Suppression(self.iou, self.across_classes) if self.iou else None


class Threshold(Table):
    """From which score on a detector shows boxes, and from which it raises the alarm that there is one in the picture,
    chosen a class on the validation pictures."""

    precision: float | None = Field(
        None, gt=0, lt=1, description="share of right boxes that must be reached; none: where F1 is highest"
    )
    false_alarms: float = Field(0.01, gt=0, lt=1, description="share of pictures without one that may raise the alarm")


class Compete(Table):
    """Which way of fine-tuning is worth it, decided on pictures held out of the training ones.

    The fitted head alone; what [schedule] makes of it; weights between the two (Wortsman et al. 2022, "Robust
    fine-tuning of zero-shot models", WiSE-FT); and the end with its head fitted again. What is worth it is done again
    on all training pictures; the validation pictures decide nothing.
    """

    share: float = Field(0.0, ge=0, lt=1, description="of the training pictures held out for it; 0: no competition")
    least: int = Field(200, ge=0, description="pictures: where the share has fewer, more are held out, at most half")
    mixes: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        (0.5, 0.25), description="shares of the starting weights that compete"
    )

    def share_of(self, pictures: int) -> float:
        """Which share of so many training pictures is held out."""
        return max(self.share, min(0.5, self.least / pictures))


class Recipe(Table):
    """One training, whole: with the data and the seed it says everything that a run depends on."""

    name: str
    description: str = ""
    task: TaskName = "classification"
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    net: Net = Field(default_factory=lambda: Net.model_validate({}))
    input: Input = Field(default_factory=lambda: Input.model_validate({}))
    data: Data = Field(default_factory=lambda: Data.model_validate({}))
    augment: Augment = Field(default_factory=lambda: Augment.model_validate({}))
    loss: Loss = Field(default_factory=lambda: Loss.model_validate({}))
    threshold: Threshold = Field(default_factory=lambda: Threshold.model_validate({}))
    suppression: Duplicates = Field(default_factory=lambda: Duplicates.model_validate({}))
    schedule: Schedule = Field(default_factory=lambda: Schedule.model_validate({}))
    compete: Compete = Field(default_factory=lambda: Compete.model_validate({}))
    map: ClassNames = Field({}, description="classes to be trained = the data's names of each; '-' = what is left out")

    @model_validator(mode="after")
    def _competition_fits(self) -> Recipe:
        fits = task_of(self.task).fits_head and self.schedule.probe_views and self.schedule.epochs
        if self.compete.share and not fits:
            raise ValueError("compete.share = 0 but for a classifier with probe_views and epochs of at least 1")
        return self

    @model_validator(mode="after")
    def _input_fits(self) -> Recipe:
        try:
            self.input.preprocess()
        except InputError as error:
            raise ValueError(f"input: {error.what} {error.expected}") from error
        lengths = [n for size in (self.input.size, self.input.train_size) for n in sides(size)]
        if unfit := task_of(self.task).unfit_input(self.input.resize, lengths):
            raise ValueError(unfit)
        height, width = sides(self.input.train_size)
        if self.augment.turned and height != width:
            raise ValueError("augment.turned = 0 but for a square input.train_size")
        return self


RECIPES = Kind(Recipe, "a recipe", example="schedule.epochs=20", package="edgekit.recipes")


def recipe_names() -> tuple[str, ...]:
    """Names of the recipes that edgekit ships."""
    return RECIPES.names()


def load_recipe(name: str | os.PathLike[str], changes: Sequence[str] = ()) -> Recipe:
    """A shipped recipe by name, or one's own by the path of its TOML file.

    Args:
        changes: `key=value` with dotted keys (`schedule.epochs=20`), typed as the recipe's fields are.

    Raises:
        UsageError: unknown name, not a recipe, or an unknown key.
    """
    return RECIPES.load(name, changes)


def parse_recipe(text: str, source: str, changes: Sequence[str] = ()) -> Recipe:
    """A recipe from TOML text; `source` is for the messages. Raises UsageError as `load_recipe`."""
    return RECIPES.parse(text, source, changes)
