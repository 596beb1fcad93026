"""What a checkpoint would ask of the machine, found by a dry run of its pickle before torch allocates anything.

torch's restricted unpickler runs no foreign code, but its own names are enough to ask for a terabyte in 200 bytes:
`bytearray(10**12)`, `torch.Tensor(10**12)`, a tensor that repeats one number by a stride of 0, storage of a claimed
size, a list of lists of one list. In the dry run every name of the file is an inert class that only looks at what it is
called with; nothing is imported or called.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import Any, BinaryIO

from edgekit.checkpoints.pickles.stubs import STAND_INS
from edgekit.reading.archive import zip_sizes
from edgekit.reading.limits import DEPTH, MB, REPEATED, RefusedError, over, size

_OPCODES = 2_000_000  # ResNet-152 with its optimizer has 60,000
_PICKLE = 64 * MB
_NAMES = 1000
_VALUES = 2_000_000  # in everything that the file holds, written out without sharing
_ITEM = {"Double": 8, "Long": 8, "ComplexFloat": 8, "ComplexDouble": 16, "Float": 4, "Int": 4, "Half": 2, "Short": 2,
         "BFloat16": 2, "Char": 1, "Byte": 1, "Bool": 1, "Untyped": 1}  # fmt: skip
_MAGIC = 0x1950A86A20F9469CFC6C  # torch.serialization.MAGIC_NUMBER
_DENSE = {"_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3"}
_AROUND = {"_rebuild_parameter", "_rebuild_parameter_with_state"}


def check_checkpoint(path: Path, more: Collection[str] = ()) -> None:
    """Raises RefusedError where reading what torch.save wrote would take more than the file can honestly hold.

    Args:
        more: names that something stands for, beside `STAND_INS`.

    Raises:
        RefusedError: which limit was passed, and by how much.
        OSError: it cannot be read.
        Exception: of any kind that a pickle which breaks off raises; torch would not read it either.
    """
    if not zipfile.is_zipfile(path):
        with path.open("rb") as stream:
            _check_old(stream, path.stat().st_size, more)
        return
    records = zip_sizes(path)
    pickles = [name for name in records if name.endswith("data.pkl") and name.count("/") <= 1]
    if len(pickles) != 1:
        raise RefusedError(f"a zip file with {len(pickles)} data.pkl; torch.save writes one")
    folder = pickles[0].removesuffix("data.pkl")
    if records[pickles[0]] > _PICKLE:
        raise over("its data.pkl", size(records[pickles[0]]), size(_PICKLE))
    with zipfile.ZipFile(path) as archive:
        data = archive.read(pickles[0])
    stored = {name.removeprefix(f"{folder}data/"): held for name, held in records.items()}
    _check_opcodes(data)
    run = _DryRun(io.BytesIO(data), stored, more)
    run.check(run.load())


def _check_old(stream: BinaryIO, total: int, more: Collection[str]) -> None:
    """torch.save before 1.6: five pickles, then the storages as they are."""
    data = stream.read(_PICKLE)
    source, at = io.BytesIO(data), 0
    for number in range(5):
        at += _check_opcodes(data[at:] if at else data)
        run = _DryRun(source, None, more)
        value = run.load()
        run.check(value)
        if number == 0 and value != _MAGIC:
            return  # torch reads no further, and says what it found instead
        if sum(run.claimed.values()) > total:
            raise EOFError(f"storage of {size(sum(run.claimed.values()))} in a file of {size(total)}")


def _check_opcodes(data: bytes) -> int:
    """Where the first pickle in `data` ends."""
    end = 0
    for count, (code, argument, at) in enumerate(pickletools.genops(data)):
        if count > _OPCODES:
            raise over("its pickle", f"more than {_OPCODES} steps", str(_OPCODES))
        if code.name in ("PUT", "BINPUT", "LONG_BINPUT") and int(argument or 0) > _OPCODES:
            raise over("its pickle", f"memo {argument}", str(_OPCODES))
        end = int(at or 0) + 1
    return end


class _Inert:
    """An object of any class of the file's: holds what a pickle gives it, and does nothing."""

    name = ""

    def __init__(self, *given: Any) -> None:
        self.held: list[Any] = list(given)

    def __setstate__(self, state: Any) -> None:
        self.held.append(state)

    def __setitem__(self, *given: Any) -> None:
        self.held += given

    def append(self, value: Any) -> None:
        self.held.append(value)

    def __call__(self, *given: Any) -> _Inert:
        return _Inert(*given)

    extend = add = update = append


class _Dict(dict[Any, Any]):
    """One that takes attributes, as an OrderedDict does: a state dict keeps its `_metadata` so."""


class _Storage(_Inert):
    def __init__(self, numbers: int, item: int) -> None:
        super().__init__()
        self.numbers, self.item = numbers, item


