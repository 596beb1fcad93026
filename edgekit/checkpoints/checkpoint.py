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
from edgekit.artifacts.kinds import weights_file
from edgekit.artifacts.onnx_file import file_sha256
from edgekit.checkpoints.ctdet import read_ctdet
from edgekit.checkpoints.foreign import Told, read_foreign
from edgekit.checkpoints.pictures import Pictures
from edgekit.checkpoints.quantization import Quantization
from edgekit.checkpoints.tensors import read_tensors
from edgekit.errors import CheckpointError, InputError, UsageError
from edgekit.nets.empty import without_memory
from edgekit.nets.library import without_tag
from edgekit.nets.weights import load_weights
from edgekit.screen import count_of
from edgekit.spec import ModelSpec, PreprocessSpec
from edgekit.tasks import task_of
from edgekit.version import __version__

FORMAT = 1


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
        pictures: whose transforms make its pictures, of a net of timm or torchvision; None: its PreprocessSpec says it.
        whose_pictures: whose preprocessing was taken where nobody said it.
        metrics, recipe, versions: plain data kept for the record.
        trained_on: as in `edgekit.artifacts.metadata.Metadata`; empty where the file does not say it.
        quantization: of a net that was trained with the rounding of its int8 graph, else None.
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
    pictures: Pictures | None = None
    whose_pictures: str = "torchvision's"
    quantization: Quantization | None = None

    @property
    def what(self) -> str:
        """What its net is, for a verdict: whose it is and who says so."""
        if self.source == "edgekit":
            return "our net from its own checkpoint"
        named = f"as named by {self.named_by}" if self.named_by else "a guess from keys and shapes"
        library, _, name = self.spec.arch.rpartition(":")
        whose = f"{library}'s {name}" if library else f"our {name}"
        return f"{whose} with these weights, {named}"

    def net(self) -> nn.Module:
        """The net with these weights, float32, in evaluation mode.

        Raises:
            CheckpointError: keys or shapes that are not the net's.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that nothing is copied
                load_weights(without_memory(lambda: nets.build(self.spec)), self.state_dict)
            net = nets.build(self.spec)
            load_weights(net, self.state_dict)
        except RuntimeError as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            raise CheckpointError(
                f"The weights do not fit {self.spec.arch}.",
                got=" ".join(lines[1:3])[:300],
                expected=f"the keys and shapes of {self.spec.arch} with {count_of(len(self.spec.classes), 'class')}",
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
    if checkpoint.quantization is not None:
        content["quantization"] = checkpoint.quantization.to_dict()
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
    multi_label: bool | None = None,
    unnamed: bool = False,
    fallback: ModelSpec | None = None,
) -> Checkpoint:
    """Reads a checkpoint of any accepted kind and checks that it is whole and finite.

    Args:
        path: edgekit's format or a state dict, as torch.save or safetensors writes them; or a folder with such a file
            and a config.json, as the Hugging Face Hub has it.
        classes: names in the order of the logits, for a file that has none.
        preprocess: for a file that says none; default is torchvision's for its ImageNet ResNets.
        norm: for a plain state dict whose keys don't tell group, layer and instance norm apart.
        arch: the net that a plain state dict is of, which its keys alone do not prove.
        weights_key: which of several sets of weights in a file: the key that they are under.
        multi_label: whether a picture may have several labels, so that scores are sigmoids; None: as the file says,
            else one label.
        unnamed: class names and outputs play no part, as for a trunk to train on: made up where a file has none.
        fallback: what is taken for a plain state dict where neither the options above nor the file say it.

    Raises:
        CheckpointError: missing, empty, not a checkpoint, truncated, needs code, unknown net, or weights that are not
            finite.
        UsageError: `classes`, `preprocess`, `arch`, `weights_key` or `multi_label` contradict the file.
    """
    path = weights_file(Path(path))
    content = read_tensors(path)
    if isinstance(content.get("edgekit"), int):
        checkpoint = _own(content, path, classes, preprocess, arch, weights_key)
        _refuse_labels(checkpoint.spec, multi_label)
    elif (
        found := read_ctdet(content, path, classes=classes, preprocess=preprocess, arch=arch, unnamed=unnamed)
    ) is not None:
        checkpoint = Checkpoint(**vars(found))
        _refuse_labels(checkpoint.spec, multi_label)
    else:
        told = Told(classes, preprocess, norm, arch, weights_key, multi_label, unnamed, fallback)
        checkpoint = Checkpoint(**vars(read_foreign(content, path, told)))
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
        quantization = Quantization.from_dict(content["quantization"]) if "quantization" in content else None
    except (InputError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{path} is an edgekit checkpoint with a broken description.", got=str(error)) from error
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise CheckpointError(f"{path} is an edgekit checkpoint without weights.", got="a state_dict of other things")
    for option, given, own in (("--arch", arch and without_tag(arch), spec.arch), ("--weights-key", weights_key, None)):
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
        quantization=quantization,
    )


def _refuse_labels(spec: ModelSpec, multi_label: bool | None) -> None:
    if multi_label is not None and multi_label != spec.multi_label:
        raise UsageError(
            "--multi-label contradicts the checkpoint's own.",
            got=str(multi_label),
            expected=f"{spec.multi_label}: it is {task_of(spec.task).noun}",
            fix="leave --multi-label out: the checkpoint knows how it was trained",
        )


def _refuse_nonfinite(state: Mapping[str, Tensor], path: Path) -> None:
    for name, tensor in state.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            bad = int((~torch.isfinite(tensor)).sum())
            raise CheckpointError(
                f"{path} has weights that are not numbers.",
                got=f"{bad} of {count_of(tensor.numel(), 'value')} of {name} are NaN or infinite",
                expected="finite weights",
                fix="use an earlier checkpoint of that training; it had diverged",
            )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f", ... ({len(names)})" if len(names) > 5 else "")
