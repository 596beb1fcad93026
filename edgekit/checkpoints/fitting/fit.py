"""A state dict brought to the names and shapes of a net of another library, as far as no weight changes by it.

What training leaves that is no other net: another width of the last layer, a dropout before it, no bias in it, counters
and computed buffers that are missing or too many, a position embedding of another input size.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from edgekit.checkpoints.fitting.fingerprint import BUFFER, POSITION
from edgekit.checkpoints.fitting.layout import Layout, Shape, layout_of, numbers_of
from edgekit.checkpoints.fitting.names import behind_dropout, unwrapped
from edgekit.checkpoints.fitting.remap import remaps
from edgekit.errors import CheckpointError, UsageError
from edgekit.screen import count_of, some

_STATISTICS = re.compile(r"(^|\.)running_(mean|var)$")
_TRAINING_ONLY = re.compile(r"^(aux\w*|AuxLogits|aux_head|mask_token|head_aux)(\.|\d|$)")


@dataclass(frozen=True)
class Fit:
    """A state dict with a net's own names.

    Attributes:
        state: what `load_state_dict` takes strictly.
        classes: width of the last layer; 0 where there is none.
        arguments: of the net, by which it has these shapes.
        head: name of the last layer's weight, as the file has it.
        notes: what was changed, for people.
    """

    state: Mapping[str, Tensor]
    classes: int
    arguments: Mapping[str, Any]
    head: str
    notes: tuple[str, ...]


class MisfitError(CheckpointError):
    """These names and shapes are not the net's.

    Attributes:
        distance: how many names or shapes differ.
    """

    distance = 0


def fit(arch: str, tensors: Mapping[str, Tensor], arguments: Mapping[str, Any] | None = None) -> Fit:
    """`tensors` as the net `arch` holds them.

    Args:
        arch: `timm:NAME` or `torchvision:NAME`.
        tensors: a state dict without a prefix.
        arguments: those that the net is built with.

    Raises:
        MisfitError: another net's.
        CheckpointError: this net's, for pictures that are not of three channels.
        UsageError: the net does not take these arguments.
    """
    layout = layout_of(arch, arguments)
    plain = {unwrapped(name): tensor for name, tensor in tensors.items()}
    first: MisfitError | None = None
    for note, state in chain([("", plain)], remaps(layout, plain)):
        try:
            return _sized(layout, state, [note] if note else [])
        except MisfitError as misfit:
            first = first or misfit
    assert first is not None
    if not _headless(layout, plain):
        raise first
    try:
        return replace(_sized(layout_of(arch, arguments, 0), plain, []), head=f"{layout.heads[0]}.weight")
    except (MisfitError, UsageError):  # some cannot be built without a last layer
        raise first from None


def _headless(layout: Layout, state: Mapping[str, Tensor]) -> bool:
    return bool(layout.heads) and not any(n.startswith(tuple(f"{h}." for h in layout.heads)) for n in state)


def at_size(arch: str, state: Mapping[str, Tensor], arguments: Mapping[str, Any], size: tuple[int, int]) -> Fit | None:
    """The net for pictures of this height and width, or None where it takes them already, as one of any size does.

    Raises:
        MisfitError: its weights are of another size.
    """
    layout = layout_of(arch, arguments)
    if not layout.fixed or size == (layout.side, layout.side):
        return None
    side = size[0] if size[0] == size[1] else size
    classes = 0 if _headless(layout, state) else layout.classes
    return _Fitting(layout_of(arch, {**arguments, layout.size_argument: side}, classes), state, []).result()


def _sized(layout: Layout, state: Mapping[str, Tensor], notes: list[str]) -> Fit:
    """With the input's size that the position embedding is of."""
    try:
        return _Fitting(layout, state, list(notes)).result()
    except MisfitError as misfit:
        for name, shape in layout.shapes.items():
            if not POSITION.search(name) or name not in state or tuple(state[name].shape) == shape:
                continue
            for side in _sides(layout, shape, tuple(state[name].shape)):
                try:
                    other = layout_of(layout.arch, {**layout.arguments, layout.size_argument: side}, layout.classes)
                    told = [*notes, f"input of {side}x{side} pixels, by the shape of {name}"]
                    return _Fitting(other, state, told).result()
                except (MisfitError, UsageError):
                    continue
        raise misfit