class _DryRun(pickle._Unpickler):  # the one in Python: C's takes gigabytes for one large memo number
    """Loads a pickle without any of its classes; checks every storage and every tensor.

    Args:
        stored: bytes of each record of the zip by its key; None for the old format.
        more: names that something stands for, beside `STAND_INS`.
    """

    def __init__(
        self, stream: BinaryIO | io.BytesIO, stored: dict[str, int] | None, more: Collection[str] = ()
    ) -> None:
        super().__init__(stream, encoding="latin1")
        self.stored = stored
        self.stand_ins = {*STAND_INS, *more}
        self.claimed: dict[str, int] = {}
        self._repeated = 0
        self._names: dict[str, type] = {}

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        if full not in self._names:
            if len(self._names) >= _NAMES:
                raise over("its pickle", "more classes", str(_NAMES))
            self._names[full] = self._class(full)
        return self._names[full]

    def check(self, value: Any) -> None:
        """Raises RefusedError where `value`, which was loaded, is too much when it is written out.

        With a class that torch will refuse it is not looked at: a module's parts may hold each other in a circle.
        """
        known = ("torch.", "collections.", "_codecs.", "builtins.", "__builtin__.")
        if all(
            name in self.stand_ins or (name.startswith(known) and ".nn.modules" not in name) for name in self._names
        ):
            _check_values(value)

    def _class(self, full: str) -> type:
        def new(cls: type, *arguments: Any) -> Any:
            return self._made(full, arguments)

        return type("Inert", (_Inert,), {"__new__": new, "name": full})

    def _made(self, full: str, arguments: tuple[Any, ...]) -> Any:
        last = full.rpartition(".")[2]
        if full in ("collections.OrderedDict", "collections.defaultdict", "collections.Counter"):
            return _Dict()
        if full.startswith("torch") and last.startswith("_rebuild"):
            self._rebuilt(last, arguments)
        elif last.endswith(("Tensor", "Storage", "bytearray")) and any(isinstance(a, int) for a in arguments):
            raise RefusedError(f"{last}({arguments[0]!r:.30}), which asks for memory without having any content")
        return _Inert(*arguments)

    def _rebuilt(self, function: str, arguments: tuple[Any, ...]) -> None:
        if function == "_rebuild_from_type_v2":  # calls its first argument with its third
            inner = getattr(arguments[0], "name", "") if len(arguments) > 2 else ""
            name = str(inner).rpartition(".")[2]
            if name in _DENSE | _AROUND and isinstance(arguments[2], tuple):
                return self._rebuilt(name, arguments[2])
            raise RefusedError(f"a tensor that is built by {inner or 'nothing'}")
        if function in _AROUND:
            return None
        if function not in _DENSE:
            raise RefusedError(f"a tensor of a kind that is not read ({function.removeprefix('_rebuild_')})")
        storage, _, shape = arguments[:3]
        if not isinstance(storage, _Storage) or not isinstance(shape, (tuple, list)):
            raise RefusedError("a tensor without storage")
        count = math.prod(int(n) for n in shape)
        if count < 0 or any(n < 0 for n in shape):
            raise RefusedError(f"a tensor of shape {list(shape)}"[:200])
        if count > storage.numbers:
            self._repeated += storage.item * count
            if self._repeated > REPEATED:
                raise over("tensors that repeat their numbers", size(self._repeated), size(REPEATED))
        return None

    def persistent_load(self, pid: Any) -> Any:
        if self.stored is None and isinstance(pid, tuple) and pid[:1] in (("module",), (b"module",)) and len(pid) > 1:
            return pid[1]  # a class, where whole modules were saved before torch 1.6; torch refuses it by name
        if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage":
            raise RefusedError("a reference to something that is no storage")
        kind = str(getattr(pid[1], "name", "")).rpartition(".")[2].removesuffix("Storage")
        key, numbers = str(pid[2]), pid[4]
        if kind not in _ITEM or not isinstance(numbers, int) or numbers < 0:
            raise RefusedError(f"storage of {numbers!r:.30} {kind or 'unknown'} numbers")
        needed = numbers * _ITEM[kind]
        if self.stored is not None and needed > self.stored.get(key, 0):
            raise RefusedError(f"storage of {size(needed)} in a record of {size(self.stored.get(key, 0))}")
        self.claimed[key] = max(needed, self.claimed.get(key, 0))
        return _Storage(numbers, _ITEM[kind])


def _check_values(value: Any) -> None:
    """How much everything is when it is written out, as a list that holds one list a thousand times would be."""
    waiting = [(value, 0)]
    count = 0
    while waiting:
        inner, depth = waiting.pop()
        if isinstance(inner, dict):
            children = [*inner, *inner.values(), *getattr(inner, "__dict__", {}).values()]
        elif isinstance(inner, (list, tuple)):
            children = list(inner)
        elif isinstance(inner, _Inert):
            children = inner.held
        else:
            continue
        count += len(children)
        if count > _VALUES:
            raise over("its values", f"more than {_VALUES}", str(_VALUES))
        if depth > DEPTH:
            raise over("values in values", f"more than {DEPTH} deep", str(DEPTH))
        waiting += [(child, depth + 1) for child in children]
