"""An adoption from beginning to end: the stages in their order, for float32 and then for a smaller precision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from edgekit.artifacts.atomic import output_folder, refuse_existing
from edgekit.config.target import Limits, Target
from edgekit.gate.compare import Gate
from edgekit.gate.spent import Spent
from edgekit.graph import decoders
from edgekit.graph.foreign import Cleaned, clean, read_foreign
from edgekit.pipeline.adopting.asked import describe_original
from edgekit.pipeline.adopting.options import AdoptOptions
from edgekit.pipeline.adopting.original import Original
from edgekit.pipeline.adopting.stages import graph_stages, pictures_stage, raw_stage
from edgekit.pipeline.embed_metadata import environment
from edgekit.pipeline.pictures import calibration_pictures, describe, pictures_for_gate
from edgekit.pipeline.precision import make, precision_name
from edgekit.pipeline.writing import ExportResult, finish
from edgekit.progress import working
from edgekit.tasks.stage import finite
from edgekit.version import __version__


def run_adopt(
    file: Path, out: Path | None, options: AdoptOptions, say: Callable[[str], None] = lambda line: None
) -> ExportResult:
    """Adopts the ONNX `file`; see `edgekit.adopt`."""
    spent = Spent()
    target = options.require_possible()
    out = Path("adopted") if out is None else out
    name = precision_name(target, options.precision)
    model_path, made_path = out / f"{file.stem}.onnx", out / f"{file.stem}.{name}.onnx"
    second_files = () if options.precision == "fp32" else (made_path, made_path.with_suffix(".verify.json"))
    for path in (model_path, model_path.with_suffix(".verify.json"), *second_files):
        refuse_existing(path, options.force)

    foreign = read_foreign(file)
    for note in foreign.notes:
        say(note)
    described = describe_original(foreign, options, say)
    spec, basis = described.spec, described.basis
    dataset = pictures_for_gate(options.data, options.pictures, spec.task)
    gate = Gate(dataset, _limits(target, described.original), spec, say, spent=spent)
    pool = None
    if options.data is not None and options.precision != "fp32":
        pool = calibration_pictures(dataset, options.data, options.calibrate)
    with output_folder(out):
        for note in (*described.notes, *dataset.notes):
            say(note)
        content: dict[str, Any] = {
            "format": 1,
            "passed": False,
            "edgekit": __version__,
            "checkpoint": {"name": file.name, "sha256": foreign.sha256, "kind": "onnx", "notes": list(foreign.notes)},
            "target": target.name,
            "precision": "fp32",
            "input": options.input_kind,
            "data": describe(dataset, options.data),
            "limits": gate.limits.model_dump(),
        }
        original = described.original
        artifact = None
        spent.mark("loading")
        pictures_stage(original, described, gate)
        content["doubts"] = list(decoders.doubts(described.decoding.reading, original.size, gate.reference))
        for doubt in content["doubts"]:
            say(f"doubtful: {doubt}")
        if gate.passed:
            with working("cleaning the graph"):
                cleaned = clean(foreign, opset=target.opset, size=original.size, dynamic=options.batch is None)
            content["clean"] = finite(
                {
                    "steps": list(cleaned.steps),
                    "batch": cleaned.batch,
                    "why": cleaned.reason,
                    "norms": [asdict(norm) for norm in cleaned.folded],
                }
            )
            _tell(cleaned, options, say)
            if raw_stage(original, cleaned, gate):
                artifact = graph_stages(
                    cleaned, described, gate, target, model_path, input_kind=options.input_kind, sha256=foreign.sha256
                )
        content["environment"] = environment()
        result = finish(content, gate, artifact, model_path, target, options.force, basis)
        if options.precision == "fp32" or not result.passed or artifact is None:
            return result
        assert pool is not None
        say(f"{result.model}: proven; now {name}")
        second = Gate(dataset, target.limits(name), gate.spec, say, reference=gate.reference, pixels=gate.pixels)
        made = make(artifact, second, target, name, made_path, pool, basis, max_drop=options.max_drop, say=say)
        content = {
            **{k: content[k] for k in ("format", "edgekit", "checkpoint", "target", "input", "data", "environment")},
            "passed": False,
            "precision": name,
            "limits": second.limits.model_dump(),
            **made.facts,
        }
        return replace(finish(content, second, made.artifact, made_path, target, options.force, basis), base=result)


def _limits(target: Target, original: Original) -> Limits:
    """The target's for float32; for an original that computes in float16 those for fp16."""
    return target.limits("fp16" if original.half else "fp32")


def _tell(cleaned: Cleaned, options: AdoptOptions, say: Callable[[str], None]) -> None:
    """What was done to the norms and the batch; all steps are in the report."""
    folded = [norm for norm in cleaned.folded if norm.into]
    if folded:
        worst = max(norm.difference for norm in folded)
        say(f"{len(folded)} BatchNormalizations folded, the worst moves its layer's output by {worst:.2g}")
    for norm in cleaned.folded:
        if not norm.into:
            say(f"{norm.name} stays: {norm.reason}")
    if cleaned.batch != "N" and options.batch is None:
        say(f"the batch stays 1: {cleaned.reason}")
