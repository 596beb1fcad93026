"""One run of a net, recorded: which module call made each tensor, and who read it.

Symbolic tracing fails on nets that ask for a length, loop over a shape or branch on an option, as many do. A run on an
example needs no such thing: hooks see every call of a module, and a dispatch mode sees every operation on tensors, by
the memory (storage) that they read and write, so views and operations in place are followed too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

# where the values of a tensor become Python's, on which a forward() may decide
DECISIONS = (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.equal.default)


@dataclass(eq=False)
class Call:
    """One call of a module.

    Attributes:
        path: the module's first name in the net.
        inputs: tensors that it was given, of positional and named arguments.
        outputs: tensors that it gave.
        start, end: its operations are `Record.operations[start:end]`.
        depth: how many calls it was inside of.
    """

    path: str
    module: nn.Module
    inputs: tuple[Tensor, ...]
    start: int
    depth: int
    outputs: tuple[Tensor, ...] = ()
    end: int = -1


@dataclass(eq=False)
class Operation:
    """One operation on tensors.

    Attributes:
        function: of `torch.ops.aten`.
        inputs, outputs: its tensors; one that gives nothing but views of its input has moved nothing.
        within: the innermost call of a module that it was in; None in the net's own forward.
    """

    function: Any
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    within: Call | None


@dataclass(eq=False)
class Record:
    """What happened in one run.

    Attributes:
        calls: of all modules but the net itself, in the order in which they began.
        operations: in their order. All their tensors are kept alive, so no memory is used twice.
        given: tensors of the net's input.
        results: tensors of its output.
        depends: memory that depends on the input.
        decided: whether the net's Python saw values that depend on its input: another input may take another way.
    """

    calls: list[Call] = field(default_factory=list)
    operations: list[Operation] = field(default_factory=list)
    given: tuple[Tensor, ...] = ()
    results: tuple[Tensor, ...] = ()
    depends: set[int] = field(default_factory=set)
    decided: bool = False
    readers: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))

    def reads(self, tensor: Tensor, since: int = 0) -> list[int]:
        """Operations, from `since` on, that read or write the memory of a tensor; making a view of it is neither."""
        return [index for index in self.readers[memory(tensor)] if index >= since]

    def is_result(self, tensor: Tensor) -> bool:
        """Whether the net gives this memory to its caller."""
        return memory(tensor) in {memory(result) for result in self.results}

    def only_reader(self, tensor: Tensor, call: Call, since: int) -> bool:
        """Whether nothing but one call reads a tensor's memory from operation `since` on, the net's caller included."""
        inside = all(call.start <= index < call.end for index in self.reads(tensor, since))
        return inside and not self.is_result(tensor)


def record(net: nn.Module, *example: Tensor) -> Record:
    """Runs `net` once, without gradients, and says what happened. The net is not changed."""
    kept = Record(given=example)
    stack: list[Call] = []

    def enter(path: str) -> Any:
        def hook(module: nn.Module, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
            call = Call(path, module, tuple(tensors((args, kwargs))), len(kept.operations), len(stack))
            kept.calls.append(call)
            stack.append(call)

        return hook

    def leave(module: nn.Module, args: object, output: object) -> None:
        call = stack.pop()
        call.outputs, call.end = tuple(tensors(output)), len(kept.operations)

    hooks = []
    for path, module in net.named_modules():
        if path and not isinstance(module, torch.jit.ScriptModule):
            hooks += [
                module.register_forward_pre_hook(enter(path), with_kwargs=True),
                module.register_forward_hook(leave, prepend=True),
            ]
    try:
        with torch.no_grad(), _Watch(kept, stack):
            kept.results = tuple(tensors(net(*example)))
    finally:
        for hook in hooks:
            hook.remove()
    return kept


def uses(run: Record, call: Call) -> int:
    """How often a module is called, and once more if its weights are read by others, who would read folded ones."""
    own = _constants(call.module)
    readers = (run.operations[index].within for key in own for index in run.readers.get(key, ()))
    strangers = any(reader is None or not own & _constants(reader.module) for reader in readers)
    return sum(other.module is call.module for other in run.calls) + strangers


def _constants(module: nn.Module) -> set[int]:
    """The memory of a module's own weights and statistics; another module that shares one is no stranger to it."""
    return {memory(tensor) for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False))}


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self, kept: Record, stack: list[Call]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kept, self.stack = kept, stack
        kept.depends |= {memory(tensor) for tensor in kept.given}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        inputs, outputs = tuple(tensors((args, kwargs))), tuple(tensors(result))
        index = len(self.kept.operations)
        self.kept.operations.append(Operation(func, inputs, outputs, self.stack[-1] if self.stack else None))
        made = {memory(tensor) for tensor in outputs}
        if any(memory(tensor) in self.kept.depends for tensor in inputs):
            self.kept.depends |= made | ({memory(t) for t in inputs} if func._schema.is_mutable else set())
            self.kept.decided |= func in DECISIONS
        for key in {memory(tensor) for tensor in inputs}:
            if key not in made or func._schema.is_mutable:
                self.kept.readers[key].append(index)
        return result


def memory(tensor: Tensor) -> int:
    """What two views of one tensor have in common."""
    return int(tensor.untyped_storage()._cdata)


def tensors(value: object) -> Iterator[Tensor]:
    """All tensors in what a forward() takes or gives: tuples, dictionaries and plain objects are looked into."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from tensors(tuple(value.values()))
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from tensors(item)
    elif hasattr(value, "__dict__") and not isinstance(value, (nn.Module, type)) and not callable(value):
        yield from tensors(vars(value))
