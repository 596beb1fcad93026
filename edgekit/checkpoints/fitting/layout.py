"""The names and shapes that a net of another library has, looked at without its memory."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn

from edgekit import nets
from edgekit.errors import InputError, UsageError
from edgekit.nets.empty import without_memory
from edgekit.nets.library import preprocess

Shape = tuple[int, ...]
CLASSES = 1000  # any number does: the width is the file's


@dataclass(frozen=True)
class Layout:
    """A net without its numbers.

    Attributes:
        arch, arguments: as a ModelSpec has them.
        classes: that it was looked at with.
        heads: paths of its last layers; none where it has none.
        shapes: of what its state dict holds, by name.
        learned: the names of these that are parameters.
        net: on the meta device.
    """

    arch: str
    arguments: Mapping[str, Any]
    classes: int
    heads: tuple[str, ...]
    shapes: Mapping[str, Shape]
    learned: frozenset[str]
    net: nn.Module

    @property
    def marks(self) -> tuple[str, ...]:
        """Names by which a state dict of it is found behind a prefix: first and last ones of the trunk."""
        outside = tuple(f"{head}." for head in self.heads)
        trunk = [name for name in self.shapes if name in self.learned and not (outside and name.startswith(outside))]
        return tuple(dict.fromkeys((*trunk[:2], *trunk[-2:])))

    @property
    def side(self) -> int:
        """Pixels of its square input: what it was built for, or what its published weights take."""
        built = self._built_for()
        if built is not None:
            return built
        with contextlib.suppress(InputError, UsageError):
            published = preprocess(self.arch)
            return 224 if published is None else published.height
        return 224

    @property
    def size_argument(self) -> str:
        """What its constructor calls the side of its input."""
        return "img_size" if self.arch.startswith("timm:") else "image_size"

    @property
    def fixed(self) -> bool:
        """Whether it is built for pictures of one size."""
        if self.arch.startswith("timm:"):
            import timm

            config = timm.get_pretrained_cfg(self.arch.removeprefix("timm:"), allow_unregistered=True)
            if config is not None and config.fixed_input_size:
                return True
        return self._built_for() is not None and self.arch.startswith("torchvision:")

    def _built_for(self) -> int | None:
        for holder in (self.net, getattr(self.net, "patch_embed", None)):
            for name in ("image_size", "img_size"):
                value = getattr(holder, name, None)
                if value is not None:
                    return int(value[0] if isinstance(value, tuple | list) else value)
        return None


_KEPT: dict[str, Layout] = {}


def layout_of(arch: str, arguments: Mapping[str, Any] | None = None, classes: int = CLASSES) -> Layout:
    """Of `timm:NAME` or `torchvision:NAME`; of 0 classes without its last layers.

    Raises:
        UsageError: no such net, or arguments that it does not take.
        BackendError: its library is not installed.
    """
    given = dict(arguments or {})
    key = f"{arch} {classes} {sorted(given.items())}"
    if key not in _KEPT:
        if len(_KEPT) > 64:
            _KEPT.clear()
        known = nets.find(arch)
        net = without_memory(partial(known.build, classes, **given))
        shapes = {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}
        learned = frozenset(name for name, _ in net.named_parameters())
        _KEPT[key] = Layout(known.name, given, classes, known.heads if classes else (), shapes, learned, net)
    return _KEPT[key]


def numbers_of(layout: Layout, classes: int) -> Mapping[str, Tensor]:
    """What the net holds before it is loaded: of buffers that it computes for itself, their values."""
    found: Mapping[str, Tensor] = nets.find(layout.arch).build(classes, **layout.arguments).state_dict()
    return found
