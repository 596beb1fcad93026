"""Checkpoints: edgekit's own format, and plain state dicts as torchvision and timm publish them.

An edgekit checkpoint is a `torch.save`d dictionary of tensors and plain data, so it loads with `weights_only=True`:
format, spec (ModelSpec), state_dict (the EMA's where there is one), metrics, recipe, versions. Nothing here ever
unpickles an object: a file that needs code to load is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgekit import __version__, nets
from edgekit.artifact import atomic, file_sha256
from edgekit.errors import CheckpointError, InputError, UsageError
from edgekit.spec import ModelSpec, PreprocessSpec
from edgekit.training.tensors import read_tensors

FORMAT = 1
WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model_state_dict", "model")
PREFIXES = ("module.", "_orig_mod.", "model.")
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
        metrics, recipe, versions: plain data kept for the record.
        trained_on: as in `edgekit.artifact.Metadata`; empty where the file does not say it.
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

    def net(self) -> nn.Module:
        """The net with these weights, float32, in evaluation mode.

        Raises:
            CheckpointError: keys or shapes that are not the net's.
        """
        net = nets.build(self.spec)
        try:
            net.load_state_dict(dict(self.state_dict), strict=True)
        except RuntimeError as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            raise CheckpointError(
                f"The weights do not fit {self.spec.arch}.",
                got=" ".join(lines[1:3])[:300],
                expected=f"the keys and shapes of {self.spec.arch} with {len(self.spec.classes)} classes",
                fix="save the whole net.state_dict() again, of a net with torchvision's layers",
            ) from error
        return net.float().eval()


def save_checkpoint(path: Path, checkpoint: Checkpoint, *, overwrite: bool = False) -> None:
    """Writes edgekit's format, atomically. Raises OutputError as `edgekit.artifact.atomic`."""
    content = {
        "edgekit": FORMAT,
        "spec": checkpoint.spec.to_dict(),
        "state_dict": {k: v.detach().cpu().contiguous() for k, v in checkpoint.state_dict.items()},
        "metrics": dict(checkpoint.metrics),
        "recipe": dict(checkpoint.recipe),
        "versions": {"edgekit": __version__, "torch": str(torch.__version__), **checkpoint.versions},
        "trained_on": checkpoint.trained_on,
    }
    with atomic(path, overwrite=overwrite) as stream:
        torch.save(content, stream)


def load_checkpoint(
    path: Path,
    *,
    classes: Sequence[str] | None = None,
    preprocess: PreprocessSpec | None = None,
    norm: str | None = None,
    fallback: ModelSpec | None = None,
) -> Checkpoint:
    """Reads a checkpoint of any accepted kind and checks that it is whole and finite.

    Args:
        path: `.pt`/`.pth` (edgekit's format or a plain state dict) or `.safetensors`.
        classes: names in the order of the logits, for a file that has none.
        preprocess: for a file that says none; default is torchvision's for its ImageNet ResNets.
        norm: for a plain state dict whose keys don't tell group, layer and instance norm apart.
        fallback: what is taken for a plain state dict where the three above are not given.

    Raises:
        CheckpointError: missing, empty, not a checkpoint, truncated, needs code, unknown net, or weights that are not
            finite.
        UsageError: `classes` or `preprocess` contradict the file.
    """
    content = read_tensors(path)
    if isinstance(content.get("edgekit"), int):
        checkpoint = _own(content, path, classes, preprocess)
    else:
        if fallback is not None:
            stated = (fallback.arch_args or {}).get("norm")
            classes = classes or fallback.classes
            preprocess = preprocess or fallback.preprocess
            norm = norm or (stated if stated in NORMS_UNNAMED else None)
        checkpoint = _foreign(content, path, classes, preprocess, norm)
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
    content: Mapping[str, Any], path: Path, classes: Sequence[str] | None, preprocess: PreprocessSpec | None
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


def _foreign(
    content: Mapping[str, Any],
    path: Path,
    classes: Sequence[str] | None,
    preprocess: PreprocessSpec | None,
    norm: str | None,
) -> Checkpoint:
    state = _plain_state(content, path)
    guess = dict(state)
    if norm is not None:
        if norm not in NORMS_UNNAMED:
            raise UsageError("--norm cannot be this.", got=norm, expected=", ".join(NORMS_UNNAMED))
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
    notes = [f"plain state dict of {arch} ({arch_args['norm']} norm), {width} classes"]
    if classes is None:
        classes = _imagenet_classes(path, width)
        notes.append("class names: ImageNet's 1000, since the head is 1000 wide")
    if len(classes) != width:
        raise CheckpointError(
            "The number of class names is not the width of the last layer.",
            got=f"{len(classes)} names",
            expected=f"{width} (fc.weight of {path.name})",
            fix="give one name per logit, in their order",
        )
    if preprocess is None:
        preprocess = PreprocessSpec()
        notes.append(f"preprocessing: torchvision's ({preprocess.describe()}); --preprocess FILE names another")
    spec = ModelSpec(arch, tuple(classes), preprocess, arch_args)
    kind = "safetensors" if path.suffix == ".safetensors" else "state dict"
    return Checkpoint(spec, state, source=kind, notes=tuple(notes))


def _plain_state(content: Mapping[str, Any], path: Path) -> dict[str, Tensor]:
    for wrapper in WRAPPERS:
        if isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
            break
    state = {str(k): v for k, v in content.items() if isinstance(v, Tensor)}
    if not state or len(state) != len(content):
        strange = [str(k) for k, v in content.items() if not isinstance(v, Tensor)]
        raise CheckpointError(
            f"{path} does not hold a state dict.",
            got="entries that are not tensors: " + ", ".join(strange[:4]) if strange else "no tensors",
            expected="a dictionary of tensors (or one under " + ", ".join(WRAPPERS) + ")",
            fix="torch.save(net.state_dict(), path)",
        )
    # one inside the other in any order: torch.compile of a DDP module gives _orig_mod.module.
    while prefix := next((p for p in PREFIXES if all(key.startswith(p) for key in state)), None):
        state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


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
