"""What a file is that cannot be read as weights, and what makes it one that can: each `fix` works when it is followed.

A pickle is looked into by an unpickler for which every name stands for an inert object: nothing of it is imported, and
nothing in it is called.
"""

from __future__ import annotations

import collections
import contextlib
import pickle
import re
import struct
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from edgekit.artifacts.kinds import checkpoint_stem
from edgekit.errors import CheckpointError
from edgekit.reading.archive import zip_sizes

# What an unpickler raises on broken bytes
_BROKEN = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    zlib.error,
    StopIteration,
    EOFError,
    OSError,
    RuntimeError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    OverflowError,
    MemoryError,
    struct.error,
)
# whose classes may be named to torch's restricted unpickler: making one of them does nothing but hold weights
_LIBRARY = re.compile(r"(torch\.nn\.modules|torchvision\.(models|ops)|timm\.(models|layers))(\.[a-z0-9_]+)*\.[A-Z]\w*")
_BUILTINS = ("__builtin__.", "builtins.")


class Thing:
    """Stands for an object of any class.

    Attributes:
        origin: the full name that the pickle calls.
        args: what it is called with.
        state: its attributes, or what else it is set up with.
        filled: `dictionary` or `list`, where the pickle fills it like one.
        held: what it is filled with.
    """

    origin = ""
    args: tuple[Any, ...] = ()
    state: Any = None
    filled = ""
    held: list[Any]

    def __new__(cls, *args: Any, **options: Any) -> Thing:  # an unpickler may leave __init__ out
        made = super().__new__(cls)
        made.args = args
        made.held = []
        return made

    def __init__(self, *args: Any, **options: Any) -> None:
        """Takes whatever it is called with."""

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def append(self, value: Any) -> None:
        """A list's subclass."""
        self.filled = "list"
        self.held.append(value)

    def extend(self, values: Any) -> None:
        """A list's subclass."""
        self.filled = "list"
        self.held += values

    def __setitem__(self, key: Any, value: Any) -> None:
        """A dictionary's subclass."""
        self.filled = "dictionary"
        self.held.append(value)

    @property
    def of(self) -> str:
        """The full name of its class."""
        made = self.args[0] if self.origin == "copyreg._reconstructor" and self.args else self
        return str(getattr(made, "origin", self.origin))

    @property
    def module(self) -> bool:
        """Whether it is a torch.nn.Module, by what it holds."""
        return isinstance(self.state, Mapping) and {"_modules", "_parameters"} <= set(self.state)


class _Ordered(collections.OrderedDict[Any, Any]):
    """With attributes of its own, as a state dict's _metadata."""


