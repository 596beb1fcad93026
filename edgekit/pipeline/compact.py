"""A proven graph with its large weights stored as float16: the stage `compact`, within limits of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import onnx
from onnx import TensorProto, numpy_helper

from edgekit.artifacts.onnx_file import Artifact
from edgekit.config.target import COMPACT, Target
from edgekit.gate.compare import Gate, compare_answers
from edgekit.graph.passes.half_weights import COARSEST, coarseness, half_weights, is_stored_half
from edgekit.pipeline.embed_metadata import sealed, session_options
from edgekit.pipeline.graph import lint_stage, verification
from edgekit.pipeline.verdict import Basis
from edgekit.predictor import Predictor


def compact_stage(
    fp32: Artifact, gate: Gate, target: Target, path: Path, basis: Basis
) -> tuple[Artifact, dict[str, object]]:
    """Rounds the weights of a graph that passed and judges it anew; from here on `gate` has the limits for it.

    Two things are compared: the graph itself with `fp32`, in which nothing but those weights may differ, each by at
    most `COARSEST` of its tensor's largest; and its answers with the checkpoint's.

    Returns:
        The graph with its verdict inside, and what is told of it in the report.
    """
    model, rounded = half_weights(fp32.model)
    facts: dict[str, object] = {**asdict(rounded), "limit": COARSEST, "fp32": {"limits": gate.limits.model_dump()}}
    gate.limits = target.limits(COMPACT)
    described = replace(fp32.metadata, precision=COMPACT, verification={})
    artifact = sealed(model, described, path)
    with Predictor.from_artifact(artifact, **session_options(target.runtime)) as predictor:
        answers = predictor.answers(gate.pixels, batch=1)
    gate.judged = (artifact.metadata.lineage.graph, answers)
    stage = compare_answers("compact", gate.reference, answers, gate.limits, gate.spec)
    problem = difference(fp32.model, model)
    problems = (*stage.problems, *([problem] if problem else []))
    if gate.add(replace(stage, passed=not problems, problems=problems)):
        lint_stage(model, gate, target)
    for name in rounded.kept:
        gate.notes.append(f"{name} stays float32: float16 does not hold its values")
    return sealed(model, replace(described, verification=verification(gate, basis, COMPACT)), path), facts


def difference(model: onnx.ModelProto, compact: onnx.ModelProto) -> str:
    """What differs between a graph and its compact one beside weights that were rounded; empty where nothing does."""
    stored = {tensor.name: tensor for tensor in compact.graph.initializer}
    found = {name: numpy_helper.to_array(tensor) for name, tensor in stored.items()}
    nodes = []
    for node in compact.graph.node:
        first = node.input[0] if node.input else ""
        half = first in stored and stored[first].data_type == TensorProto.FLOAT16 and is_stored_half(compact, first)
        if half:
            found[node.output[0]] = found.pop(first)
        else:
            nodes.append(node)
    want = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    if _bytes(nodes) != _bytes(model.graph.node) or set(found) != set(want):
        return "another graph than the one that was proven"
    for name, weight in want.items():
        if found[name].dtype == weight.dtype:
            off = 0.0 if found[name].tobytes() == weight.tobytes() else float("inf")
        else:
            off = coarseness(weight, found[name]) if found[name].shape == weight.shape else float("inf")
        if not off <= COARSEST:
            return f"{name} is off by {off:.2g} of its largest value, more than rounding to float16 is"
    return ""


def _bytes(nodes: Sequence[onnx.NodeProto]) -> list[bytes]:
    return [node.SerializeToString(deterministic=True) for node in nodes]
