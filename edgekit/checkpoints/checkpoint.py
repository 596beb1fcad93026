"""Checkpoints: edgekit's own format, and plain state dicts as torchvision and timm publish them.

An edgekit checkpoint is a `torch.save`d dictionary of tensors and plain data, so it loads with `weights_only=True`:
format, spec (ModelSpec), state_dict (the EMA's where there is one), metrics, recipe, versions. Nothing here ever
runs code from a file: what needs it to load is refused.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgekit import nets
from edgekit.artifacts.atomic import atomic
from edgekit.artifacts.onnx_file import file_sha256
from edgekit.checkpoints.claims import (
    Claims,
    claims_of,
    preprocess_of,
    refuse_contradiction,
    refuse_other_preprocess,
)
from edgekit.checkpoints.naming import named_by
from edgekit.checkpoints.tensors import read_tensors
from edgekit.checkpoints.unwrap import find_weights
from edgekit.errors import CheckpointError, InputError, UsageError
from edgekit.spec import ModelSpec, PreprocessSpec
from edgekit.version import __version__

FORMAT = 1
NORMS_UNNAMED = ("group", "layer", "instance")


@dataclass(frozen=True)
class Checkpoint:
    """A trained net at rest.

    Attributes:
        spec: what it is.
        state_dict: weights that evaluation and export use: the EMA's where there is one.
        sha256: of the file it was read from; empty when it was not.
        source: `edgekit`, or what kind of foreign file it was.
        notes: what was assumed, for people.
        named_by: who says which net it is: `its own checkpoint`, `--arch`, the file's word; empty where it is a guess
            from keys and shapes.
        guesses: what else nobody said and was taken for granted: `preprocessing`, `class names`.
        metrics, recipe, versions: plain data kept for the record.
        trained_on: as in `edgekit.artifacts.metadata.Metadata`; empty where the file does not say it.
    """

    spec: ModelSpec
    state_dict: Mapping[str, Tensor]
    sha256: str = ""
    source: str = "edgekit"
    notes: tuple[str, ...] = ()
    metrics: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    trained_on: str = ""
    named_by: str = "its own checkpoint"
    guesses: tuple[str, ...] = ()

    @property
    def what(self) -> str:
        """What its net is, for a verdict: whose it is and who says so."""
        if self.source == "edgekit":
            return "our net from its own checkpoint"
        named = f"as named by {self.named_by}" if self.named_by else "a guess from keys and shapes"
        return f"our {self.spec.arch} with these weights, {named}"

    def net(self) -> nn.Module:
        """The net with these weights, float32, in evaluation mode.

        Raises:
            CheckpointError: keys or shapes that are not the net's.
        """
        try:
            with torch.device("meta"), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that nothing is copied: a few bytes can describe a net of 36 GB
                nets.build(self.spec).load_state_dict(dict(self.state_dict), strict=True)
            net = nets.build(self.spec)
            net.load_state_dict(dict(self.state_dict), strict=True)
        except RuntimeError as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            raise CheckpointError(
                f"The weights do not fit {self.spec.arch}.",
                got=" ".join(lines[1:3])[:300],
                expected=f"the keys and shapes of {self.spec.arch} with {len(self.spec.classes)} classes",
                fix="save the whole net.state_dict() again; of another net than a plain ResNet: add it "
                "(CONTRIBUTING.md, 'Add a net')",
            ) from error
        return net.float().eval()


def save_checkpoint(path: str | os.PathLike[str], checkpoint: Checkpoint, *, overwrite: bool = False) -> None:
    """Writes edgekit's format, atomically: what a later `load_checkpoint` needs, and nothing that needs code to load.

    Args:
        path: the .pt to write.
        checkpoint: spec, weights, metrics, recipe and versions.
        overwrite: replace a file that is there.

    Raises:
        OutputError: a file is there, or cannot be written.
    """
    content = {
        "edgekit": FORMAT,
        "spec": checkpoint.spec.to_dict(),
        "state_dict": {k: v.detach().cpu().contiguous() for k, v in checkpoint.state_dict.items()},
        "metrics": dict(checkpoint.metrics),
        "recipe": dict(checkpoint.recipe),
        "versions": {"edgekit": __version__, "torch": str(torch.__version__), **checkpoint.versions},
        "trained_on": checkpoint.trained_on,
    }
    with atomic(Path(path), overwrite=overwrite) as stream:
        torch.save(content, stream)


def load_checkpoint(
    path: str | os.PathLike[str],
    *,
    classes: Sequence[str] | None = None,
    preprocess: PreprocessSpec | None = None,
    norm: str | None = None,
    arch: str | None = None,
    weights_key: str | None = None,
    unnamed: bool = False,
    fallback: ModelSpec | None = None,
) -> Checkpoint:
    """Reads a checkpoint of any accepted kind and checks that it is whole and finite.

    Args:
        path: edgekit's format or a state dict, as torch.save or safetensors writes them.
        classes: names in the order of the logits, for a file that has none.
        preprocess: for a file that says none; default is torchvision's for its ImageNet ResNets.
        norm: for a plain state dict whose keys don't tell group, layer and instance norm apart.
        arch: the net that a plain state dict is of, which its keys alone do not prove.
        weights_key: which of several sets of weights in a file: the key that they are under.
        unnamed: class names and outputs play no part, as for a trunk to train on: made up where a file has none.
        fallback: what is taken for a plain state dict where neither the options above nor the file say it.

    Raises:
        CheckpointError: missing, empty, not a checkpoint, truncated, needs code, unknown net, or weights that are not
            finite.
        UsageError: `classes`, `preprocess`, `arch` or `weights_key` contradict the file.
    """
    path = Path(path)
    content = read_tensors(path)
    if isinstance(content.get("edgekit"), int):
        checkpoint = _own(content, path, classes, preprocess, arch, weights_key)
    else:
        told = _Told(classes, preprocess, norm, arch, weights_key, unnamed, fallback)
        checkpoint = _foreign(content, path, told)
    _refuse_nonfinite(checkpoint.state_dict, path)
    return replace(checkpoint, sha256=file_sha256(path))


def state_digest(state: Mapping[str, Tensor]) -> str:
    """sha256 (hex) over names, shapes, dtypes and values of a state dict, in the order of the names."""
    sha = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())  # numpy has no bfloat16
    return sha.hexdigest()


@dataclass(frozen=True)
class _Told:
    """What `load_checkpoint` was told of a file."""

    classes: Sequence[str] | None
    preprocess: PreprocessSpec | None
    norm: str | None
    arch: str | None
    weights_key: str | None
    unnamed: bool
    fallback: ModelSpec | None


def _own(
    content: Mapping[str, Any],
    path: Path,
    classes: Sequence[str] | None,
    preprocess: PreprocessSpec | None,
    arch: str | None,
    weights_key: str | None,
) -> Checkpoint:
    if content["edgekit"] != FORMAT:
        raise CheckpointError(
            f"{path} has another checkpoint format.",
            got=str(content["edgekit"]),
            expected=str(FORMAT),
            fix="upgrade edgekit",
        )
    try:
        spec = ModelSpec.from_dict(content["spec"])
        state = content["state_dict"]
    except (InputError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} is an edgekit checkpoint with a broken description.", got=str(error)) from error
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise CheckpointError(f"{path} is an edgekit checkpoint without weights.", got="a state_dict of other things")
    for option, given, own in (("--arch", arch, spec.arch), ("--weights-key", weights_key, None)):
        if given is not None and given != own:
            raise UsageError(
                f"{option} contradicts the checkpoint, which says itself what it holds.",
                got=given,
                expected=own or "one set of weights",
                fix=f"leave {option} out",
            )
    if classes is not None and tuple(classes) != spec.classes:
        raise UsageError(
            "The class names contradict the checkpoint's own.",
            got=_some(classes),
            expected=_some(spec.classes),
            fix="leave --classes out: the checkpoint knows its classes",
        )
    if preprocess is not None and preprocess != spec.preprocess:
        raise UsageError(
            "The preprocessing contradicts the checkpoint's own.",
            got=preprocess.describe(),
            expected=spec.preprocess.describe(),
            fix="leave --preprocess out: the checkpoint knows how it was trained",
        )
    return Checkpoint(
        spec,
        state,
        metrics=content.get("metrics", {}),
        recipe=content.get("recipe", {}),
        versions=content.get("versions", {}),
        trained_on=str(content.get("trained_on", "")),
    )


def _foreign(content: Mapping[str, Any], path: Path, told: _Told) -> Checkpoint:
    found = find_weights(content, path, told.weights_key)
    claims = claims_of(content, path, found.buffers)
    try:
        arch, width, arch_args = _net_of(found.state, told)
    except CheckpointError as error:  # which net it is is told from keys; which file it was is not known there
        raise CheckpointError(f"{path}: {error.what}", got=error.got, expected=error.expected, fix=error.fix) from error
    notes, guesses = [*found.notes, *claims.notes], []
    named = named_by(told.arch, claims["arch"], arch, path)
    about = f"named by {named}" if named else "a guess from keys and shapes, which other nets share"
    notes.insert(0, f"plain state dict of {arch} ({arch_args['norm']} norm), {width} classes; the net is {about}")
    _refuse_other_head(claims, width, path, told.unnamed)
    preprocess, more, guessed = _preprocess_of(claims, path, told)
    notes += more
    guesses += guessed
    classes, more, guessed = _classes_of(claims, width, path, told)
    notes += more
    guesses += guessed
    spec = ModelSpec(arch, classes, preprocess, arch_args)
    kind = "safetensors" if path.suffix == ".safetensors" else "state dict"
    return Checkpoint(
        spec, found.state, source=kind, notes=tuple(notes), named_by=named, guesses=tuple(guesses)
    )  # fmt: skip


def _net_of(state: Mapping[str, Tensor], told: _Told) -> tuple[str, int, dict[str, Any]]:
    """Arch, number of classes and arguments, from keys and shapes and --norm."""
    stated = (told.fallback.arch_args or {}).get("norm") if told.fallback is not None else None
    norm = told.norm or (stated if stated in NORMS_UNNAMED else None)
    guess = dict(state)
    if norm is not None:
        if norm not in NORMS_UNNAMED:
            raise UsageError("--norm does not take this value.", got=norm, expected=", ".join(NORMS_UNNAMED))
        if "bn1.running_mean" in state or "bn1.weight" not in state:
            raise UsageError(
                "--norm contradicts the keys of the state dict.",
                got=norm,
                expected="batch norm, by its running statistics" if "bn1.running_mean" in state else "no norm",
                fix="leave --norm out",
            )
        guess = {k: v for k, v in state.items() if ".bn" not in f".{k}"}
    arch, width, arch_args = nets.infer(guess)
    if norm is not None:
        arch_args["norm"] = norm
    return arch, width, arch_args


def _refuse_other_head(claims: Claims, width: int, path: Path, unnamed: bool) -> None:
    """Raises CheckpointError where a file says that its outputs are others than a softmax over the last layer's."""
    count, several = claims["width"], claims["multi_label"]
    if count is not None and count.value != width and not unnamed:
        raise CheckpointError(
            f"{path} says another number of classes than its last layer has.",
            got=f"{count.where} = {count.value}",
            expected=f"{width}, of fc.weight",
            fix="save it anew from the net itself",
        )
    if several is not None and several.value and not unnamed:
        raise CheckpointError(
            f"{path} says that a picture may have several labels: its scores are sigmoids, and edgekit's a softmax.",
            got=f"{several.where} = {several.value}",
            expected="a classifier with one label a picture",
            fix="for its logits alone, whose sigmoid is then yours to take: torch.save(net.state_dict(), "
            "'weights.pth'), which says nothing of labels, and export that",
        )


