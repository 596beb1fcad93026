"""Plain data of harmless classes beside the weights, read as what it holds without the classes themselves.

Training scripts keep an `argparse.Namespace`, a numpy number, a Path or a date beside the weights. torch's restricted
unpickler takes names that it is given: here each gets a stand-in that only holds what was written. No class of a file
is imported, and nothing of it is called.
"""

from __future__ import annotations

import collections
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

_PLAIN = re.compile(r"[bifu][1248]|U[1-9]\d{0,3}")  # numbers and texts
DEPTH = 12  # of what a file says of itself; deeper is not looked into


class Fields:
    """Of an object with attributes: those, by name. Of one that has none, as an enumeration's: what it is made from."""

    fields: dict[str, Any]
    args: tuple[Any, ...]

    def __new__(cls, *args: Any) -> Fields:  # an unpickler may leave __init__ out
        made = super().__new__(cls)
        made.fields = {}
        made.args = args
        return made

    def __setstate__(self, state: Any) -> None:
        for part in state if isinstance(state, tuple) else (state,):
            if isinstance(part, Mapping):
                self.fields.update({str(k): v for k, v in part.items()})


class AsDict:
    """Of a dictionary's subclass: the one kind that torch's unpickler both fills and gives attributes, unused here."""

    def __new__(cls, *args: Any) -> Any:
        return collections.OrderedDict()


class AsList:
    """Of a list's subclass, a deque or a set: a plain list, the only kind that torch's unpickler fills."""

    def __new__(cls, values: Any = (), *args: Any) -> Any:
        return list(values) if isinstance(values, (list, tuple, set)) else []


class AsText:
    """Of a text's subclass, or of a number that is written as one: that text."""

    def __new__(cls, value: Any = "", *args: Any) -> Any:
        return str(value)


class DType:
    """A numpy dtype's code, such as `f8`."""

    code, order = "", "<"

    def __new__(cls, code: Any = "", *args: Any) -> DType:
        made = super().__new__(cls)
        made.code = str(code)
        return made

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, tuple) and len(state) > 1 and state[1] in (">", "<"):
            self.order = str(state[1])


class Array:
    """A numpy array's numbers, or the objects in it."""

    values: Any = None

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, tuple) and len(state) == 5:
            _, shape, dtype, _, raw = state
            self.values = list(raw) if isinstance(raw, list) else _numbers(dtype, raw)
            if isinstance(self.values, np.ndarray):
                self.values = self.values.reshape(shape) if self.values.size == np.prod(shape, dtype=np.int64) else None


def _numbers(dtype: Any, raw: Any) -> Any:
    data = raw.encode("latin1") if isinstance(raw, str) else raw
    if not isinstance(dtype, DType) or not _PLAIN.fullmatch(dtype.code) or not isinstance(data, bytes):
        return None
    kind = np.dtype(dtype.order + dtype.code)
    return np.frombuffer(data, kind) if len(data) % kind.itemsize == 0 else None


def _array(*args: Any) -> Array:
    return Array()


def _number(dtype: Any = None, raw: Any = b"") -> Any:
    values = _numbers(dtype, raw)
    return values[0].item() if isinstance(values, np.ndarray) and len(values) == 1 else None


def _path(*parts: Any) -> str:
    return "/".join(map(str, parts)).replace("//", "/")


def _moment(raw: Any = b"", *args: Any) -> str:
    """A date or a time of day is told by its bytes: year (2), month, day, hour, minute, second."""
    data = raw.encode("latin1") if isinstance(raw, str) else raw
    if not isinstance(data, bytes) or len(data) not in (4, 6, 10):
        return ""
    date = f"{data[0] * 256 + data[1]:04}-{data[2] & 15:02}-{data[3]:02}" if len(data) != 6 else ""
    time = data[-6:-3] if len(data) != 4 else b""
    return " ".join(part for part in (date, ":".join(f"{number:02}" for number in time)) if part)


def _nothing(*args: Any) -> None:
    return None


def _whole(*args: Any) -> list[Any]:
    return list(args)


def _seconds(days: Any = 0, seconds: Any = 0, *args: Any) -> Any:
    return days * 86400 + seconds if isinstance(days, int) and isinstance(seconds, int) else None


