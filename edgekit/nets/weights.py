"""Weights into a net, whatever wrote them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

from torch import Tensor, nn


def load_weights(net: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Loads `state` strictly.

    A plain file does not say of which version of the net's code it is, and torchvision's MNASNets refuse to load
    without it. It is the version that is built: an older one has other shapes.

    Raises:
        RuntimeError: other keys or shapes; torch's own text names them.
    """
    named = OrderedDict(state)
    named._metadata = {"": {"version": net._version}}  # type: ignore[attr-defined]
    net.load_state_dict(named, strict=True)