def _preprocess_of(claims: Claims, path: Path, told: _Told) -> tuple[PreprocessSpec, list[str], list[str]]:
    """The preprocessing, what is to be said of it, and what of it is guessed."""
    if told.preprocess is not None:
        refuse_other_preprocess(claims, told.preprocess, path)
        return told.preprocess, [], []
    spec, said, guessed = preprocess_of(claims, path)
    if told.fallback is not None:
        return told.fallback.preprocess, [], []
    if said and not guessed:
        return spec, [f"preprocessing: {spec.describe()}, as the file says ({', '.join(said)})"], []
    rest = f"the file says {', '.join(said)}; the {', '.join(guessed)} are a guess: " if said else "a guess: "
    note = f"preprocessing: {rest}torchvision's ({spec.describe()}); --preprocess FILE names another"
    return spec, [note], ["preprocessing"]


def _classes_of(claims: Claims, width: int, path: Path, told: _Told) -> tuple[tuple[str, ...], list[str], list[str]]:
    """The class names, what is to be said of them, and what is guessed."""
    claim = claims["classes"]
    if claim is not None and len(claim.value) != width and not told.unnamed:
        raise CheckpointError(
            f"{path} says another number of class names than its last layer has.",
            got=f"{len(claim.value)} names in {claim.where}",
            expected=f"{width}, of fc.weight",
            fix="save it anew from the net itself, or without them, and name the classes: --classes FILE",
        )
    given = told.classes
    if given is None and claim is None and told.fallback is not None:
        given = told.fallback.classes
    if given is not None:
        if len(given) != width:
            raise CheckpointError(
                "The number of class names is not the width of the last layer.",
                got=f"{len(given)} names",
                expected=f"{width} (fc.weight of {path.name})",
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


def _refuse_nonfinite(state: Mapping[str, Tensor], path: Path) -> None:
    for name, tensor in state.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            bad = int((~torch.isfinite(tensor)).sum())
            raise CheckpointError(
                f"{path} has weights that are not numbers.",
                got=f"{bad} of {tensor.numel()} values of {name} are NaN or infinite",
                expected="finite weights",
                fix="use an earlier checkpoint of that training; it had diverged",
            )


def _imagenet_classes(path: Path, width: int) -> tuple[str, ...]:
    if width != 1000:
        raise CheckpointError(
            f"{path} does not say what its classes are called.",
            got=f"a plain state dict with {width} classes",
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


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f", ... ({len(names)})" if len(names) > 5 else "")
