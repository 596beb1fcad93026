"""An exported file as what a net starts from: the net's own layers again, with BatchNorms that do nothing.

Folding a BatchNorm into its layer is not to be undone: four numbers a channel became two. But a BatchNorm with any
statistics and the weight and bias that make up for them gives the same net, so here it has mean 0 and variance 1, and
whoever trains measures the right ones (`edgekit.training.start.settle`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from onnx import numpy_helper
from torch import Tensor

from edgekit import nets
from edgekit.artifacts.metadata import Metadata
from edgekit.artifacts.onnx_file import Artifact, read_onnx
from edgekit.config.target import COMPACT
from edgekit.errors import CheckpointError, UsageError
from edgekit.graph.fold_bn import fold_bn
from edgekit.graph.passes.half_weights import HALF
from edgekit.graph.to_onnx import first_convolution, of_normalized
from edgekit.spec import ModelSpec

EXACT = ("fp32", COMPACT)


def read_export(path: Path) -> tuple[dict[str, Tensor], Metadata]:
    """The state dict, float32, of the net that a verified file of `edgekit export` holds, and what the file says of it.

    In evaluation mode the net with it answers as the file does: to float32's rounding, where its weights are float16
    (`--compact`) as those do.

    Raises:
        ArtifactError: no such file, or none of edgekit's.
        CheckpointError: one that did not pass the gate, one with rounded weights (int8, float16), or a net whose layers
            are not in the file as they were.
    """
    artifact = read_onnx(path)
    if artifact.metadata.verification.get("passed") is not True:
        raise CheckpointError(
            f"{path.name} was not proven, so nothing starts from it.", fix="edgekit export CHECKPOINT"
        )
    spec, precision = artifact.metadata.model, artifact.metadata.precision
    if precision not in EXACT:
        raise CheckpointError(
            f"{path.name} has rounded weights, which nothing learns from.",
            got=precision,
            expected="fp32, as edgekit export writes it without --precision",
        )
    try:
        net = nets.build(spec).eval()
    except UsageError as error:
        raise CheckpointError(
            f"The net in {path.name} is none that edgekit builds, so it cannot learn.",
            got=spec.arch,
            expected="a file of edgekit export",
            fix="what edgekit adopt made of somebody's graph runs, and is trained where it came from",
        ) from error
    height, width = spec.preprocess.height, spec.preprocess.width
    folded, report = fold_bn(net, torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0)))
    state, stored = net.state_dict(), _stored(artifact)
    kept = {name: value for name, value in folded.state_dict().items() if not name.endswith("num_batches_tracked")}
    wrong = [name for name, value in kept.items() if name not in stored or stored[name].shape != value.shape]
    wrong += [one.block for one in report.fused] + [one.norm for one in report.layers if one.ahead]
    if wrong:
        raise CheckpointError(
            f"{path.name} does not have the net's layers as they were.",
            got=f"{len(wrong)} of {len(kept)} are another: {', '.join(wrong[:3])}",
            expected=f"the convolutions of {spec.arch}",
            fix="start from its checkpoint",
        )
    if artifact.metadata.input == "uint8":
        _of_normalized(stored, folded, spec)
    if spec.temperature != 1:  # the graph's last layers are divided by it
        for name in (name for name in stored if name.rpartition(".")[0] in nets.find(spec.arch).heads):
            stored[name] = (stored[name].double() * spec.temperature).float()
    norm_of = {one.layer: one.norm for one in report.layers}
    for name in kept:
        layer, _, what = name.rpartition(".")
        norm = norm_of.get(layer)
        if norm is not None and what == "bias":
            state[f"{norm}.bias"] = stored[name]
            if name in state:
                state[name] = torch.zeros_like(stored[name])
        else:
            state[name] = stored[name]
    for norm in norm_of.values():
        epsilon = float(net.get_submodule(norm).eps)  # type: ignore[arg-type]
        state[f"{norm}.running_mean"] = torch.zeros_like(state[f"{norm}.running_mean"])
        state[f"{norm}.running_var"] = torch.ones_like(state[f"{norm}.running_var"])
        state[f"{norm}.weight"] = torch.full_like(state[f"{norm}.weight"], (1 + epsilon) ** 0.5)
    return state, artifact.metadata


def _stored(artifact: Artifact) -> dict[str, Tensor]:
    tensors = ((t.name.removesuffix(HALF), numpy_helper.to_array(t)) for t in artifact.model.graph.initializer)
    return {name: torch.from_numpy(np.array(values)).float() for name, values in tensors}


def _of_normalized(stored: dict[str, Tensor], folded: torch.nn.Module, spec: ModelSpec) -> None:
    """The first convolution's weights as they take normalized pictures, in place: `Deploy` has them take bytes."""
    preprocess = spec.preprocess
    first = first_convolution(folded, torch.zeros(1, 3, preprocess.height, preprocess.width))
    if first is None:
        return
    name = next(f"{path}.weight" for path, module in folded.named_modules() if module is first)
    stored[name] = of_normalized(stored[name], preprocess)
