"""Pickles that would run code, import a module or take memory, put where training scripts keep plain data."""

from __future__ import annotations

import argparse
import collections
import datetime
import io
import pickle
import pickletools
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

PLACE = "the payload goes here"  # what is replaced in a file's pickle
PROBE = "edgekit_hostile_probe"  # a module whose import leaves a file behind


def named(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def plain(value: Any) -> bytes:
    """The steps that make plain data, without memory of their own."""
    return pickletools.optimize(pickle.dumps(value, 2))[2:-1]


def called(function: bytes, *given: bytes) -> bytes:
    return function + b"(" + b"".join(given) + b"tR"


def built(function: bytes, state: bytes, *given: bytes) -> bytes:
    """An object with a state: what calls __setstate__."""
    return called(function, *given) + state + b"b"


def filled(function: bytes, *pairs: bytes) -> bytes:
    return called(function) + b"(" + b"".join(pairs) + b"u"


def payloads(mark: Path) -> dict[str, bytes]:
    """Name -> steps of a pickle. Whatever of them runs leaves `mark` behind."""
    touch, text = plain(f"touch {mark}"), plain(str(mark))
    code = plain(f"open({str(mark)!r}, 'w').close()")
    inner = pickle.dumps(_Call(exec, f"open({str(mark)!r}, 'w').close()"))
    system, evaluate = named("os", "system"), named("builtins", "eval")
    getattr_, import_ = named("builtins", "getattr"), named("builtins", "__import__")
    probe = called(import_, plain(PROBE))
    namespace = named("argparse", "Namespace")
    numpys = named("numpy._core.multiarray", "_reconstruct")
    typed = named("torch._tensor", "_rebuild_from_type_v2")
    deep = b"(" * 20_000 + b"t" * 20_000
    lists = b"]" + b"(]" * 20_000 + b"e" * 20_000
    return {
        "os.system": called(system, touch),
        "posix.system": called(named("posix", "system"), touch),
        "eval": called(evaluate, code),
        "eval by its old name": called(named("__builtin__", "eval"), code),
        "exec": called(named("builtins", "exec"), code),
        "compile": called(named("builtins", "compile"), code, plain("x"), plain("exec")),
        "open": called(named("builtins", "open"), text, plain("w")),
        "import": probe,
        "importlib": called(named("importlib", "import_module"), plain(PROBE)),
        "a class of another module": called(named(PROBE, "Config"), plain(1)),
        "a class of another module with attributes": built(named(PROBE, "Config"), plain({"lr": 0.1})),
        "a function of another module": called(named(PROBE, "run")),
        "a name inside a class": called(named("builtins", "type.__subclasses__"), named("builtins", "object")),
        "getattr chain": called(called(getattr_, called(import_, plain("os")), plain("system")), touch),
        "operator.attrgetter": called(called(named("operator", "attrgetter"), plain("system")), import_),
        "operator.methodcaller": called(called(named("operator", "methodcaller"), plain("x")), evaluate),
        "subprocess.Popen": called(named("subprocess", "Popen"), plain(["touch", str(mark)])),
        "functools.partial": called(called(named("functools", "partial"), system, touch)),
        "functools.reduce": called(named("functools", "reduce"), system, plain([str(mark)])),
        "map in a list": called(named("builtins", "list"), called(named("builtins", "map"), evaluate, plain([1]))),
        "a pickle in a pickle": called(named("pickle", "loads"), plain(inner)),
        "torch.load": called(named("torch", "load"), text),
        "torch.hub.load": called(named("torch.hub", "load"), text, plain("x")),
        "torch's storage loader": called(named("torch.storage", "_load_from_bytes"), plain(inner)),
        "torch.jit.load": called(named("torch.jit", "load"), text),
        "numpy.load": called(named("numpy", "load"), text, plain(None), plain(True)),
        "numpy's reconstruct of a function": called(numpys, system, plain((0,)), plain(b"b")),
        "numpy's reconstruct with a state": built(numpys, plain((1, (2,), "x", False, [touch])), evaluate, plain((0,))),
        "numpy's scalar of an object": called(named("numpy._core.multiarray", "scalar"), system, plain(b"x" * 8)),
        "a tensor built by os.system": called(typed, system, evaluate, plain((f"touch {mark}",)), plain({})),
        "a tensor of a type that is a function": called(typed, evaluate, system, plain((1,)), plain({})),
        "defaultdict of os.system": called(named("collections", "defaultdict"), system),
        "defaultdict of eval, filled": filled(named("collections", "defaultdict"), plain("a"), code),
        "OrderedDict of a hostile pair": called(named("collections", "OrderedDict"), called(system, touch)),
        "OrderedDict with attributes": built(named("collections", "OrderedDict"), plain({"__class__": 1, "k": 2})),
        "deque of a call": called(named("collections", "deque"), called(evaluate, code)),
        "Path of a call": called(named("pathlib", "PosixPath"), called(evaluate, code)),
        "Path of wrong things": called(named("pathlib", "PosixPath"), plain({"a": [1]}), plain(None), plain(-1)),
        "datetime of wrong things": called(named("datetime", "datetime"), plain({"year": 1}), plain("x")),
        "datetime of too few bytes": called(named("datetime", "datetime"), plain(b"\xff\xff")),
        "datetime of no such day": called(named("datetime", "datetime"), plain(b"\xff" * 10)),
        "timedelta of wrong things": called(named("datetime", "timedelta"), plain("a"), plain([1])),
        "Namespace of a surprise": built(namespace, plain([1, 2, 3])),
        "Namespace of a number": built(namespace, plain(7)),
        "Namespace with names of its own": built(namespace, plain({"__class__": 1, "__setstate__": 2, "fields": 3})),
        "Namespace with a call inside": built(namespace, plain({}) + b"(" + plain("a") + called(system, touch) + b"u"),
        "Namespace with two states": built(namespace, plain(({"a": 1}, {"b": 2}))),
        "UUID of a text": built(named("uuid", "UUID"), plain("no state")),
        "Decimal of a call": called(named("decimal", "Decimal"), called(evaluate, code)),
        "copyreg of a function": called(named("copyreg", "_reconstructor"), system, evaluate, plain(None)),
        "a new object of a function": system + plain((f"touch {mark}",)) + b"\x81",
        "tuples 20,000 deep": deep,
        "lists 20,000 deep": lists,
        "a list in itself": b"]q\xff(h\xffe",
        "a million memo numbers on": b"Nr" + (10**6).to_bytes(4, "little"),
        "a memo number of two billion": b"Nr" + (2**31 - 1).to_bytes(4, "little"),
        "a number of a million digits": b"\x8b" + (500_000).to_bytes(4, "little") + b"\x7f" * 500_000,
        "a text that claims 2 GB": b"X" + (2**31 - 1).to_bytes(4, "little"),
        "bytearray of a terabyte": called(named("builtins", "bytearray"), plain(10**12)),
        "range of everything": called(named("builtins", "range"), plain(0), plain(10**18)),
        "an extension's number": b"\x82\x01",
        "a name of the memo": b"\x8c\x02os\x8c\x06system\x93" + touch + b"\x85R",
        "a name with a space": called(named("os system", "x y")),
        "a persistent call": called(system, touch) + b"Q",
        "old-style instance": b"(" + touch + b"ios\nsystem\n",
        "old-style object": b"(" + system + touch + b"o",
    }  # fmt: skip


class _Call:
    def __init__(self, function: Any, *given: Any) -> None:
        self.given = (function, given)

    def __reduce__(self) -> Any:
        return self.given


State = dict[str, torch.Tensor]
# where in a file the payload is
WRAPPERS: dict[str, Callable[[State], Any]] = {
    "beside the weights": lambda w: {"state_dict": w, "more": PLACE},
    "before the weights": lambda w: {"more": PLACE, "state_dict": w},
    "in args": lambda w: {"model": w, "args": argparse.Namespace(model="resnet18", x=PLACE)},
    "among the weights": lambda w: {"state_dict": collections.OrderedDict({**w, "x": PLACE})},
    "in hyper_parameters": lambda w: {"state_dict": w, "hyper_parameters": {"x": [{"y": (PLACE, 1)}]}},
    "in a history": lambda w: {"state_dict": w, "history": collections.defaultdict(list, x=[PLACE])},
    "beside a date": lambda w: {"state_dict": w, "when": [datetime.datetime(2026, 1, 1), PLACE]},
    "in the optimizer": lambda w: {"state_dict": w, "optimizer": {"state": {0: PLACE}, "param_groups": []}},
    "as the class names": lambda w: {"state_dict": w, "classes": PLACE, "arch": PLACE, "num_classes": PLACE},
    "as all there is": lambda w: PLACE,
}


def write(path: Path, content: Any, payload: bytes, *, legacy: bool) -> None:
    """What torch.save writes of `content`, with the payload's steps in place of the text `PLACE`."""
    stream = io.BytesIO()
    torch.save(content, stream, _use_new_zipfile_serialization=not legacy)
    placed = b"X" + len(PLACE).to_bytes(4, "little") + PLACE.encode()

    def filled_in(data: bytes) -> bytes:
        at = data.index(placed) + len(placed)
        step = data[at : at + 1]  # what remembers the text, where the pickle does
        after = at + (2 if step == b"q" else 5 if step == b"r" else 0)
        more = data[after:]
        return data[: at - len(placed)] + payload + (data[at:after] + more)

    if legacy:
        path.write_bytes(filled_in(stream.getvalue()))
        return
    with zipfile.ZipFile(stream) as made, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name in made.namelist():
            data = made.read(name)
            archive.writestr(name, filled_in(data) if name.endswith("data.pkl") else data)
