"""fp16 and int8 of a proven graph: made from the very file that passed, and compared with the checkpoint again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edgekit.artifacts.onnx_file import Artifact, graph_digest
from edgekit.config.target import Limits, Target, load_target, target_names
from edgekit.data import Dataset
from edgekit.errors import UsageError
from edgekit.gate.compare import Gate
from edgekit.graph import lint
from edgekit.pipeline.embed_metadata import sealed, session_options
from edgekit.pipeline.quicker import foreign, laid_out, told_speed
from edgekit.pipeline.verdict import Basis
from edgekit.predictor import Answers, Predictor
from edgekit.progress import working
from edgekit.quantize.calibrate import calibrate
from edgekit.quantize.calibration import Calibration
from edgekit.quantize.fp16 import to_fp16
from edgekit.quantize.place import Quantized, quantize
from edgekit.quantize.plan import layers_of
from edgekit.quantize.rounding import Moments, Rounder, rounder
from edgekit.quantize.search import Measured, SearchResult, search, search_key
from edgekit.quantize.shift import kept_operating_points
from edgekit.quantize.timing import layer_costs
from edgekit.screen import count_of
from edgekit.spec import ModelSpec
from edgekit.tasks import task_of
from edgekit.vision.preprocess import preprocess

if TYPE_CHECKING:
    from edgekit.checkpoints.quantization import Quantization

Say = Callable[[str], None]
SEARCHED = 256  # pictures that a search measures on


@dataclass(frozen=True)
class Made:
    """A graph of another precision.

    Attributes:
        artifact: with its description inside.
        facts: what was measured on the way, for the report.
    """

    artifact: Artifact
    facts: dict[str, object]


def precision_name(target: Target, precision: str) -> str:
    """`fp16`, or the int8 scheme of the target, e.g. `int8-x86`.

    Raises:
        UsageError: the target does not have this precision.
    """
    if precision not in target.precisions:
        having = [name for name in target_names() if precision in load_target(name).precisions]
        raise UsageError(
            f"{target.name} does not have this precision.",
            got=precision,
            expected="one of " + ", ".join(target.precisions),
            fix=f"--target {' or '.join(having)}; a .toml of your own can offer it"
            if having
            else "another --precision",
        )
    return str(target.scheme) if precision == "int8" else precision


def make(
    fp32: Artifact,
    gate: Gate,
    target: Target,
    name: str,
    path: Path,
    calibration: Dataset,
    basis: Basis,
    *,
    max_drop: float | None,
    say: Say,
) -> Made:
    """Converts a verified float32 graph and judges the result with `gate`, which has the checkpoint's answers.

    Args:
        name: as `precision_name` gives it.
        path: the name that the file will get; calibration and search keep their state beside it.
        calibration: pictures that are not the gate's.
        basis: what the verdict names.
        max_drop: points of agreement that int8 may lose on the calibration pictures; None: no search.

    Raises:
        DataError: pictures that cannot be calibrated on.
        VerificationError: no graph within `max_drop`.
    """
    model, spec = fp32.model, fp32.metadata.model
    for note in calibration.notes:
        say(f"calibration: {note}")
    cache = path.with_name(f"{path.name.split('.')[0]}.calibration.npz")
    moments = Moments(model) if name != "fp16" else None
    given: dict[str, list[NDArray[Any]]] = {output.name: [] for output in spec.outputs}

    def watch(tensor: str, values: NDArray[Any]) -> None:
        if moments is not None:
            moments.see(tensor, values)
        if tensor in given:
            given[tensor].append(values[:1].copy())

    with working("calibration", len(calibration)) as work:
        seen = calibrate(
            model,
            calibration,
            spec.preprocess,
            cache=cache,
            progress=lambda done, total: work.step(),
            watch=watch,
        )
    seen.require(model, spec.preprocess)
    facts: dict[str, object] = {"calibration": {"pictures": seen.pictures, "sha256": seen.key.data}}
    gate.notes.extend(seen.notes)
    gate.spent.mark("calibration")
    if moments is None:
        half = to_fp16(model, seen.tensors)
        made = half.model
        gate.notes.extend(half.notes)
        facts["fp16"] = {"nodes": half.nodes, "kept": dict(half.kept)}
    else:
        if moments.seen:
            rounds = moments.rounder()
        else:  # the ranges were in the cache, which has no moments
            with working("rounding", len(calibration)) as work:
                rounds = rounder(model, calibration, spec.preprocess, progress=lambda done, total: work.step())
        gate.spent.mark("moments")
        quantized, found = _int8(fp32, seen, rounds, target, name, path, calibration, max_drop, say)
        made = quantized.model
        facts["int8"] = {"scheme": name, "layers": list(quantized.layers), "kept": list(quantized.kept)}
        if found is not None:
            facts["search"] = _told(found)
    gate.spent.mark("search" if "search" in facts else "rounding" if "int8" in facts else "halving")
    return _judged(fp32, made, gate, target, name, path, basis, facts, (calibration, given))


def make_trained(fp32: Artifact, gate: Gate, target: Target, held: Quantization, path: Path, basis: Basis) -> Made:
    """As `make`, of a net that was trained with this rounding, whose own answers `gate` has.

    Raises:
        ArtifactError: the graph is not the one that it was trained with.
    """
    quantized = laid_out(quantize(fp32.model, held.parameters, held.scheme), target)
    told = {"scheme": held.scheme, "layers": list(quantized.layers), "kept": list(quantized.kept), "trained": True}
    return _judged(fp32, quantized.model, gate, target, held.scheme, path, basis, {"int8": told}, None)


def _judged(
    fp32: Artifact,
    made: onnx.ModelProto,
    gate: Gate,
    target: Target,
    name: str,
    path: Path,
    basis: Basis,
    facts: dict[str, object],
    moved: tuple[Dataset, dict[str, list[NDArray[Any]]]] | None,
) -> Made:
    """The graph with its description, as `gate` judges it.

    Args:
        moved: pictures that thresholds are moved by, and the float32 graph's answers on them; None: they stay.
    """
    spec = fp32.metadata.model
    described = replace(fp32.metadata, precision=name, target=target.name, verification={})
    artifact = sealed(made, described, path)
    with Predictor.from_artifact(artifact, **session_options(target.runtime)) as predictor:
        answers = predictor.answers(gate.pixels, batch=1)
        gate.judged = (artifact.metadata.lineage.graph, answers)
        gate.spent.mark(name)
        if moved is not None and (spec.thresholds or spec.alarm_thresholds):
            calibration, given = moved
            before = {output: np.concatenate(values) for output, values in given.items() if values}
            spec, shifts = kept_operating_points(fp32, predictor, calibration, spec, before)
            facts["score_shift"] = shifts
            gate.spec = spec
            gate.spent.mark("thresholds")
    gate.judge(name, answers)
    scheme = None if name == "fp16" else name
    problems = lint.lint(made, runtimes=target.runtimes, opset=target.opset, scheme=scheme)
    wrong = [f"{f.rule}: {f.message}" for f in problems if f.severity == "error"]
    gate.notes.extend(f"{f.rule}: {f.message}" for f in problems if f.severity == "warning")
    if wrong:
        gate.add(replace(gate.stages[-1], name="lint", passed=False, problems=tuple(wrong)))
    if gate.passed:
        facts["speed"] = told_speed(fp32, artifact, gate.pixels[0], target)
        gate.spent.mark("speed")
    verdict = {
        "passed": gate.passed,
        "pictures": len(gate.pixels),
        "data": gate.dataset.layout,
        "stages": [gate.task.short(stage) for stage in gate.stages] if gate.passed else [],
        "verdict": basis.verdict(gate, name),
    }
    return Made(sealed(made, replace(described, model=spec, verification=verdict), path), facts)


def _int8(
    fp32: Artifact,
    seen: Calibration,
    rounds: Rounder,
    target: Target,
    scheme: str,
    path: Path,
    calibration: Dataset,
    max_drop: float | None,
    say: Say,
) -> tuple[Quantized, SearchResult | None]:
    model, spec = fp32.model, fp32.metadata.model
    if max_drop is None:
        return laid_out(quantize(model, seen, scheme, rounder=rounds), target), None
    step = max(1, -(-len(calibration) // SEARCHED))
    pixels = [preprocess(sample.read(), spec.preprocess) for sample in calibration.samples[::step]]
    options, limits = session_options(target.runtime), target.limits("int8")
    with Predictor.from_artifact(fp32, **options) as predictor:
        wanted = predictor.answers(pixels, batch=1)

    def build(floats: frozenset[str]) -> Quantized:
        return laid_out(quantize(model, seen, scheme, rounder=rounds, keep=floats), target)

    def opened(graph: onnx.ModelProto) -> Predictor:
        candidate = sealed(_copy(graph), replace(fp32.metadata, precision=scheme, verification={}), path)
        return Predictor.from_artifact(candidate, **options)

    def measure(graph: onnx.ModelProto) -> Measured:
        with opened(graph) as predictor:
            return measured(wanted, predictor.answers(pixels, batch=1), spec, limits)

    def costs() -> dict[str, float]:
        say(f"timing what each of {count_of(len(layers), 'layer')} costs in float")
        return layer_costs(lambda floats: opened(build(floats).model), layers, pixels[0])

    def counted(done: int, total: int, what: str) -> None:
        say(f"search {done + 1} of about {total}: {what}")
        work.total = max(total, done + 1)
        work.step(done - work.done, what)

    layers = layers_of(model)
    with working("search") as work:
        found = search(
            build,
            layers,
            measure,
            max_drop,
            costs=None if foreign(target) else costs,  # multiplications count where this machine's times say nothing
            key=search_key(graph_digest(model), seen.key.data, scheme, str(len(pixels)), str(limits.box_iou)),
            state=path.with_name(path.name.removesuffix(".onnx") + ".search.json"),
            progress=counted,
        )
    say("layers by what they win, the most first: " + ", ".join(r.layer for r in found.ranking[:10]))
    say(
        f"{len(found.kept)} layers back in float ({', '.join(found.kept) or 'none'}), {found.float_share:.1%} of the "
        f"multiplications; drop {found.measured.drop:.2f} points of agreement on {count_of(len(pixels), 'picture')}"
    )
    return found.quantized, found


def measured(wanted: Answers, given: Answers, spec: ModelSpec, limits: Limits) -> Measured:
    """How far answers are from those of the float32 graph; the drop is an upper bound of what accuracy can lose."""
    return Measured(*task_of(spec.task).drift(wanted, given, limits, spec))


def require_drop(max_drop: float | None, precision: str) -> None:
    """Raises UsageError for a budget where there is nothing to search."""
    if max_drop is not None and precision != "int8":
        raise UsageError(
            "--max-drop is for int8.", got=f"--precision {precision}", fix="--precision int8 --max-drop 0.5"
        )


def _told(found: SearchResult) -> dict[str, object]:
    return {
        "kept": list(found.kept),
        "drop": found.measured.drop,
        "float_share": found.float_share,
        "measurements": found.measurements,
        "ranking": [{"layer": r.layer, "cost": r.cost, "won": r.won, "drop": r.drop} for r in found.ranking],
    }


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy
