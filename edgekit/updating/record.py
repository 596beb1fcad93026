"""Which model a camera looks with: `current.json` in the store's `models/`, replaced whole, so there always is one.

Every update lies in a folder of its own, named by its manifest's hash, and is never changed. What moves is this file
alone: an update is taken, kept or given back by one rename.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from edgekit.artifacts.atomic import reason, sync_folder, write_json
from edgekit.camera.clock import boot_id, iso
from edgekit.errors import BusyError, OutputError
from edgekit.reading import RefusedError, load_json, read_bytes
from edgekit.reading.limits import CARD

FOLDER = "models"  # in the camera's store
CURRENT, LAST = "current.json", "last.json"
STAGED = ".new-"  # folders that are being filled
_STARTS = 3  # of the machine, in which a trial may begin
Outcome = Literal["trial", "kept", "returned", "refused"]


@dataclass(frozen=True)
class Installed:
    """A model that came by an update.

    Attributes:
        ident: sha256 (hex) of its manifest; the first 16 digits are its folder's name.
        model: the file's name in it.
    """

    ident: str
    model: str

    @property
    def folder(self) -> str:
        """Its name in `models/`."""
        return self.ident[:16]


@dataclass(frozen=True)
class Trial:
    """What is known of a model on trial.

    Attributes:
        boot: of the machine, when it last began to look; empty: it has not yet, or stopped in an orderly way.
        starts: how often it began without an end in order.
    """

    boot: str = ""
    starts: int = 0


@dataclass(frozen=True)
class Record:
    """What `current.json` says.

    Attributes:
        of: hashes of the configuration's own model that the updates stand in for.
        serial: of the newest update ever taken; older ones are not.
        current: the model to look with; None: the configuration's own.
        previous: the one before it, which is taken where `current` fails.
        trial: while `current` has still to show itself.
    """

    of: tuple[str, ...]
    serial: int = 0
    current: Installed | None = None
    previous: Installed | None = None
    trial: Trial | None = None


NOTHING = Record(())


def read_record(models: Path) -> Record:
    """What is recorded; `NOTHING` where nothing is, or what is there cannot be read."""
    try:
        return TypeAdapter(Record).validate_python(load_json(read_bytes(models / CURRENT, CARD)))
    except (OSError, ValueError, RefusedError, ValidationError):
        return NOTHING


def choices(models: Path, of: tuple[str, ...]) -> list[Installed]:
    """The updates to look with instead of the configuration's model, whose hashes are `of`, the newest first."""
    record = read_record(models)
    return [one for one in (record.current, record.previous) if one is not None] if record.of == of else []


def take(models: Path, of: tuple[str, ...], new: Installed, serial: int) -> None:
    """Puts an update that is on the disk already on trial, in the place of what is in use.

    Raises:
        BusyError: another one is on trial by now.
        OutputError: the disk is full or read-only; all is as it was.
    """
    with locked(models, "record"):
        record = read_record(models)
        same = record.of == of
        if same and record.trial is not None:
            raise on_trial(record)
        standing = record.current if same else None
        _write(models, Record(of, serial, new, standing, Trial()))
        note(models, "trial", new.model, new.ident, "")


def begin(models: Path, of: tuple[str, ...]) -> str:
    """Says that the camera starts to look, and gives back a model that ended the process when it last did.

    Returns:
        Why a model on trial was given back, or nothing.
    """
    with locked(models, "record"):
        record = read_record(models)
        if record.of != of or record.trial is None or record.current is None:
            return ""
        trial, boot = record.trial, boot_id() or "unknown"
        if trial.boot == boot:
            return _give_back(models, record, "the process ended without a word while it was on trial")
        if trial.starts >= _STARTS:
            return _give_back(models, record, f"the machine started anew {_STARTS} times while it was on trial")
        _write(models, replace(record, trial=replace(trial, boot=boot, starts=trial.starts + 1)))
        return ""


def pause(models: Path, ident: str) -> None:
    """Says that the camera stopped in an orderly way; the trial goes on when it starts again."""
    with locked(models, "record"):
        record = read_record(models)
        if record.trial is not None and record.current is not None and record.current.ident == ident:
            _write(models, replace(record, trial=Trial()))


def keep(models: Path, ident: str) -> None:
    """Ends a trial well; models that are neither in use nor the one before are removed."""
    with locked(models, "record"):
        record = read_record(models)
        if record.trial is None or record.current is None or record.current.ident != ident:
            return
        _write(models, replace(record, trial=None))
        note(models, "kept", record.current.model, ident, "")
        sweep(models)


def give_back(models: Path, ident: str, why: str) -> bool:
    """Ends a trial: the model before it is in use again. Whether it was this one's trial."""
    with locked(models, "record"):
        record = read_record(models)
        if record.trial is None or record.current is None or record.current.ident != ident:
            return False
        _give_back(models, record, why)
        return True


def _give_back(models: Path, record: Record, why: str) -> str:
    assert record.current is not None
    _write(models, Record(record.of, record.serial, record.previous))
    note(models, "returned", record.current.model, record.current.ident, why)
    return why


def sweep(models: Path) -> None:
    """Removes what no record names: models of the past, and what a killed process left half done."""
    record = read_record(models)
    named = {one.folder for one in (record.current, record.previous) if one is not None}
    for place in models.iterdir():
        if place.is_dir() and place.name not in named:
            shutil.rmtree(place, ignore_errors=True)
    sync_folder(models)


def note(models: Path, outcome: Outcome, model: str, ident: str, why: str) -> None:
    """Keeps what came of the last update, for people: `last.json`. Nothing depends on it."""
    told = {"outcome": outcome, "model": model, "update": ident, "why": why, "at": iso(time.time())}
    with contextlib.suppress(OutputError):
        write_json(models / LAST, told, mode=0o600)


def last_outcome(models: Path) -> dict[str, str]:
    """What came of the last update: `outcome`, `model`, `update`, `why`, `at`; empty where there was none."""
    try:
        found = load_json(read_bytes(models / LAST, CARD))
    except (OSError, ValueError):
        return {}
    return {name: str(value) for name, value in found.items()} if isinstance(found, dict) else {}


def on_trial(record: Record) -> BusyError:
    """What is raised where a second update comes meanwhile."""
    name = record.current.model if record.current else "a model"
    return BusyError(
        "Another update is on trial.",
        got=f"{name}, which has still to show itself",
        expected="one at a time",
        fix="wait until the camera's log says that it was kept or given back",
    )


@contextlib.contextmanager
def locked(models: Path, name: str, wait: bool = True) -> Iterator[None]:
    """Holds a lock that dies with its process.

    Raises:
        BusyError: another one has it and may not be waited for.
        OutputError: the folder cannot be written.
    """
    try:
        models.mkdir(0o700, parents=True, exist_ok=True)
        descriptor = os.open(models / f".{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise OutputError(f"{models} cannot be written to.", got=reason(error)) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    except BlockingIOError as error:
        raise BusyError("Another update is being checked.", got="a lock that is held", fix="wait for it") from error
    finally:
        os.close(descriptor)


def _write(models: Path, record: Record) -> None:
    write_json(models / CURRENT, asdict(record), mode=0o600)
