"""Which nets a state dict may be of, by its keys and shapes alone."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from edgekit.checkpoints.fitting.fit import Fit, MisfitError, fit
from edgekit.checkpoints.fitting.names import BESIDE, NORMALIZE, prefixes, unwrapped
from edgekit.checkpoints.fitting.table import look_up
from edgekit.errors import BackendError, UsageError

TRIED = 24  # nets are built, without memory, to compare all of their names: a tenth of a second each


def starts_of_known(tensors: Mapping[str, Tensor]) -> list[str]:
    """Prefixes behind which a net of timm or torchvision begins, by their table."""
    return [prefix for prefix in prefixes(tensors) if candidates(behind(tensors, prefix))]


def behind(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """What stands behind a prefix, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def candidates(state: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Nets whose trunk has these names and shapes."""
    shapes = {unwrapped(name): tuple(t.shape) for name, t in state.items()}
    return look_up({n: s for n, s in shapes.items() if not (BESIDE.search(n) or NORMALIZE.match(n))})


def guesses(state: Mapping[str, Tensor]) -> tuple[dict[str, Fit], tuple[str, ...]]:
    """The nets that these weights fit without any argument, or else with an input of another size; and all candidates.

    Where there are more than `TRIED`, or a library is not installed, none is tried.
    """
    found = candidates(state)
    if len(found) > TRIED:
        return {}, found
    fits: dict[str, Fit] = {}
    for arch in found:
        try:
            fits[arch] = fit(arch, state)
        except (MisfitError, UsageError):
            continue
        except BackendError:
            return {}, found
    plain = {arch: made for arch, made in fits.items() if not made.arguments}
    return plain or fits, found