class _Inert(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return _Ordered
        return type(name.rpartition(".")[2] or "Thing", (Thing,), {"origin": f"{module}.{name}"})

    def persistent_load(self, pid: Any) -> Any:
        """Nothing for a tensor's numbers; the class of a module, which the old format keeps here."""
        return pid[1] if isinstance(pid, tuple) and len(pid) > 1 and pid[0] in ("module", b"module") else None


def contents(path: Path) -> Any:
    """What a file of torch.save holds, its objects as `Thing`s; None where that cannot be told."""
    with contextlib.suppress(*_BROKEN):
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                name = next(n for n in archive.namelist() if n.endswith("data.pkl"))
                with archive.open(name) as stream:
                    return _Inert(stream).load()
        with path.open("rb") as stream:
            first = _Inert(stream).load()
            if not isinstance(first, int):
                return first  # a plain pickle
            for _ in range(2):  # of the old format: magic number, protocol, system, and then the object
                _Inert(stream).load()
            return _Inert(stream).load()
    return None


def pickled(path: Path, wanted: list[str]) -> CheckpointError:
    """Of a pickle that needs code: a whole module, an Ultralytics file, or plain data of an unknown class."""
    held = contents(path)
    foreign = next((name for name in wanted if name.startswith(("ultralytics.", "models.yolo", "models.common"))), None)
    if foreign is not None:
        return CheckpointError(
            f"{path} is a YOLO of Ultralytics, a whole pickled net with its code elsewhere; edgekit cannot build it.",
            got=f"a pickle of {foreign}",
            expected="weights of a net that edgekit has",
            fix="edgekit train centernet-r18 --data DIR trains a detector on the same YOLO data set, and exports it",
        )
    alone = "where the net's code is: torch.save(net.state_dict(), 'weights.pt'), then export weights.pt"
    for place, thing in _things(held):
        if thing.module:
            known = zipfile.is_zipfile(path) and all(
                _LIBRARY.fullmatch(name) or name.startswith(_BUILTINS) for name in wanted
            )
            return CheckpointError(
                f"{path} is a whole pickled module, torch.save(net): it needs code to load, and edgekit does not run "
                "code from files.",
                got=f"an object of {thing.of}" + (f" under {place}" if place else ""),
                expected="the weights alone, net.state_dict()",
                fix=_unpacked(path, wanted, place) if known else alone,
            )
    return CheckpointError(
        f"{path} needs code to load, and edgekit does not run code from files.",
        got="a pickle that calls " + ", ".join(wanted[:3]),
        expected="tensors and plain data only",
        fix=alone,
    )


def archive(path: Path) -> CheckpointError | None:
    """Of a zip archive that is not torch.save's: TorchScript, torch.export, or None."""
    try:
        names = list(zip_sizes(path, sys.maxsize))
    except _BROKEN:
        return None
    inside = [name.split("/", 1)[-1] for name in names]
    if "constants.pkl" in inside or any(name.startswith("code/") for name in inside):
        return CheckpointError(
            f"{path} is TorchScript, torch.jit.save: a program with its weights.",
            got="an archive with code/ and constants.pkl",
            expected="the weights alone, net.state_dict()",
            fix=_saved(path, f"torch.jit.load({str(path)!r}, map_location='cpu').state_dict()"),
        )
    if any(name in inside for name in ("archive_format", "models/model.json", "serialized_exported_program.json")):
        return CheckpointError(
            f"{path} is a program of torch.export: a graph with its weights.",
            got="an archive with " + ", ".join(inside[:3]),
            expected="the weights alone, net.state_dict()",
            fix=_saved(path, f"dict(torch.export.load({str(path)!r}).state_dict)"),
        )
    return None


def tar(path: Path) -> CheckpointError | None:
    """Of a tar: what torch before 0.1.10 wrote, or files packed by tar; None for anything else."""
    try:
        with tarfile.open(path, "r:*") as opened:
            names = [member.name for _, member in zip(range(100), opened, strict=False)]
    except (tarfile.TarError, OSError, EOFError, ValueError):
        return None
    if {"storages", "tensors", "pickle"} <= set(names):
        return CheckpointError(
            f"{path} is in torch's first format, a tar, which cannot be read without running code.",
            got="a tar with " + ", ".join(names[:4]),
            expected="what torch.save writes since 2017",
            fix=_saved(path, f"torch.load({str(path)!r}, map_location='cpu', weights_only=False)")
            + "  # it runs code from the file: only where you trust it",
        )
    return CheckpointError(
        f"{path} is a tar archive, not a checkpoint; the many .pth.tar files are none, whatever they are called.",
        got="a tar with " + (", ".join(names[:4]) or "nothing in it"),
        expected="the checkpoint itself",
        fix=f"tar -xf {path}, then name the file that was in it",
    )


def _saved(path: Path, value: str) -> str:
    return f"in Python: import torch; torch.save({value}, {_weights(path)!r})"


def _unpacked(path: Path, wanted: list[str], place: str) -> str:
    """Code that loads a module of known libraries with torch's restricted unpickler, which it tells their classes."""
    classes = sorted(name for name in wanted if not name.startswith(_BUILTINS))
    homes = sorted({name.rpartition(".")[0] for name in classes})
    return (
        f"in Python: import {', '.join(['torch', *homes])}; "
        f"torch.serialization.add_safe_globals([{', '.join(classes)}]); "
        f"torch.save(torch.load({str(path)!r}, map_location='cpu'){place}.state_dict(), {_weights(path)!r})"
    )


def _weights(path: Path) -> str:
    return str(path.with_name(f"{checkpoint_stem(path)}.weights.pth"))


def _things(held: Any) -> Iterator[tuple[str, Thing]]:
    """Objects at the top of a file or directly under its keys, with how to get there."""
    if isinstance(held, Thing):
        yield "", held
    elif isinstance(held, Mapping):
        yield from ((f"[{key!r}]", value) for key, value in held.items() if isinstance(value, Thing))