_KINDS = (
    *("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("bool", "bool_", "float_", "int_"),
)
_FACTORIES = ("list", "dict", "tuple", "int", "long", "float", "str", "unicode", "bool")
_PATHS = ("Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath")
_CORE = ("numpy.core.multiarray", "numpy._core.multiarray")
STAND_INS: dict[str, Callable[..., Any]] = {
    "argparse.Namespace": Fields,
    "types.SimpleNamespace": Fields,
    "uuid.UUID": Fields,
    "pytorch_lightning.utilities.parsing.AttributeDict": AsDict,
    "lightning.pytorch.utilities.parsing.AttributeDict": AsDict,
    "lightning_fabric.utilities.data.AttributeDict": AsDict,
    "lightning.fabric.utilities.data.AttributeDict": AsDict,
    "collections.defaultdict": AsDict,
    "collections.deque": AsList,
    **dict.fromkeys((f"{home}.{name}" for home in ("builtins", "__builtin__") for name in ("frozenset",)), AsList),
    # a range or a slice: its numbers
    **dict.fromkeys(("builtins.range", "__builtin__.xrange", "builtins.slice", "__builtin__.slice"), _whole),
    # which kind of number an array has, or what a container's values may be
    **dict.fromkeys((f"numpy.{kind}" for kind in _KINDS), _nothing),
    **dict.fromkeys(("typing.Any", "typing.Union", "typing.Optional", "types.NoneType"), _nothing),
    "numpy.dtype": DType,
    "numpy.ndarray": Array,
    **dict.fromkeys((f"{core}._reconstruct" for core in _CORE), _array),
    **dict.fromkeys((f"{core}.scalar" for core in _CORE), _number),
    **dict.fromkeys((f"{home}.{name}" for home in ("pathlib", "pathlib._local") for name in _PATHS), _path),
    **dict.fromkeys((f"datetime.{name}" for name in ("datetime", "date", "time")), _moment),
    "datetime.timedelta": _seconds,
    "datetime.timezone": _nothing,
    "decimal.Decimal": AsText,
    "torch.torch_version.TorchVersion": AsText,
    # what a defaultdict makes; never called here
    **dict.fromkeys(
        (f"{home}.{name}" for home in ("builtins", "__builtin__") for name in _FACTORIES),
        _nothing,
    ),
}


def stand_ins(
    more: Mapping[str, Callable[..., Any]] = MappingProxyType({}),
) -> list[Callable[..., Any] | tuple[Callable[..., Any], str]]:
    """For `torch.serialization.safe_globals`; `more` beside those of `STAND_INS`."""
    return [(stand_in, name) for name, stand_in in (STAND_INS | dict(more)).items()]


def plain(value: Any) -> Any:
    """`value` with every stand-in in it replaced by what it holds; tensors and numbers stay."""
    return _plain(value, DEPTH, {})


def _plain(value: Any, depth: int, seen: dict[int, Any]) -> Any:
    if depth == 0 or not isinstance(value, _HOLDERS):
        return value
    if id(value) in seen:  # one list in many places is looked into once
        return seen[id(value)]
    made: Any = value
    if isinstance(value, Fields):
        made = _plain(_of(value), depth, seen)
    elif isinstance(value, Array):
        values = value.values
        made = values.tolist() if isinstance(values, np.ndarray) else _plain(values, depth - 1, seen)
    elif isinstance(value, DType):
        made = value.code
    elif isinstance(value, Mapping):
        if any(isinstance(inner, _HOLDERS) for inner in value.values()):
            made = {key: _plain(inner, depth - 1, seen) for key, inner in value.items()}
    elif any(isinstance(inner, _HOLDERS) for inner in value):
        made = tuple(_plain(v, depth - 1, seen) for v in value) if isinstance(value, tuple) else [
            _plain(v, depth - 1, seen) for v in value
        ]  # fmt: skip
    seen[id(value)] = made
    return made


def _of(value: Fields) -> Any:
    """What an object holds: its attributes; OmegaConf's values alone; else what it was made from."""
    for inner in ("_content", "_val"):
        if inner in value.fields:
            return value.fields[inner]
    if value.fields or not value.args:
        return value.fields
    return value.args[0] if len(value.args) == 1 else list(value.args)


_HOLDERS = (Fields, Array, DType, Mapping, list, tuple)
