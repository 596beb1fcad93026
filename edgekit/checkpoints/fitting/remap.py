"""Older and official names of the same weights, brought to a library's own by that library's own rules.

timm keeps with most of its nets what turns the official files of their authors into its own names
(`checkpoint_filter_fn`). It is taken only where no tensor changes its size by it: a resampled embedding is another net.
"""

from __future__ import annotations

import contextlib
import io
import logging
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from edgekit.checkpoints.fitting.layout import Layout

# torchvision.models.densenet: names with a dot in them were no names of a module any more
_DENSENET = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.((?:[12])\.(?:weight|bias|running_mean|running_var))$")
_FILTERS = ("checkpoint_filter_fn", "pretrained_filter_fn", "_filter_fn", "checkpoint_filter_fn_classifier")
# what they raise on names that are not theirs
_FAILED = (KeyError, IndexError, ValueError, RuntimeError, AttributeError, TypeError, AssertionError)


def remaps(layout: Layout, state: Mapping[str, Tensor]) -> Iterator[tuple[str, Mapping[str, Tensor]]]:
    """What is to be said of each way, and the state dict that it gives."""
    if any(_DENSENET.match(name) for name in state):
        yield (
            "names of torchvision's old DenseNet (norm.1) brought to today's (norm1)",
            {_DENSENET.sub(r"\1\2", name): tensor for name, tensor in state.items()},
        )
    if layout.arch.startswith("timm:"):
        home = sys.modules[type(layout.net).__module__]
        for name in _FILTERS:
            found = _filtered(getattr(home, name, None), layout, state)
            if found is not None:
                yield f"names brought to timm's by its own {name} ({home.__name__})", found


def _filtered(rule: Any, layout: Layout, state: Mapping[str, Tensor]) -> Mapping[str, Tensor] | None:
    if rule is None:
        return None
    made = None
    for more in ((layout.net,), ()):
        with contextlib.suppress(*_FAILED), contextlib.redirect_stdout(io.StringIO()), _quiet():
            made = dict(rule(dict(state), *more))
            break
    if made is None or not all(isinstance(value, Tensor) for value in made.values()):
        return None
    same = made.keys() == state.keys() and all(made[name] is state[name] for name in made)
    resampled = any(name in state and state[name].numel() != value.numel() for name, value in made.items())
    return None if same or resampled or any(value.is_meta for value in made.values()) else made


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
