"""An update as one file: a model, golden pictures with its answers to them, and a manifest with a signature.

A zip whose files are stored as they are: `manifest.json`, `manifest.sig`, the model (of an engine the plan and its
sidecar), `golden/000.jpg` and so on, and `golden/answers.npz`. The signature is of the manifest, and the manifest has
the hash of every other file; nothing of the zip is used before both were checked.
"""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from edgekit.artifacts.archive import opened, unpack
from edgekit.artifacts.atomic import atomic, make_folder, reason, write_bytes
from edgekit.artifacts.engine import sidecar_of
from edgekit.artifacts.onnx_file import file_sha256
from edgekit.config.target import Limits
from edgekit.errors import ArtifactError, VerificationError
from edgekit.loading import ENGINE
from edgekit.reading import RefusedError, load_json, read_bytes
from edgekit.reading.limits import CARD, GB
from edgekit.screen import count_of
from edgekit.updating.keys import SIGNATURE, SigningKey, is_signed
from edgekit.vision.find import SUFFIXES

FORMAT = 1
MANIFEST, SIGNED, GOLDEN, ANSWERS = "manifest.json", "manifest.sig", "golden", "golden/answers.npz"
MOST_PICTURES = 64
LARGEST = 8 * GB  # of all files together
_MODEL = re.compile(r"[A-Za-z0-9][\w.-]{0,90}\.(onnx|engine)", re.ASCII)
_PICTURE = re.compile(rf"{GOLDEN}/\d{{3}}({'|'.join(map(re.escape, sorted(SUFFIXES)))})", re.ASCII)


