"""Classifiers of torchvision and timm by name, built without network access: `torchvision:mobilenet_v3_small`,
`timm:vit_tiny_patch16_224`.

They are the libraries' own modules; edgekit adds where the last layer is, and what pictures published weights take.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

from torch import nn

from edgekit.config.keys import nearest
from edgekit.errors import BackendError, InputError, UsageError
from edgekit.nets.empty import without_memory
from edgekit.nets.registry import Net, Reference
from edgekit.spec import PreprocessSpec


@dataclass(frozen=True)
class LibraryNet(Net):
    """A net of another library. Only its own code knows what arguments it takes, so any plain value is passed to it."""

    @property
    def arguments(self) -> dict[str, Any]:
        return {}

    def complete(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        return dict(asked)


def of_timm(name: str, classes: int, **arguments: Any) -> nn.Module:
    """timm's net, randomly initialized; 0 classes for features.

    Raises:
        UsageError: unknown, or arguments that it does not take.
        BackendError: timm is not installed.
    """
    timm = _timm()
    if not timm.is_model(name):
        raise _unknown("timm", name, timm.list_models())
    return _made(
        "timm", name, partial(timm.create_model, name, pretrained=False), {"num_classes": classes, **arguments}
    )


def of_torchvision(name: str, classes: int, **arguments: Any) -> nn.Module:
    """torchvision's net, randomly initialized; 0 classes for features.

    Raises:
        UsageError: unknown, or arguments that it does not take.
    """
    import torchvision

    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        raise _unknown("torchvision", name, known)
    if name in ("googlenet", "inception_v3"):
        arguments = {"init_weights": False, **arguments}  # else seconds of scipy, and a warning that says so
    make = partial(torchvision.models.get_model, name, weights=None)
    net = _made("torchvision", name, make, {"num_classes": classes or 1, **arguments})
    for path in () if classes else library_net(f"torchvision:{name}").heads:  # torchvision always has a last layer
        net.set_submodule(path, nn.Identity())
    return net


LIBRARIES: dict[str, Callable[..., nn.Module]] = {"torchvision": of_torchvision, "timm": of_timm}


def of_library(arch: str) -> bool:
    """Whether `arch` names a net of another library: `timm:` or `torchvision:` and a name."""
    return arch.partition(":")[0] in LIBRARIES and ":" in arch


def without_tag(arch: str) -> str:
    """`timm:resnet18` for `timm:resnet18.a1_in1k`: the tag is of published weights, and the net is the same."""
    return arch.partition(".")[0]


@lru_cache(maxsize=64)
def library_net(arch: str) -> Net:
    """What is known of `timm:NAME` or `torchvision:NAME`, with or without the tag of published weights.

    Raises:
        UsageError: there is no such library or net in it.
        BackendError: timm is not installed.
    """
    library, _, name = without_tag(arch).partition(":")
    if library not in LIBRARIES:
        raise UsageError("Unknown library of nets.", got=arch, expected=" or ".join(f"{x}:NAME" for x in LIBRARIES))
    build = partial(LIBRARIES[library], name)
    return LibraryNet(f"{library}:{name}", build, heads=_heads(build), reference=Reference(library, name))


def preprocess(arch: str) -> PreprocessSpec | None:
    """The pictures that a net's published weights take, from its library's own tables; nothing is fetched.

    timm's `pretrained_cfg` (the size that it was trained at, as its model cards evaluate it), or torchvision's weight
    entry. Without a tag it is the library's first.

    Args:
        arch: as for `library_net`; a tag (`timm:resnet18.tv_in1k`, `torchvision:resnet50.IMAGENET1K_V2`) chooses among
            published weights.

    Returns:
        None where nothing was published.

    Raises:
        UsageError: no such net, or no such tag.
        InputError: they are prepared in a way that a PreprocessSpec cannot say.
    """
    library, _, name = arch.partition(":")
    return _of_weight_entry(name) if library == "torchvision" else _of_pretrained_cfg(name)


def has_tag(arch: str) -> bool:
    """Whether a library has weights of the tag in `timm:NAME.TAG`; yes for a name without one."""
    library, _, name = arch.partition(":")
    bare, dot, tag = name.partition(".")
    if not dot:
        return True
    if library == "timm":
        return name in _timm().list_pretrained(f"{bare}.*")
    from torchvision.models import get_model_weights, list_models

    return bare in list_models() and tag in [entry.name for entry in get_model_weights(bare)]


def _of_pretrained_cfg(name: str) -> PreprocessSpec | None:
    timm = _timm()
    bare, _, tag = name.partition(".")
    if tag and name not in timm.list_pretrained(f"{bare}.*"):
        raise UsageError(
            "timm has no weights of this tag.", got=name, expected=", ".join(timm.list_pretrained(f"{bare}.*"))
        )
    config = timm.get_pretrained_cfg(name) if timm.is_model(bare) else None
    if config is None:
        return None
    _, height, width = config.input_size
    sides = [math.floor(n / (config.crop_pct or 0.875)) for n in (height, width)]
    common: dict[str, Any] = {
        "height": height,
        "width": width,
        "interpolation": "bilinear" if config.interpolation == "random" else config.interpolation,
        "mean": tuple(config.mean),
        "std": tuple(config.std),
    }
    if config.crop_mode == "squash" and sides == [height, width]:
        return PreprocessSpec(**common, resize="stretch", shorter_side=None)
    if config.crop_mode != "center" or sides[0] != sides[1]:
        raise InputError(
            f"timm prepares the pictures of {name} in a way that edgekit does not.",
            got=f"crop_mode {config.crop_mode}, input {height} x {width}, crop_pct {config.crop_pct}",
            expected="a centre crop of a square, or squash without a crop",
            fix="--preprocess FILE with the nearest of edgekit's own",
        )
    return PreprocessSpec(**common, shorter_side=sides[0])


def _of_weight_entry(name: str) -> PreprocessSpec | None:
    from torchvision.models import get_model_weights, list_models

    bare, _, tag = name.partition(".")
    if bare not in list_models():
        return None
    entries = list(get_model_weights(bare))
    if tag and tag not in [entry.name for entry in entries]:
        raise UsageError(
            "torchvision has no weights of this tag.", got=name, expected=", ".join(entry.name for entry in entries)
        )
    entry = next(entry for entry in entries if not tag or entry.name == tag)
    made = entry.transforms()
    (size,), (shorter,) = made.crop_size, made.resize_size
    return PreprocessSpec(
        size, size, "crop", shorter, made.interpolation.value, mean=tuple(made.mean), std=tuple(made.std)
    )


def _heads(build: Callable[..., nn.Module]) -> tuple[str, ...]:
    """Paths of the layers whose width is the number of classes, found by building the net for two numbers of them."""
    one, other = (dict(without_memory(partial(build, classes)).named_modules()) for classes in (3, 5))
    layers = [path for path, module in one.items() if isinstance(module, nn.Linear | nn.Conv2d)]
    changed = [p for p in layers if one[p].weight.shape != getattr(other.get(p), "weight", one[p].weight).shape]
    return tuple(path for path in changed if not path.startswith(("aux", "AuxLogits")))  # of training only


def _made(library: str, name: str, make: Callable[..., nn.Module], arguments: Mapping[str, Any]) -> nn.Module:
    try:
        return make(**arguments)
    except (TypeError, ValueError, AssertionError, KeyError, AttributeError) as error:
        given = {key: value for key, value in arguments.items() if key != "num_classes"}
        if not given:
            raise
        raise UsageError(
            f"{library}'s {name} cannot be built so.",
            got=", ".join(f"{key} = {value}" for key, value in given.items()) + f": {error}",
            expected="arguments that its own constructor takes",
        ) from error


def _unknown(library: str, name: str, known: list[str]) -> UsageError:
    return UsageError(
        f"{library} has no net of this name.",
        got=name,
        expected=f"one of its {len(known)} classifiers",
        fix=nearest(name, known),
    )


def _timm() -> Any:
    try:
        import timm
    except ImportError as error:
        raise BackendError(
            "timm is not installed.", got=str(error), expected="timm, for nets called timm:NAME", fix="pip install timm"
        ) from error
    return timm
