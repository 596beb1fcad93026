"""What a bench pack says of itself, in `pack.json`.

Every other file is named there with its sha256 and size: `models/NAME.onnx`, `pictures/SET/00000.jpg`,
`truth/SET.npz` with boxes and masks as arrays, and `expected/NAME.npz` with a model's outputs to some of the pictures.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from edgekit.benchmark.schema import Part
from edgekit.benchmark.suite import Suite
from edgekit.config.target import Limits
from edgekit.vision.find import SUFFIXES

MANIFEST = "pack.json"
SCHEMA: Literal["edgekit.bench-pack"] = "edgekit.bench-pack"
VERSION: Literal[1] = 1
ARRAYS = ("boxes", "box_labels", "box_areas", "ignored_boxes", "ignored_labels", "mask")  # of picture i: NAME_i
CHECKED = 32  # pictures of each model whose answers go along
_PICTURE = rf"pictures/[A-Za-z0-9][\w-]{{0,60}}/\d{{5}}({'|'.join(map(re.escape, sorted(SUFFIXES)))})"
FILES = re.compile(
    rf"(models/[A-Za-z0-9][\w.-]{{0,90}}\.onnx|{_PICTURE}|truth/[A-Za-z0-9][\w-]{{0,60}}\.npz|expected/[A-Za-z0-9][\w.-]{{0,90}}\.npz)",
    re.ASCII,
)

Sha = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class File(Part):
    """One file of the pack."""

    sha256: Sha
    bytes: int = Field(ge=0)


class Picture(Part):
    """One picture, and what is known of it beside the boxes and masks in `truth/SET.npz`."""

    file: str
    name: str
    label: int | None = None
    labels: tuple[int, ...] | None = None
    unknown_labels: tuple[int, ...] = ()


class PictureSet(Part):
    """The pictures of a task and its classes."""

    name: str = Field(description="what its files are called by, and a report calls it")
    task: str
    layout: str
    classes: tuple[str, ...] | None
    made: bool = Field(description="made in code: held as frames, and written as JPEG to be timed")
    boxed: bool
    masked: bool
    of: int = Field(ge=1, description="pictures of the set that they were taken from")
    pictures: tuple[Picture, ...] = Field(min_length=1)


class Answers(Part):
    """What a model must answer: `expected/NAME.npz` has its outputs by name, [N, ...] each."""

    by: str
    pictures: tuple[int, ...] = Field(min_length=1, description="of the model's set, in the order of the outputs")
    limits: Limits


class Model(Part):
    """One model: its set of pictures, by number, and its answers."""

    set: int = Field(ge=0)
    answers: Answers


class Manifest(Part):
    """A whole pack. A name of a file or picture that it does not have is refused."""

    schema_: Literal["edgekit.bench-pack"] = Field(default=SCHEMA, alias="schema")
    version: Literal[1] = VERSION
    created: str
    edgekit: str
    suite: Suite
    sets: tuple[PictureSet, ...] = Field(min_length=1)
    models: dict[str, Model] = Field(min_length=1, description="by name; files models/NAME, expected/STEM.npz")
    files: dict[str, File]

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, populate_by_name=True, protected_namespaces=())

    @model_validator(mode="after")
    def _whole(self) -> Manifest:
        for name in self.files:
            if not FILES.fullmatch(name):
                raise ValueError(f"a file called {name!r:.120}")
        wanted = set(self._wanted())
        strange = sorted(wanted ^ set(self.files))
        if strange:
            raise ValueError(f"{strange[0]!r} is {'named' if strange[0] in wanted else 'listed'} only")
        unknown = sorted({name for matrix in self.suite.matrix for name in matrix.models} - set(self.models))
        if unknown:
            raise ValueError(f"a suite of {unknown[0]!r:.120}, which is not among the models")
        for name, model in self.models.items():
            if model.set >= len(self.sets):
                raise ValueError(f"{name!r:.120} has pictures of set {model.set}, of {len(self.sets)}")
            if not all(0 <= i < len(self.sets[model.set].pictures) for i in model.answers.pictures):
                raise ValueError(f"{name!r:.120} has answers to pictures that are not there")
        return self

    def _wanted(self) -> Iterator[str]:
        for one in self.sets:
            yield from (picture.file for picture in one.pictures)
            if one.boxed or one.masked:
                yield truth_of(one.name)
        for name in self.models:
            yield from (model_file(name), answers_of(name))


def model_file(name: str) -> str:
    """Of a model called so."""
    return f"models/{name}"


def answers_of(name: str) -> str:
    """The file of a model's expected answers."""
    return f"expected/{name.removesuffix('.onnx')}.npz"


def truth_of(name: str) -> str:
    """The file of the boxes and masks of a set."""
    return f"truth/{name}.npz"
