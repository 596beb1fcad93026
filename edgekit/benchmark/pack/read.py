"""Opens a bench pack, which may come from anywhere: the frame first, then each file against the manifest's sha256."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from edgekit.artifacts.archive import opened, unpack
from edgekit.artifacts.atomic import make_folder
from edgekit.benchmark.pack.manifest import (
    ARRAYS,
    MANIFEST,
    SCHEMA,
    VERSION,
    Manifest,
    PictureSet,
    answers_of,
    truth_of,
)
from edgekit.benchmark.schema import Packed
from edgekit.data import Dataset, Sample
from edgekit.errors import ArtifactError, DataError
from edgekit.progress import track
from edgekit.reading import load_json
from edgekit.reading.archive import read_npz
from edgekit.reading.limits import CARD, GB, PAIRS
from edgekit.vision.image import read_picture

LARGEST = 8 * GB  # of all files together


@dataclass(frozen=True)
class Pack:
    """A pack whose manifest was read; its files are not looked at yet.

    Attributes:
        text: the manifest as it is in the zip.
    """

    path: Path
    manifest: Manifest
    text: bytes

    def describe(self) -> Packed:
        """For a report."""
        sha = hashlib.sha256(self.text).hexdigest()
        return Packed(name=self.path.name, sha256=sha, created=self.manifest.created, edgekit=self.manifest.edgekit)

    def unpack(self, folder: Path) -> Unpacked:
        """Writes every file below `folder`, each compared with the manifest while it is copied.

        Raises:
            ArtifactError: a file is cut off or another than the manifest says.
            OutputError: the disk is full or read-only.
        """
        for place in {(folder / name).parent for name in self.manifest.files}:
            make_folder(place)
        with opened(self.path, LARGEST, _broken) as archive:
            for name, file in track(sorted(self.manifest.files.items()), "unpacking", len(self.manifest.files)):
                unpack(
                    archive,
                    name,
                    file,
                    folder / name,
                    other=f"{name} in {self.path} is not what its manifest says.",
                    fix="copy the pack again, or write it anew with edgekit bench --pack",
                    overwrite=True,
                )
        return Unpacked(self, folder)


@dataclass(frozen=True)
class Unpacked:
    """A pack's files on the disk."""

    pack: Pack
    folder: Path

    @property
    def models(self) -> Path:
        """The folder of its models."""
        return self.folder / "models"

    def dataset(self, model: str) -> Dataset:
        """The pictures for the model of this name, in the order of the manifest."""
        one = self.pack.manifest.sets[self.pack.manifest.models[model].set]
        arrays = self._arrays(truth_of(one.name)) if one.boxed or one.masked else {}
        try:
            samples = tuple(self._sample(one, i, arrays) for i in range(len(one.pictures)))
        except (KeyError, DataError) as error:
            raise _broken(self.pack.path, f"{truth_of(one.name)}: {error}") from error
        note = () if one.of == len(samples) else (f"{len(samples)} of {one.of} pictures, as the pack has them",)
        return Dataset(samples, one.classes, one.layout, note)

    def answers(self, model: str) -> dict[str, Any]:
        """The outputs that the model of this name must give, [N, ...] each, by name."""
        return self._arrays(answers_of(model))

    def _arrays(self, name: str) -> dict[str, Any]:
        try:
            return read_npz(self.folder / name, PAIRS)
        except (OSError, ValueError) as error:
            raise _broken(self.pack.path, f"{name}: {error}") from error

    def _sample(self, one: PictureSet, i: int, arrays: dict[str, Any]) -> Sample:
        picture = one.pictures[i]
        path = self.folder / picture.file
        frame = read_picture(path) if one.made else None
        known = {name: arrays[f"{name}_{i}"] for name in ARRAYS if f"{name}_{i}" in arrays}
        if (one.boxed and "boxes" not in known) or (one.masked and "mask" not in known):
            raise KeyError(f"nothing of picture {i}")
        return Sample(
            path if frame is None else None,
            frame,
            picture.label,
            picture.name,
            labels=picture.labels,
            unknown_labels=picture.unknown_labels,
            **known,
        )


def open_pack(path: Path) -> Pack:
    """Reads a pack's manifest and compares it with the zip's directory; nothing is unpacked.

    Raises:
        ArtifactError: no pack, a broken one, one of another version, or one with files that the manifest has not.
    """
    with opened(path, LARGEST, _broken) as archive:
        entries = {entry.filename: entry.file_size for entry in archive.infolist()}
        if MANIFEST not in entries or entries[MANIFEST] > CARD:
            raise _broken(path, f"no {MANIFEST}" if MANIFEST not in entries else f"a {MANIFEST} that is too large")
        text = archive.read(MANIFEST)
    manifest = _manifest(path, text)
    strange = sorted({*entries} ^ {*manifest.files, MANIFEST})
    if strange:
        raise _broken(path, f"{strange[0][:120]!r} is only in the {'zip' if strange[0] in entries else 'manifest'}")
    for name, file in manifest.files.items():
        if entries[name] != file.bytes:
            raise _broken(path, f"{name} has {entries[name]} bytes and not {file.bytes}")
    return Pack(path, manifest, text)


def _manifest(path: Path, text: bytes) -> Manifest:
    try:
        content = load_json(text)
    except ValueError as error:
        raise _broken(path, f"{MANIFEST}: {error}") from error
    found = (content.get("schema"), content.get("version")) if isinstance(content, dict) else (None, None)
    if found != (SCHEMA, VERSION):
        raise ArtifactError(
            f"{path} is not a bench pack of this version.",
            got=f"schema {found[0]!r:.60} version {found[1]!r:.60}",
            expected=f"{SCHEMA!r} version {VERSION}",
            fix="write it with this version of edgekit: edgekit bench MODEL... --pack FILE.zip",
        )
    try:
        return Manifest.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise _broken(path, f"{MANIFEST}: {f'{where}: ' if where else ''}{first['msg']}") from error


def _broken(path: Path, got: str) -> ArtifactError:
    return ArtifactError(
        f"{path} is no bench pack, or a broken one.",
        got=got,
        expected="what edgekit bench --pack wrote",
        fix="copy it again, or write it anew with edgekit bench MODEL... --pack FILE.zip",
    )
