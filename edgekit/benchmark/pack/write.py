"""Writes a bench pack, whole or not at all."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.artifacts.atomic import atomic
from edgekit.benchmark.pack.manifest import (
    ARRAYS,
    MANIFEST,
    Answers,
    File,
    Manifest,
    Model,
    Picture,
    PictureSet,
    answers_of,
    model_file,
    truth_of,
)
from edgekit.benchmark.suite import Suite
from edgekit.data import Dataset, Sample
from edgekit.errors import DataError
from edgekit.progress import track
from edgekit.reading.archive import copied
from edgekit.version import __version__
from edgekit.vision.find import SUFFIXES
from edgekit.vision.image import encode_picture


@dataclass(frozen=True)
class PackedSet:
    """Pictures of a task: those that go along, all readable, and of how many. A name of letters and digits."""

    name: str
    task: str
    dataset: Dataset
    of: int


@dataclass(frozen=True)
class PackedModel:
    """A model's file, its set by number, and its outputs [N, ...] by name to the pictures of `answers`."""

    file: Path
    set: int
    answers: Answers
    outputs: Mapping[str, Any]


def write_pack(
    path: Path, suite: Suite, sets: Sequence[PackedSet], models: Mapping[str, PackedModel], *, overwrite: bool = False
) -> Manifest:
    """One zip with all of it; files are stored as they are.

    Args:
        suite: names models as `models` does.

    Raises:
        OutputError: it cannot be written, or is there already.
        DataError: a picture is gone.
    """
    files: dict[str, File] = {}
    with atomic(path, overwrite=overwrite) as target, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:

        def add(name: str, source: Path | bytes) -> None:
            entry = zipfile.ZipInfo(name)  # of 1980: a file's own time may be none that a zip can have
            size = source.stat().st_size if isinstance(source, Path) else len(source)
            with (
                source.open("rb") if isinstance(source, Path) else io.BytesIO(source) as stream,
                archive.open(entry, "w", force_zip64=size > zipfile.ZIP64_LIMIT) as place,
            ):
                sha, count = copied(stream, place, size)
            files[name] = File(sha256=sha, bytes=count)

        for name, model in models.items():
            add(model_file(name), model.file)
            add(answers_of(name), _npz(model.outputs))
        described = []
        for one in sets:
            pictures = []
            for i, sample in enumerate(track(one.dataset, "packing pictures")):
                name, content = _picture(one.name, i, sample)
                add(name, content)
                pictures.append(
                    Picture(
                        file=name,
                        name=sample.name,
                        label=sample.label,
                        labels=sample.labels,
                        unknown_labels=sample.unknown_labels,
                    )
                )
            described.append(_described(one, pictures))
            if one.dataset.boxed or one.dataset.masked:
                add(truth_of(one.name), _npz(_truth(one.dataset)))
        manifest = Manifest(
            schema="edgekit.bench-pack",
            created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            edgekit=__version__,
            suite=suite,
            sets=tuple(described),
            models={name: Model(set=model.set, answers=model.answers) for name, model in models.items()},
            files=files,
        )
        archive.writestr(zipfile.ZipInfo(MANIFEST), manifest.model_dump_json(by_alias=True, indent=1))
    return manifest


def _described(one: PackedSet, pictures: Sequence[Picture]) -> PictureSet:
    return PictureSet(
        name=one.name,
        task=one.task,
        layout=one.dataset.layout,
        classes=one.dataset.classes,
        made=one.dataset.samples[0].path is None,
        boxed=one.dataset.boxed,
        masked=one.dataset.masked,
        of=one.of,
        pictures=tuple(pictures),
    )


def _picture(name: str, i: int, sample: Sample) -> tuple[str, Path | bytes]:
    """Its name in the pack, and its file as it is; a frame becomes a PNG, which loses nothing."""
    if sample.path is None:
        return f"pictures/{name}/{i:05}.png", encode_picture(sample.read(), ".png")
    suffix = sample.path.suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(f"{sample.path} cannot be packed.", got=suffix or "no suffix", expected=", ".join(SUFFIXES))
    return f"pictures/{name}/{i:05}{suffix}", sample.path


def _truth(dataset: Dataset) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for i, sample in enumerate(dataset):
        known = {name: getattr(sample, name) for name in ARRAYS if name != "mask"}
        if sample.mask is not None:
            known["mask"] = sample.read_mask()
        found |= {f"{name}_{i}": values for name, values in known.items() if values is not None}
    return found


def _npz(arrays: Mapping[str, Any]) -> bytes:
    held = io.BytesIO()
    np.savez_compressed(held, **arrays)
    return held.getvalue()
