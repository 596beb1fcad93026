"""A state dict from elsewhere: which net it is of, what its classes are called, and what pictures it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from edgekit import nets
from edgekit.checkpoints.claims import (
    PLAIN,
    Claim,
    Claims,
    Published,
    claims_of,
    preprocess_of,
    refuse_contradiction,
    refuse_other_preprocess,
)
from edgekit.checkpoints.fitting.fit import MisfitError, at_size
from edgekit.checkpoints.fitting.which import Which, which_net
from edgekit.checkpoints.outputs import feature_count, outputs_of
from edgekit.checkpoints.pictures import Pictures, pictures_of, published
from edgekit.errors import CheckpointError, InputError, UsageError
from edgekit.nets.library import of_library, without_tag
from edgekit.screen import count_of
from edgekit.spec import ModelSpec, PreprocessSpec
from edgekit.tasks import task_of


@dataclass(frozen=True)
class Told:
    """What `edgekit.checkpoints.checkpoint.load_checkpoint` was told of a file, by the names it has there."""

    classes: Sequence[str] | None
    preprocess: PreprocessSpec | None
    norm: str | None
    arch: str | None
    weights_key: str | None
    multi_label: bool | None
    unnamed: bool
    fallback: ModelSpec | None


@dataclass(frozen=True)
class Foreign:
    """What a foreign file holds; the attributes are those of a `Checkpoint`."""

    spec: ModelSpec
    state_dict: Mapping[str, Tensor]
    source: str
    notes: tuple[str, ...]
    named_by: str
    guesses: tuple[str, ...]
    pictures: Pictures | None = None
    whose_pictures: str = "torchvision's"


def read_foreign(content: Mapping[str, Any], path: Path, told: Told) -> Foreign:
    """The weights of a file that is not edgekit's, and what it and the user say of them.

    Args:
        content: what was read from `path`.

    Raises:
        CheckpointError, UsageError: as `edgekit.checkpoints.checkpoint.load_checkpoint`.
    """
    claims = claims_of(content, path)
    which = which_net(content, path, claims, told.arch, _stated(told), told.weights_key)
    claims = _sized_by_shapes(claims.with_buffers(which.buffers), which)
    notes, guesses = [*which.notes, *claims.notes], []
    labels = _labels(told, claims)
    outputs = outputs_of(claims, which.classes, which.head, path, multi_label=labels, unnamed=told.unnamed)
    notes += outputs.notes
    usual = _published(which.arch, claims, told)
    preprocess, more, guessed = _preprocess_of(claims, path, told, usual)
    notes += more
    guesses += guessed
    state, arguments = which.state, which.arguments
    if of_library(which.arch):
        state, arguments = _at_size(which, preprocess, path)
    arch = without_tag(which.arch)
    about = f"named by {which.by}" if which.by else "a guess from keys and shapes, which other nets share"
    how = f" ({', '.join(f'{value} {name}' for name, value in arguments.items())})" if arguments else ""
    holds = f"{count_of(which.classes, 'class')}" if which.classes else "without its last layer"
    notes.insert(0, f"plain state dict of {arch}{how}, {holds}; the net is {about}")
    if task_of(outputs.task).classless:
        _refuse_classes(told, path)
        dimensions = feature_count(arch, arguments, preprocess, path)
        spec = ModelSpec(arch, (), preprocess, arguments, outputs.task, dimensions=dimensions)
    else:
        classes, more, guessed = _classes_of(claims, which.classes, which.head, path, told)
        notes += more
        guesses += guessed
        spec = ModelSpec(arch, classes, preprocess, arguments, outputs.task)
    kind = "safetensors" if path.suffix == ".safetensors" else "state dict"
    own = None
    if told.preprocess is None and told.fallback is None:
        own = pictures_of(which.arch, claims, _value(claims, "tag"))
    return Foreign(spec, state, kind, tuple(notes), which.by, tuple(guesses), own, usual.whose)


def _value(claims: Claims, kind: str) -> Any:
    claim = claims[kind]
    return None if claim is None else claim.value


def _published(arch: str, claims: Claims, told: Told) -> Published:
    try:
        return published(arch, _value(claims, "tag"))
    except InputError:  # pictures that a PreprocessSpec cannot say are no matter where the user says others
        if told.preprocess is None and told.fallback is None:
            raise
        return PLAIN


def _sized_by_shapes(claims: Claims, which: Which) -> Claims:
    """And the input's size where the shapes of the weights say it."""
    side = next((which.arguments[key] for key in ("img_size", "image_size") if key in which.arguments), None)
    if side is None or claims["size"] is not None:
        return claims
    size = (int(side), int(side)) if isinstance(side, int) else (int(side[0]), int(side[1]))
    return Claims({**claims.said, "size": Claim(size, "the shapes of its weights")}, claims.notes)


