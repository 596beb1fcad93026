"""An update becomes the camera's model: looked at from outside to inside, and taken by one rename at the end."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from edgekit import loading
from edgekit.artifacts.atomic import reason, sync_folder
from edgekit.artifacts.engine import sidecar_of
from edgekit.artifacts.onnx_file import file_sha256
from edgekit.camera.config import CameraConfig
from edgekit.errors import ArtifactError, EdgekitError, OutputError, UsageError, VerificationError
from edgekit.updating.pace import too_slow
from edgekit.updating.package import Package, model_in, open_package
from edgekit.updating.probe import Answer, Question, asked_of, probe
from edgekit.updating.record import (
    FOLDER,
    STAGED,
    Installed,
    choices,
    locked,
    note,
    on_trial,
    read_record,
    sweep,
    take,
)


@dataclass(frozen=True)
class Taken:
    """An update that was taken.

    Attributes:
        new: what is on trial now.
        answer: of the check before.
    """

    new: Installed
    answer: Answer


def models_of(config: CameraConfig) -> Path | None:
    """Where a camera's updates lie; None where it has no store, and so no place for them."""
    return None if config.store.folder is None else config.store.folder / FOLDER


def bytes_at(path: Path) -> tuple[str, ...]:
    """The hashes of a model's files. Raises ArtifactError where one cannot be read."""
    path = loading.model_path(path)
    files = (path, sidecar_of(path)) if path.suffix == loading.ENGINE else (path,)
    try:
        return tuple(file_sha256(file) for file in files)
    except OSError as error:
        raise ArtifactError(
            f"{path} cannot be read as a model.", got=str(error), expected="an exported file"
        ) from error


def usable(config: CameraConfig, models: Path, of: tuple[str, ...]) -> Iterator[tuple[Path, Installed]]:
    """The updates to look with instead of the configuration's model, whose hashes are `of`: whole and signed ones.

    Gives:
        The model's file and the update, the newest first. One that was damaged, or whose key is trusted no more, is
        passed over.
    """
    for one in choices(models, of):
        with contextlib.suppress(ArtifactError, VerificationError):
            yield model_in(models / one.folder, one.ident, config.update.keys), one


def install(path: Path, config: CameraConfig, ask: Callable[[Question], Answer] = probe) -> Taken:
    """Checks an update and puts it on trial; where that is refused, everything is as it was.

    In this order: signature and manifest, that it is newer than the last, every file's hash while it is unpacked into
    a hidden folder, and what the model answers to its golden pictures in a process of its own. Killed at any moment,
    the camera has the model that it had, or, from the last rename on, the new one.

    Args:
        path: of the package.
        config: of the camera.

    Raises:
        UsageError: the camera has no store or no key.
        ArtifactError: broken, changed, or older than what was taken already.
        VerificationError: a wrong signature, or a model that fails its golden pictures.
        BusyError: another update is being checked or on trial.
        OutputError: no room for it.
    """
    models = models_of(config)
    if models is None or not config.update.keys:
        raise UsageError(
            "This camera takes no updates.",
            got="no store.folder" if models is None else "no update.keys",
            expected="a store, and the public key that updates are signed with",
            fix="docs/updates.md says how to make one",
        )
    package = None
    with locked(models, "update", wait=False):
        sweep(models)
        try:
            package = open_package(path, config.update.keys)
            return _install(package, models, config, ask)
        except EdgekitError as error:
            name, ident = (package.manifest.model, package.ident) if package else (path.name, "")
            note(models, "refused", name, ident, error.what + (f" {error.got}" if error.got else ""))
            raise
        finally:
            sweep(models)


def _install(package: Package, models: Path, config: CameraConfig, ask: Callable[[Question], Answer]) -> Taken:
    of, record = bytes_at(config.model.path), read_record(models)
    manifest = package.manifest
    if record.of == of and record.trial is not None:
        raise on_trial(record)
    if manifest.serial <= record.serial:
        raise ArtifactError(
            f"{package.path} is not newer than what this camera took already.",
            got=f"number {manifest.serial}",
            expected=f"one above {record.serial}",
            fix="sign the model again: the number is the time of signing",
        )
    new = Installed(package.ident, manifest.model)
    staged = models / f"{STAGED}{os.getpid()}-{secrets.token_hex(4)}"
    package.unpack(staged)
    standing = str(next(usable(config, models, of), (loading.model_path(config.model.path), None))[0])
    answer = ask(Question(asked_of(config), str(staged / new.model), manifest.pictures, manifest.limits, standing))
    if answer.passed and (slow := too_slow(config, answer.seconds, answer.standing)):
        answer = Answer(False, slow)
    if not answer.passed:
        raise VerificationError(
            f"{new.model} failed its check on this device, and the model in use stays.",
            got=answer.why,
            expected="the answers that it was signed with, in time",
        )
    place = models / new.folder
    try:
        shutil.rmtree(place, ignore_errors=True)  # of an update that was given back, or of a killed process
        staged.rename(place)
    except OSError as error:
        raise OutputError(f"{place} cannot be made.", got=reason(error)) from error
    sync_folder(models)
    take(models, of, new, manifest.serial)
    return Taken(new, answer)
