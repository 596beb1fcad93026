"""The stages of an adoption: the pictures, the cleaned graph's raw outputs, and the graph with its two ends."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edgekit.artifacts.metadata import Lineage, Metadata
from edgekit.artifacts.onnx_file import Artifact, graph_digest
from edgekit.backends.onnxruntime_ import plain_session, run_once
from edgekit.config.target import Target
from edgekit.errors import EdgekitError
from edgekit.gate.compare import Gate, first_wrong
from edgekit.graph import decoders, passes
from edgekit.graph.foreign import Cleaned
from edgekit.graph.wrap import wrap_input
from edgekit.pipeline.adopting.asked import Described
from edgekit.pipeline.adopting.original import Original
from edgekit.pipeline.adopting.own_pictures import prepared
from edgekit.pipeline.embed_metadata import sealed, session_options, tools
from edgekit.pipeline.graph import batch_stage, lint_stage, verification
from edgekit.predictor import Predictor
from edgekit.progress import track
from edgekit.tasks.stage import FirstWrong, Stage
from edgekit.vision.preprocess import normalise, preprocess

RAW_PICTURES = 16  # on which raw outputs are compared; every later stage sees all pictures
RAW_TOLERANCE = 1e-4  # of an output's largest value: float32 sums in another order cost a tenth of it
RAW_LEAST = 1e-6  # a map of probabilities without anything in it: runtimes' sigmoids are 1e-7 off
HALF_TOLERANCE = 0.05  # where the original computes in float16, as the gate's later stages judge by answers


def pictures_stage(original: Original, described: Described, gate: Gate) -> None:
    """The answers that are right, and whether edgekit's own preprocessing makes the original give them too."""
    spec = described.spec.preprocess
    theirs = []
    for sample in track(gate.dataset.samples, "reading the gate's pictures"):
        frame = sample.read()
        gate.pixels.append(preprocess(frame, spec))
        theirs.append(prepared(frame, spec))
    ours = [normalise(pixels[None], spec)[0] for pixels in gate.pixels]
    gate.spent.mark("pictures")
    gate.reference = original.answers(track(theirs, "running the original"), described.decoding)
    gate.spent.mark("original")
    worst = max(float(np.abs(a - b).max()) for a, b in zip(ours, theirs, strict=True))
    answers = gate.reference if worst == 0 else original.answers(ours, described.decoding)
    peak = max(float(np.abs(picture).max()) for picture in theirs)
    gate.judge("preprocess", answers, lambda: FirstWrong("image", worst, peak))


def raw_stage(original: Original, cleaned: Cleaned, gate: Gate) -> bool:
    """The cleaned graph's raw outputs against the original's, number by number, each in units of its largest value."""
    spec = gate.spec.preprocess
    pictures = [prepared(sample.read(), spec) for sample in gate.dataset.samples[:RAW_PICTURES]]
    run = plain_session(cleaned.model.SerializeToString())
    limit = HALF_TOLERANCE if original.half else RAW_TOLERANCE
    worst = relative = 0.0
    problems: dict[str, str] = {}
    for picture in track(pictures, "running the cleaned graph"):
        want, got = original.raw(picture), run({"image": original.held(picture)})
        for name, values in want.items():
            problem, gap, share = _apart(name, values, got.get(name), limit)
            worst, relative = max(worst, gap), max(relative, share)
            if problem:
                problems.setdefault(name, problem)
    blame = _blame(original, cleaned, pictures[0]) if problems else None
    stage = Stage(
        "clean", not problems, worst, relative, None, 0, len(pictures), tuple(problems.values()), first_wrong=blame
    )
    return gate.add(stage)


@np.errstate(invalid="ignore")  # infinity minus infinity: the NaN is what fails
def _apart(name: str, want: NDArray[Any], got: NDArray[Any] | None, limit: float) -> tuple[str, float, float]:
    """The problem with one raw output, if there is one, and how far it is off: max|d|, and over the largest value."""
    if got is None or got.shape != want.shape:
        found = "nothing" if got is None else str(list(got.shape))
        return f"{name}: {found} instead of {list(want.shape)}", float("inf"), float("inf")
    gap = float(np.abs(got.astype(np.float64) - want).max(initial=0.0))
    peak = float(np.abs(want.astype(np.float64)).max(initial=0.0))
    share = gap / peak if peak else gap
    if share <= limit or gap <= RAW_LEAST:
        return "", gap, share
    return f"{name}: max|d| {gap:.3g}, {share:.2g} of its largest value > {limit:g}", gap, share


def _blame(original: Original, cleaned: Cleaned, picture: NDArray[np.float32]) -> FirstWrong | None:
    """The first tensor that both graphs have under one name and that differs."""
    with contextlib.suppress(EdgekitError, onnx.shape_inference.InferenceError):
        held = original.held(picture)
        want = run_once(passes.exposed(original.model).SerializeToString(), {original.image.name: held})
        got = run_once(passes.exposed(cleaned.model).SerializeToString(), {"image": held})
        return first_wrong(want, got, [name for node in original.model.graph.node for name in node.output])
    return None


def graph_stages(
    cleaned: Cleaned,
    described: Described,
    gate: Gate,
    target: Target,
    path: Path,
    *,
    input_kind: str,
    sha256: str,
) -> Artifact:
    """onnx and batch: preprocessing in front, decoding behind. Returns what was written into memory, with its verdict.

    Args:
        path: the name that the file will get.
        input_kind: `uint8` or `float`, as `edgekit.graph.wrap.wrap_input` has it.
        sha256: of the original.
    """
    model = onnx.ModelProto()
    model.CopyFrom(cleaned.model)
    decoding = described.decoding
    decoders.append(
        model,
        decoding.reading,
        described.original.size,
        keep=decoding.keep,
        candidates=decoding.candidates,
        suppression=decoding.suppression,
    )
    for line in wrap_input(model, gate.spec.preprocess, input_kind):
        gate.notes.append(line)
    model.producer_name = "edgekit"
    model.graph.name = gate.spec.arch_args["file"] if gate.spec.arch_args else gate.spec.arch
    model = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    onnx.checker.check_model(model, full_check=True)
    lineage = Lineage(sha256, graph_digest(cleaned.model))
    metadata = Metadata(gate.spec, lineage, input_kind, "fp32", target.name, tools())
    artifact = sealed(model, metadata, path)
    gate.spent.mark("graph")
    with Predictor.from_artifact(artifact, **session_options(target.runtime)) as predictor:
        alone = predictor.answers(gate.pixels, batch=1)
        gate.judged = (artifact.metadata.lineage.graph, alone)
        if gate.judge("onnx", alone) and predictor.fixed_batch is None:
            gate.add(batch_stage(predictor, alone, gate))
    if gate.passed:
        lint_stage(model, gate, target)
    return sealed(model, replace(metadata, verification=verification(gate, described.basis)), path)