def _at_size(which: Which, preprocess: PreprocessSpec, path: Path) -> tuple[Mapping[str, Tensor], Mapping[str, Any]]:
    """The weights and arguments of a net that is built for pictures of one size."""
    size = (preprocess.height, preprocess.width)
    try:
        made = at_size(without_tag(which.arch), which.state, which.arguments, size)
    except MisfitError as misfit:
        raise CheckpointError(
            f"{path} is of a net for pictures of another size than is said.",
            got=f"{size[0]}x{size[1]}: {misfit.got}",
            expected="the size that its position embedding is of",
            fix="--preprocess FILE with its height and width",
        ) from misfit
    return (which.state, which.arguments) if made is None else (made.state, made.arguments)


def _stated(told: Told) -> dict[str, Any]:
    """Arguments of the net that its keys do not tell, by --norm or else by `fallback`."""
    fallback = {} if told.fallback is None else nets.untold(told.fallback.arch_args or {})
    return fallback | ({} if told.norm is None else {"norm": told.norm})


def _labels(told: Told, claims: Claims) -> bool | None:
    """Whether a picture may have several labels, by --multi-label or else, where the file says nothing, `fallback`."""
    if told.multi_label is None and claims["multi_label"] is None and told.fallback is not None:
        return told.fallback.multi_label or None
    return told.multi_label


def _refuse_classes(told: Told, path: Path) -> None:
    """Raises UsageError where names are given to features."""
    if told.classes is not None:
        raise UsageError(
            f"{path} has no last layer, so it gives features and has no classes.",
            got=f"{count_of(len(told.classes), 'name')}",
            expected="no class names",
            fix="leave --classes out, or save the whole classifier's net.state_dict()",
        )


def _preprocess_of(
    claims: Claims, path: Path, told: Told, usual: Published
) -> tuple[PreprocessSpec, list[str], list[str]]:
    """The preprocessing, what is to be said of it, and what of it is guessed."""
    if told.preprocess is not None:
        refuse_other_preprocess(claims, told.preprocess, path, usual)
        return told.preprocess, [], []
    spec, said, guessed = preprocess_of(claims, path, usual)
    if told.fallback is not None:
        return told.fallback.preprocess, [], []
    if not guessed:
        whose = f"{usual.whose}" if usual.stated else ""
        told_by = f"as the file says ({', '.join(said)})" if said else ""
        return spec, [f"preprocessing: {spec.describe()}, {', and '.join(t for t in (told_by, whose) if t)}"], []
    rest = f"the file says {', '.join(said)}; the {', '.join(guessed)} are a guess: " if said else "a guess: "
    note = f"preprocessing: {rest}{usual.whose} ({spec.describe()}); --preprocess FILE names another"
    return spec, [note], ["preprocessing"]


def _classes_of(
    claims: Claims, width: int, head: str, path: Path, told: Told
) -> tuple[tuple[str, ...], list[str], list[str]]:
    """The class names, what is to be said of them, and what is guessed."""
    claim = claims["classes"]
    if claim is not None and len(claim.value) != width and not told.unnamed:
        raise CheckpointError(
            f"{path} says another number of class names than its last layer has.",
            got=f"{count_of(len(claim.value), 'name')} in {claim.where}",
            expected=f"{width}, of {head}",
            fix="save it anew from the net itself, or without them, and name the classes: --classes FILE",
        )
    given = told.classes
    if given is None and claim is None and told.fallback is not None:
        given = told.fallback.classes
    if given is not None:
        if len(given) != width:
            raise CheckpointError(
                "The number of class names is not the width of the last layer.",
                got=f"{count_of(len(given), 'name')}",
                expected=f"{width} ({head} of {path.name})",
                fix="give one name per logit, in their order",
            )
        refuse_contradiction(claim, tuple(given), "--classes", path)
        return tuple(given), [], []
    if told.unnamed:
        return tuple(f"class {i}" for i in range(width)), [], []
    if claim is not None:
        return _unique(claim.value), [f"class names: as the file says ({claim.where})"], []
    note = "class names: ImageNet's 1000, a guess since the head is 1000 wide; --classes FILE names others"
    return _imagenet_classes(path, width), [note], ["class names"]


def _imagenet_classes(path: Path, width: int) -> tuple[str, ...]:
    if width != 1000:
        raise CheckpointError(
            f"{path} does not say what its classes are called.",
            got=f"a plain state dict with {count_of(width, 'class')}",
            expected="class names",
            fix="--classes FILE, one name per line in the order of the logits",
        )
    from torchvision.models import ResNet18_Weights  # the list ships with torchvision; nothing is downloaded

    return _unique(ResNet18_Weights.IMAGENET1K_V1.meta["categories"])


def _unique(names: Sequence[str]) -> tuple[str, ...]:
    """ImageNet has two cranes and two maillots: the second gets its number, so that a name means one class."""
    seen: dict[str, int] = {}
    result = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        result.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return tuple(result)