@dataclass(frozen=True)
class Part:
    """One file of a package: its sha256 (hex) and its bytes."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class Manifest:
    """What a package says of itself, and what is signed.

    Attributes:
        model: name of the model's file.
        serial: seconds since 1970 when it was signed; a device takes none that is not newer than the last.
        files: by name, in the package.
        limits: how far the answers on the device may be from those in the package.
    """

    model: str
    serial: int
    files: Mapping[str, Part]
    limits: Mapping[str, Any]
    format: int = FORMAT

    @property
    def pictures(self) -> tuple[str, ...]:
        """The golden ones, in order."""
        return tuple(sorted(name for name in self.files if _PICTURE.fullmatch(name)))

    @property
    def model_files(self) -> tuple[str, ...]:
        """The model, and of an engine its sidecar."""
        return _model_files(self.model)


def _model_files(name: str) -> tuple[str, ...]:
    return (name, sidecar_of(Path(name)).name) if name.endswith(ENGINE) else (name,)


def write_package(
    path: Path, model: Path, pictures: Sequence[Path], answers: bytes, limits: Limits, key: SigningKey, serial: int
) -> Manifest:
    """Packs a model and signs it; what stood at `path` is replaced.

    Args:
        model: an .onnx or .engine, proven already.
        pictures: golden ones, as files.
        answers: an .npz of the model's outputs to them, [N, ...] each.
        limits: of those answers.
        serial: seconds since 1970.

    Raises:
        OutputError: it cannot be written.
    """
    files = {name: model.with_name(name) for name in _model_files(model.name)}
    files |= {f"{GOLDEN}/{i:03}{picture.suffix.lower()}": picture for i, picture in enumerate(pictures)}
    parts = {name: Part(file_sha256(file), file.stat().st_size) for name, file in files.items()}
    parts[ANSWERS] = Part(hashlib.sha256(answers).hexdigest(), len(answers))
    manifest = Manifest(model.name, serial, parts, limits.model_dump())
    text = json.dumps(asdict(manifest), indent=1, sort_keys=True).encode()
    with atomic(path, overwrite=True) as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(MANIFEST, text)
        archive.writestr(SIGNED, key.sign(text))
        archive.writestr(ANSWERS, answers)
        for name, file in files.items():
            archive.write(file, name)
    return manifest


@dataclass(frozen=True)
class Package:
    """A package whose manifest one of the keys vouches for; its files are not looked at yet.

    Attributes:
        text, signature: of the manifest, as they are in the package.
    """

    path: Path
    manifest: Manifest
    text: bytes
    signature: bytes

    @property
    def ident(self) -> str:
        """sha256 (hex) of the manifest, which no other update has."""
        return hashlib.sha256(self.text).hexdigest()

    def unpack(self, folder: Path) -> None:
        """Writes its files into a new folder, each compared with the manifest and flushed to the disk.

        Raises:
            ArtifactError: a file is cut off, changed, or of another size.
            OutputError: the disk is full or read-only.
        """
        make_folder(folder / GOLDEN)
        write_bytes(folder / MANIFEST, self.text, mode=0o600)
        write_bytes(folder / SIGNED, self.signature, mode=0o600)
        with opened(self.path, LARGEST, _broken) as archive:
            for name, part in sorted(self.manifest.files.items()):
                unpack(
                    archive,
                    name,
                    part,
                    folder / name,
                    other=f"{self.path} is not as it was signed: {name} was changed.",
                    fix="copy it again, or sign the model again",
                    mode=0o600,
                )


def open_package(path: Path, keys: Sequence[str]) -> Package:
    """Checks a package's frame and its signature.

    Raises:
        ArtifactError: no package, a broken one, or one with files that the manifest does not name.
        VerificationError: none of the keys signed it.
    """
    with opened(path, LARGEST, _broken) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        for name, most in ((MANIFEST, CARD), (SIGNED, SIGNATURE)):
            if name not in entries or entries[name].file_size > most:
                raise _broken(path, f"no {name}" if name not in entries else f"a {name} that is too large")
        text, signature = archive.read(MANIFEST), archive.read(SIGNED)
    manifest = _trusted(path, text, signature, keys)
    strange = sorted({*entries} ^ {*manifest.files, MANIFEST, SIGNED})
    if strange:
        raise _broken(path, f"{strange[0]!r} is only in the {'file' if strange[0] in entries else 'manifest'}")
    return Package(path, manifest, text, signature)


def model_in(folder: Path, ident: str, keys: Sequence[str]) -> Path:
    """The model in a folder that `Package.unpack` filled, where it still is what one of the keys vouches for.

    Args:
        ident: of the package.

    Raises:
        ArtifactError: something in it is another, or not there.
        VerificationError: none of the keys signed it.
    """
    try:
        text, signature = (read_bytes(folder / name, CARD) for name in (MANIFEST, SIGNED))
        manifest = _trusted(folder, text, signature, keys)
        good = all(file_sha256(folder / name) == manifest.files[name].sha256 for name in manifest.model_files)
    except (OSError, RefusedError) as error:
        raise _broken(folder, reason(error) if isinstance(error, OSError) else str(error)) from error
    if not good or hashlib.sha256(text).hexdigest() != ident:
        raise _broken(folder, "a model whose bytes were changed on the disk" if not good else "another update")
    return folder / manifest.model


def _trusted(path: Path, text: bytes, signature: bytes, keys: Sequence[str]) -> Manifest:
    """A manifest that one of the keys signed, and is still read with care: the signer may run another edgekit."""
    if not is_signed(text, signature, keys):
        raise VerificationError(
            f"{path} is not signed by a key that this camera trusts.",
            got="another signature" if keys else "no key in update.keys",
            expected="a signature of one of update.keys",
            fix="sign it with that key, or put the public key into update.keys",
        )
    try:
        content = load_json(text)
        if content["format"] != FORMAT:
            raise ValueError(f"format {content['format']!r}, not {FORMAT}")
        found = TypeAdapter(Manifest).validate_python(content)
        Limits.model_validate(dict(found.limits))
        allowed = {*found.model_files, ANSWERS, *found.pictures}
        if not _MODEL.fullmatch(found.model) or not found.pictures or {*found.files} != allowed:
            raise ValueError("a model, golden pictures and answers, and nothing else")
        if len(found.pictures) > MOST_PICTURES or any(part.bytes < 0 for part in found.files.values()):
            raise ValueError(f"{count_of(len(found.pictures), 'picture')}")
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise _broken(path, f"a manifest of another kind: {str(error).splitlines()[0]}") from error
    return found


def _broken(path: Path, got: str) -> ArtifactError:
    return ArtifactError(
        f"{path} is no update, or a broken one.",
        got=got,
        expected="what edgekit camera --sign wrote",
        fix="copy it again",
    )
