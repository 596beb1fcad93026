"""A trunk by name for a detector or a U-Net: the features of a timm net at strides 4, 8, 16 and 32, and for a U-Net 2,
without what comes after.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from edgekit.errors import CheckpointError, UsageError
from edgekit.nets.library import of_timm, without_tag

LIBRARY = "timm:"
STRIDES = (4, 8, 16, 32)


def pyramid(trunk: str, strides: tuple[int, ...] = STRIDES) -> nn.Module:
    """timm's features of the net, randomly initialized: float32 [N, 3, H, W] -> a map a stride, H and W multiples of
    32.

    Nothing is fetched. `channels(net)` says how many channels the maps have.

    Raises:
        UsageError: a name that is not `timm:NAME`, a net that timm does not know, or one without these maps.
        BackendError: timm is not installed.
    """
    check_trunk(trunk)
    name = without_tag(trunk).removeprefix(LIBRARY)
    try:
        net = of_timm(name, 0, features_only=True, out_indices=tuple(range(-len(strides), 0)))
        found, layout = tuple(_info(net).reduction()), str(getattr(net, "output_fmt", "NCHW"))
    except (RuntimeError, IndexError) as error:  # of a net that has no such maps
        found, layout = (), str(error)
    if found != strides or not layout.endswith("NCHW"):
        raise UsageError(
            f"This net cannot be a {'detector' if strides == STRIDES else 'U-Net'}'s trunk.",
            got=f"{trunk} with features at strides {', '.join(map(str, found)) or 'unknown'} ({layout})",
            expected=f"maps [N, C, H, W] at strides {', '.join(map(str, strides))}",
            fix="--set net.trunk=timm:tf_efficientnet_lite0",
        )
    return net


def check_trunk(trunk: str) -> None:
    """Raises UsageError unless it is `timm:` and a name."""
    if not trunk.startswith(LIBRARY):
        raise UsageError("Unknown trunk.", got=trunk, expected="timm:NAME, such as timm:tf_efficientnet_lite0")


def channels(net: nn.Module) -> tuple[int, ...]:
    """Of the maps of a `pyramid`."""
    return tuple(_info(net).channels())


def pyramid_state(net: nn.Module, plain: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """What of a plain net's state dict belongs into its `pyramid`, under the names that it has there; and the rest.

    timm joins names by `_` where it takes a net apart (`stages.0.` is `stages_0.`), so names are compared with every
    dot as `_`.

    Returns:
        The state dict, and the names that are left out: the head, and layers after the last map.

    Raises:
        CheckpointError: something that the trunk needs is missing or has another shape.
    """
    found = {key.replace(".", "_"): key for key in plain}
    own = net.state_dict()
    taken = {key: found[key.replace(".", "_")] for key in own if key.replace(".", "_") in found}
    wrong = [key for key, value in own.items() if key not in taken or plain[taken[key]].shape != value.shape]
    if wrong:
        raise CheckpointError(
            "The weights do not fit the trunk.",
            got=f"{len(wrong)} of {len(own)} tensors are missing or have another shape: {', '.join(wrong[:4])}",
            expected="the state dict of the net that net.trunk names",
        )
    used = set(taken.values())
    return {key: plain[name] for key, name in taken.items()}, [name for name in plain if name not in used]


def _info(net: nn.Module) -> Any:
    return net.feature_info