def _sides(layout: Layout, ours: Shape, theirs: Shape) -> list[int]:
    """Sides of a square input with which a position embedding of shape `ours` would have the shape `theirs`."""
    side = layout.side
    if len(ours) != len(theirs) or sum(a != b for a, b in zip(ours, theirs, strict=True)) > 2:
        return []
    found = []
    at = next(i for i, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a != b)
    for extra in range(9):  # tokens beside the picture's
        here, there = math.isqrt(max(ours[at] - extra, 0)), math.isqrt(max(theirs[at] - extra, 0))
        square = here * here == ours[at] - extra and there * there == theirs[at] - extra
        if square and here and side * there % here == 0:
            found.append(side * there // here)
    if side * theirs[at] % ours[at] == 0:  # a map of rows and columns
        found.append(side * theirs[at] // ours[at])
    return list(dict.fromkeys(found))


@dataclass
class _Fitting:
    """One try to bring `state` to `layout`."""

    layout: Layout
    state: Mapping[str, Tensor]
    notes: list[str]
    classes: int = 0
    head: str = ""
    found: dict[str, Tensor] = field(default_factory=dict)

    def result(self) -> Fit:
        self.found = dict(self.state)
        shapes = dict(self.layout.shapes)
        self._heads(shapes)
        self._buffers(shapes)
        missing = [name for name in shapes if name not in self.found]
        strange = [name for name in self.found if name not in shapes]
        other = [n for n in shapes if n in self.found and tuple(self.found[n].shape) != shapes[n]]
        if not missing and not strange and len(other) == 1:
            _refuse_other_channels(self.layout.arch, other[0], self.found[other[0]], shapes[other[0]])
        if missing or strange or other:
            raise self._misfit(missing, strange, other, shapes)
        return Fit(self.found, self.classes, self.layout.arguments, self.head, tuple(self.notes))

    def _heads(self, shapes: dict[str, Shape]) -> None:
        """The last layers' names and width; a bias of zeros where they have none."""
        widths = []
        for path in self.layout.heads:
            weight = f"{path}.weight"
            if weight not in self.found:
                self._behind_dropout(path)
            if weight not in self.found:
                continue
            tensor = self.found[weight]
            if tensor.ndim == 0 or tensor.ndim != len(shapes[weight]):
                linear = tensor.ndim + len(shapes[weight]) == 6 and tensor.numel() == math.prod(tensor.shape[:2])
                if not linear:  # a linear layer and a convolution of one pixel have the same weights
                    continue
                tensor = self.found[weight] = tensor.reshape(*tensor.shape[:2], *shapes[weight][2:])
            widths.append((int(tensor.shape[0]), weight))
            shapes[weight] = (tensor.shape[0], *shapes[weight][1:])
            bias = f"{path}.bias"
            if bias in shapes:
                shapes[bias] = (int(tensor.shape[0]),)
                if bias not in self.found:
                    self.found[bias] = torch.zeros(tensor.shape[0], dtype=tensor.dtype)
                    self.notes.append("the last layer has no bias: zeros")
        if widths:
            self.classes, self.head = widths[0]
        if len({width for width, _ in widths}) > 1:
            raise CheckpointError(
                f"The last layers of {self.layout.arch} have different widths.",
                got=", ".join(f"{name} {width}" for width, name in widths),
                expected="as many classes in each",
                fix="save the whole net.state_dict() again",
            )

    def _behind_dropout(self, path: str) -> None:
        """Renames `fc.1` to `fc`, or `classifier` to `classifier.1`: beside them is nothing that has weights."""
        inner = behind_dropout(path)
        found = [name for name in self.found if inner.fullmatch(name)]
        outer = path.rpartition(".")[0]
        if not found and outer and f"{outer}.weight" in self.found and f"{outer}.weight" not in self.layout.shapes:
            found = [f"{outer}.weight"]
        if len(found) != 1:
            return
        old = found[0].removesuffix(".weight")
        for kind in ("weight", "bias"):
            if f"{old}.{kind}" in self.found:
                self.found[f"{path}.{kind}"] = self.found.pop(f"{old}.{kind}")
        what = f"the last layer is {old}, in the net {path}"
        self.notes.append(f"{what}; what stands before it has no weights and is taken for a dropout")

    def _buffers(self, shapes: dict[str, Shape]) -> None:
        """Counters and what a net computes for itself: made where they lack, left out where they are too many."""
        dropped = [n for n in self.found if n not in shapes and BUFFER.search(n) and not _STATISTICS.search(n)]
        dropped += [n for n in self.found if n not in shapes and n not in dropped and _TRAINING_ONLY.search(n)]
        for name in dropped:
            del self.found[name]
        if dropped:
            self.notes.append(f"left out, since answers do not depend on them: {some(dropped, 3)}")
        lacking = [n for n in shapes if n not in self.found and n not in self.layout.learned]
        counters = [name for name in lacking if name.endswith("num_batches_tracked")]
        self.found.update({name: torch.zeros((), dtype=torch.long) for name in counters})
        computed = [name for name in lacking if name not in counters and not _STATISTICS.search(name)]
        rest = [n for n in shapes if n not in self.found and n not in computed]
        if computed and not rest and (self.classes or not self.layout.heads):
            own = numbers_of(self.layout, self.classes)
            self.found.update({name: own[name] for name in computed})
            self.notes.append(f"not in the file, computed as the net does: {some(computed, 3)}")

    def _misfit(
        self, missing: Sequence[str], strange: Sequence[str], other: Sequence[str], shapes: Mapping[str, Shape]
    ) -> MisfitError:
        parts = [
            f"{len(missing)} missing ({some(missing, 3)})" if missing else "",
            f"{len(strange)} that it does not have ({some(strange, 3)})" if strange else "",
            f"{len(other)} of another shape ({', '.join(_shaped(n, self.found[n], shapes[n]) for n in other[:2])})"
            if other
            else "",
        ]
        error = MisfitError(
            f"The weights are not those of {self.layout.arch}.",
            got=", ".join(part for part in parts if part),
            expected=f"its {count_of(len(shapes), 'name')} and shapes",
            fix="--arch names another net, timm:NAME or torchvision:NAME; without it the file's keys are looked up",
        )
        error.distance = len(missing) + len(strange) + len(other)
        return error


def _refuse_other_channels(arch: str, name: str, tensor: Tensor, shape: Shape) -> None:
    """Raises CheckpointError for a net of this layout whose first convolution takes other than three channels."""
    have = tuple(tensor.shape)
    if len(have) != 4 or len(shape) != 4 or shape[1] != 3 or (have[0], *have[2:]) != (shape[0], *shape[2:]):
        return
    raise CheckpointError(
        f"These are the weights of a {arch} for pictures of {have[1]} channel{'s' * (have[1] > 1)}.",
        got=f"{name} {list(have)}",
        expected=f"three channels: {list(shape)}",
        fix=f"for grey pictures, read as three equal channels: state['{name}'] = state['{name}'].repeat(1, 3, 1, 1) / 3"
        ", torch.save(state, ...), and --preprocess with the mean and std of the grey ones three times"
        if have[1] == 1
        else "train one on three channels",
    )


def _shaped(name: str, tensor: Tensor, shape: Shape) -> str:
    return f"{name} {list(tensor.shape)} for {list(shape)}"
