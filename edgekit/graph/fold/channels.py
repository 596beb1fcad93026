"""Where the channels of a layer and of a norm lie, followed through any view of the same memory."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def axis(layer: nn.Module, tensor: Tensor) -> int:
    """The axis of a layer's input or output that its channels lie on: the last one of a Linear, else before space."""
    weight = layer.weight
    assert isinstance(weight, Tensor)
    return tensor.ndim - 1 if isinstance(layer, nn.Linear) else tensor.ndim - weight.ndim + 1


def same_channels(made: Tensor, along: int, read: Tensor, across: int) -> bool:
    """Whether channel c of `made` on one axis is channel c of `read` on another, element by element.

    Both are views of one memory, such as [N, L, C] flattened to [N L, C], or transposed to [N, C, L]. Numbers of
    channels are written into a memory of that form through the one and read through the other, so nothing about views
    needs to be known.
    """
    if not 0 <= across < read.ndim or made.numel() != read.numel() or made.shape[along] != read.shape[across]:
        return False
    geometry = made.shape, made.stride(), made.storage_offset()
    if (read.shape, read.stride(), read.storage_offset()) == geometry:
        return along == across
    size = made.untyped_storage().nbytes() // made.element_size()
    labels = torch.full((size,), -1, dtype=torch.int32)
    labels.as_strided(*geometry).copy_(_numbers(made, along))
    return bool((labels.as_strided(read.shape, read.stride(), read.storage_offset()) == _numbers(read, across)).all())


def _numbers(tensor: Tensor, along: int) -> Tensor:
    """0, 1, ... along one axis, shaped to be broadcast to `tensor`."""
    shape = [1] * tensor.ndim
    shape[along] = -1
    return torch.arange(tensor.shape[along], dtype=torch.int32).reshape(shape)
