"""From the folded net to the graph: the stages `onnx` and `batch`, and the lint rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edgekit.artifacts.metadata import Lineage, Metadata
from edgekit.artifacts.onnx_file import Artifact
from edgekit.config.target import Target
from edgekit.gate.compare import Gate, compare_answers, first_wrong
from edgekit.graph import lint, passes
from edgekit.pipeline.embed_metadata import sealed, session_options, tools
from edgekit.pipeline.options import ExportOptions
from edgekit.pipeline.verdict import Basis
from edgekit.predictor import Answers, Predictor
from edgekit.progress import working
from edgekit.tasks.stage import FirstWrong, Stage
from edgekit.vision.preprocess import normalise

if TYPE_CHECKING:
    from torch import nn

    from edgekit.checkpoints.checkpoint import Checkpoint

BATCHES = (2, 5, 16)  # a row must not depend on its neighbours or on their number


def onnx_stages(
    loaded: Checkpoint,
    folded: nn.Module,
    gate: Gate,
    target: Target,
    options: ExportOptions,
    path: Path,
    basis: Basis,
) -> Artifact:
    """onnx, batch and file; returns what was written into memory, with the verdict so far inside."""
    from edgekit import nets
    from edgekit.checkpoints.checkpoint import state_digest
    from edgekit.graph.to_onnx import onnx_from_torch
    from edgekit.nets.detector import with_decoding

    lineage = Lineage(loaded.sha256, state_digest(folded.state_dict()))
    answers = with_decoding(folded, loaded.spec, options.raw_heads)
    kind = options.input_kind
    with working("exporting the graph"):
        model = onnx_from_torch(
            answers,
            loaded.spec,
            opset=target.opset,
            heads=nets.find(loaded.spec.arch).heads,
            batch=options.batch,
            input_kind=kind,
        )
    described = Metadata(loaded.spec, lineage, kind, "fp32", target.name, tools(), trained_on=loaded.trained_on)
    artifact = sealed(model, described, path)
    gate.spent.mark("graph")
    with Predictor.from_artifact(artifact, **session_options(target.runtime)) as predictor:
        step = predictor.fixed_batch or 1
        alone = predictor.answers(gate.pixels, batch=1)
        gate.judged = (artifact.metadata.lineage.graph, alone)
        equal = gate.judge("onnx", alone, lambda: _blame_onnx(artifact, folded, loaded, gate.pixels, step))
        if equal and predictor.fixed_batch is None:
            gate.add(batch_stage(predictor, alone, gate))
    if gate.passed:
        lint_stage(model, gate, target)
    return sealed(model, replace(described, verification=verification(gate, basis)), path)


def lint_stage(model: onnx.ModelProto, gate: Gate, target: Target) -> None:
    """The rules of the target's runtimes: an error is a failed stage, warnings are said."""
    problems = lint.lint(model, runtimes=target.runtimes, opset=target.opset)
    wrong = [f"{f.rule}: {f.message}" for f in problems if f.severity == "error"]
    warnings = [f for f in problems if f.severity == "warning"]
    gate.notes.extend(f"{f.rule}: {f.message}" for f in warnings)
    for line in _summed(warnings):
        gate.say(f"warning: {line}")
    if wrong:
        last = gate.stages[-1]
        gate.add(replace(last, name="lint", passed=False, problems=tuple(wrong)))
    gate.spent.mark("lint")


def verification(gate: Gate, basis: Basis, precision: str = "fp32") -> dict[str, Any]:
    """What of the gate's verdict travels in a file that computes in float32."""
    return {
        "passed": gate.passed,
        "pictures": len(gate.pixels),
        "data": gate.dataset.layout,
        "stages": [gate.task.short(stage) for stage in gate.stages] if gate.passed else [],
        "verdict": basis.verdict(gate, precision),
    }


def _summed(findings: Sequence[lint.Finding]) -> list[str]:
    """A line for each rule: its first place, and how many more there are."""
    places = Counter(finding.rule for finding in findings)
    first = {finding.rule: finding.message for finding in reversed(findings)}
    more = {rule: f" (and {count - 1} more)" if count > 1 else "" for rule, count in places.items()}
    return [f"{rule}: {first[rule]}{more[rule]}" for rule in places]


def batch_stage(predictor: Predictor, alone: Answers, gate: Gate) -> Stage:
    """Rows of a batch against the same pictures one at a time, in batches of several sizes."""
    rows: list[Answers] = []
    start = 0
    while start < len(gate.pixels) and start < sum(BATCHES):
        size = BATCHES[len(rows) % len(BATCHES)]
        rows.append(predictor.answers(gate.pixels[start : start + size], batch=size))
        start += size
    batched = {name: np.concatenate([row[name] for row in rows]) for name in alone}
    return compare_answers("batch", alone, batched, gate.limits, gate.spec)


def _blame_onnx(
    artifact: Artifact, folded: nn.Module, loaded: Checkpoint, pixels: Sequence[NDArray[np.uint8]], batch: int
) -> FirstWrong | None:
    from edgekit import nets
    from edgekit.backends.onnxruntime_ import run_once
    from edgekit.backends.torch_ import TorchSession

    spec = loaded.spec
    block = np.stack([pixels[i % len(pixels)] for i in range(batch)])  # rows that differ show mixing
    inputs = normalise(block, spec.preprocess)
    session = TorchSession(folded, spec)
    want = session.intermediates({"image": inputs})
    if spec.temperature != 1:  # the exported head has it in its weights, and all behind the head has it too
        names = list(want)
        first = min(names.index(head) for head in nets.find(spec.arch).heads)
        want.update({name: want[name] / spec.temperature for name in names[first:]})
    want.update(session.run({"image": inputs}))
    feed = inputs if artifact.metadata.input == "float" else block
    got = run_once(passes.exposed(artifact.model).SerializeToString(), {"image": feed})
    order = [name for node in artifact.model.graph.node for name in node.output]
    return first_wrong(want, got, order)
