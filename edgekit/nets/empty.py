"""Nets without memory, to look at their keys and shapes: a few bytes of a file can ask for one of 36 GB."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import nn


def without_memory(make: Callable[[], nn.Module]) -> nn.Module:
    """What `make` gives, with its parameters on the meta device."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that nothing is initialized
        try:
            with torch.device("meta"):
                return make()
        except NotImplementedError:  # it computes while it is built, as torchvision's RegNets do
            from accelerate import init_empty_weights

            with init_empty_weights():
                return make()
