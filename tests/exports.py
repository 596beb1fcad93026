"""torch's export of a net, made once and filled with the weights of every later net of the same structure.

Most of an export's time is torch's, and the tests export few structures, again and again: with other weights, pictures,
precisions or defects behind it. Here an earlier export is taken only where everything is known that the graph was made
of: the layers with their settings, and every function that they run, so that a defect planted into one of them is
exported for itself. What the export itself does is tested in tests/graph/test_to_onnx*.py, where nothing is kept.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import hashlib
import types
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from edgekit.graph import to_onnx

_PLAIN = (bool, int, float, str, bytes, type(None))
_KEPT_BY_TORCH = {"_parameters", "_buffers", "_modules", "training"}
Export = Callable[..., onnx.ModelProto]


class _Kept(NamedTuple):
    model: bytes
    merged: dict[str, object]  # of tensors that the graph does not have under their names, what they were


class _UnknownError(Exception):
    """Something that may change the graph and cannot be compared."""


def once_registered(export: Export) -> Export:
    """`export`, for which torch reads onnxscript's 500 functions once and not each time, a third of its time."""
    read: list[Callable[..., Any]] = []

    @functools.wraps(export)
    def exported(*given: Any, **options: Any) -> onnx.ModelProto:
        from torch.onnx._internal.exporter._registration import ONNXRegistry  # a second

        if not read:
            read.append(functools.cache(ONNXRegistry.from_torchlib))

        def from_torchlib(*asked: Any, **more: Any) -> ONNXRegistry:
            registry = copy.copy(read[0](*asked, **more))
            registry.functions = {name: list(known) for name, known in registry.functions.items()}
            return registry

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ONNXRegistry, "from_torchlib", staticmethod(from_torchlib))
            return export(*given, **options)

    return exported


TORCHS_OWN = once_registered(to_onnx._export)


def keeping(export: Export) -> Export:
    """`export`, which makes a graph of a module, with what it made before where the structure is the same."""
    kept: dict[object, _Kept] = {}

    @functools.wraps(export)
    def exported(module: nn.Module, example: Tensor, *rest: Any, **options: Any) -> onnx.ModelProto:
        try:
            structure = tuple(_structure(module))
        except _UnknownError:
            return export(module, example, *rest, **options)
        writer = (torch.onnx.export, to_onnx.translations)
        key = (structure, writer, tuple(example.shape), example.dtype, repr(rest), repr(options))
        state = {name: value.numpy() for name, value in module.state_dict().items() if value.is_floating_point()}
        known = kept.get(key)
        if known is not None and all(_digest(state[name]) == value for name, value in known.merged.items()):
            return _refilled(known.model, state)
        model = export(module, example, *rest, **options)
        stored = {tensor.name for tensor in model.graph.initializer}
        merged = {name: _digest(value) for name, value in state.items() if name not in stored}
        kept[key] = _Kept(model.SerializeToString(), merged)
        return model

    return exported


def _refilled(kept: bytes, state: dict[str, np.ndarray]) -> onnx.ModelProto:
    """The graph of an earlier export of such a module with this one's weights: what torch would export again."""
    model = onnx.load_from_string(kept)
    for tensor in model.graph.initializer:
        if tensor.name in state:
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.ascontiguousarray(state[tensor.name]), tensor.name))
    return model


def _structure(module: nn.Module) -> Iterator[object]:
    """All that a graph of the module is made of, but for the values of its floating-point tensors.

    Raises:
        _UnknownError: there is something that cannot be compared.
    """
    for path, part in module.named_modules(remove_duplicate=False):
        yield path, type(part), tuple(_functions(type(part)))
        for name, value in sorted(vars(part).items()):
            if name not in _KEPT_BY_TORCH:
                yield path, name, _plain(value)
    first: dict[object, str] = {}  # torch stores equal tensors once
    for name, tensor in module.state_dict().items():
        value = tensor.numpy()
        told = _digest(value) if _may_be_a_constant(value) else first.setdefault(_digest(value), name)
        yield name, value.dtype.str, value.shape, told


def _digest(value: np.ndarray) -> object:
    return value.dtype.str, value.shape, hashlib.sha256(np.ascontiguousarray(value)).digest()


def _may_be_a_constant(value: np.ndarray) -> bool:
    """Whether torch may store it together with a number of the arithmetic around it, which stays when it changes."""
    return value.ndim == 0 or value.dtype.kind != "f" or (value.size <= 4 and bool(np.all(value * 8 % 1 == 0)))


def _plain(value: object) -> object:
    """A copy that compares by value; hooks and tensors, of which no net of edgekit has any here, do not."""
    if isinstance(value, (types.FunctionType, torch.dtype)):
        return value
    if isinstance(value, _PLAIN):
        return type(value), value
    if isinstance(value, (list, tuple)):
        return tuple(_plain(item) for item in value)
    if isinstance(value, (set, frozenset, dict)) and not value:
        return type(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return type(value), tuple(_plain(getattr(value, field.name)) for field in dataclasses.fields(value))
    raise _UnknownError


def _functions(kind: type) -> Iterator[object]:
    """The methods of a class of modules, and the functions and numbers that they name, torch's own left out."""
    seen: set[object] = set()
    methods = [value for base in kind.__mro__ if not _of_torch(base) for value in vars(base).values()]
    waiting: list[Any] = [kind.forward, *methods]
    while waiting:
        found = waiting.pop()
        found = getattr(found, "__func__", found)
        if isinstance(found, _PLAIN):
            yield found
        elif isinstance(found, types.FunctionType) and found not in seen:
            seen.add(found)
            yield found
            if not _of_torch(found):
                waiting += _named(found, found.__code__)


def _of_torch(what: Any) -> bool:
    return what.__module__.partition(".")[0] == "torch"


def _named(function: types.FunctionType, code: types.CodeType) -> Iterator[object]:
    """The globals that a function names, also in a comprehension, and what it names of edgekit's modules."""
    known = [vars(value) for value in function.__globals__.values() if isinstance(value, types.ModuleType)]
    known = [names for names in known if names["__name__"].startswith("edgekit.")]
    for names in (function.__globals__, *known):
        yield from (names[name] for name in code.co_names if name in names)
    for part in code.co_consts:
        if isinstance(part, types.CodeType):
            yield from _named(function, part)
