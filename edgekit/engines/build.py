"""From a verified ONNX to an engine for a board: lint, the ladder of precisions, the proof on the GPU, the files."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgekit.artifacts.atomic import output_folder
from edgekit.artifacts.engine import Card, Engine, changes, read_engine, sidecar_of, write_engine
from edgekit.artifacts.engine_key import BuildOptions, engine_name
from edgekit.artifacts.onnx_file import Artifact
from edgekit.backends.tensorrt_ import TensorRTSession
from edgekit.backends.trt import build as builder
from edgekit.backends.trt.layers import convolutions
from edgekit.backends.trt.library import Library, load_library
from edgekit.backends.trt.place import this_place
from edgekit.backends.trt.refusal import RefusedError
from edgekit.backends.trt.timing import timing_file
from edgekit.config.target import Target, load_target
from edgekit.data import Dataset
from edgekit.data.made import STAND_INS
from edgekit.engines.fallbacks import in_lint_words, precision_of, refuse_lint, rungs_of
from edgekit.engines.request import AS_THE_TARGET, EngineRequest, build_options, engine_table, find_device, with_batch
from edgekit.errors import ArtifactError, OutputError, VerificationError
from edgekit.gate.compare import verify
from edgekit.predictor import Predictor
from edgekit.tasks import task_of

Say = Callable[[str], None]


@dataclass(frozen=True)
class BuildResult:
    """An engine that is there now.

    Attributes:
        source: the ONNX that it was built from, which a fallback may be.
        reused: whether it was there already, with the same key.
        warnings: what the library warned about; empty when reused.
    """

    path: Path
    card: Card
    source: Path
    reused: bool
    seconds: float
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        card = self.card
        return {
            "engine": str(self.path),
            "sha256": card.plan_sha256,
            "bytes": card.plan_bytes,
            "onnx": str(self.source),
            "precision": card.metadata.precision,
            "key": card.key,
            "target": card.target,
            "library": card.built_on.library,
            "version": card.built_on.version,
            "gpu": card.built_on.gpu,
            "options": card.options.to_dict(),
            "layers": dict(card.layers),
            "proof": dict(card.proof),
            "refused": [dict(item) for item in card.refused],
            "warnings": list(self.warnings),
            "reused": self.reused,
            "seconds": self.seconds,
        }


def build_engine(
    model: Path,
    target: str | Target,
    asked: EngineRequest = AS_THE_TARGET,
    *,
    pictures: Callable[[str], Dataset] = lambda task: STAND_INS[task_of(task).stand_in].make(16),
    report: Callable[[float, str], None] = lambda share, phase: None,
    say: Say = lambda line: None,
) -> BuildResult:
    """Compiles an exported ONNX for a board and proves there that it answers as the ONNX does.

    Args:
        model: a verified ONNX of edgekit.
        target: one with a table [engine]; its values hold where an argument is left out.
        pictures: gives what to prove it on, for a task. With `cpu_only` nothing is proven, and the sidecar says so.
        report: gets the share that is done and the builder's phase.
        say: gets a line for each thing that was decided.

    Raises:
        VerificationError: the engine does not answer as its ONNX; it is kept as NAME.engine.rejected.
        EdgekitError: of the kind that says what is missing, refused, or in the way.
    """
    started = time.monotonic()
    target = load_target(target) if isinstance(target, str) else target
    table = engine_table(target, asked)
    rungs = rungs_of(model, asked.fallbacks)
    for rung in rungs:
        refuse_lint(rung, target)
        target.limits(precision_of(rung))
    library = load_library(table.library)
    device = None if asked.cpu_only else find_device(asked.binding, table)
    place = this_place(library, device)
    options = build_options(table, target, asked, device)
    refused: list[dict[str, str]] = []
    for i, rung in enumerate(rungs):
        mine = with_batch(options, rung, asked.batch, table)
        path = (asked.out or rung.path.parent) / engine_name(rung.path, rung.metadata.precision, library.version, mine)
        found = _existing(path, rung, library, mine, asked.force)
        if found is not None:
            say(f"{path} is there already, built from this file with these options")
            if device is not None and not found.card.proof:
                for file in (path, sidecar_of(path)):
                    file.unlink()  # removed until it is proven: one that fails is kept as .rejected
                found = _proven(found, rung, target, pictures, asked.binding, say)
                write_engine(path, found.plan, found.card)
            return BuildResult(path, found.card, rung.path, True, round(time.monotonic() - started, 2))
        timings = None if asked.timing_cache is None else timing_file(asked.timing_cache, library, mine.sms[0])
        say(f"building {rung.metadata.precision} for {_goal(mine)}, with {library.title}")
        try:
            built = builder.build(rung.data, mine, library, timing_cache=timings, report=report, say=say)
        except RefusedError as error:
            error = in_lint_words(error, rung)
            if i + 1 == len(rungs):
                raise error from None
            refused.append({"onnx": rung.path.name, "precision": rung.metadata.precision, "reason": str(error.got)})
            say(f"{library.title} refuses {rung.path.name}: {error.got}")
            say(f"falling back to {rungs[i + 1].metadata.precision}: {rungs[i + 1].path.name}")
            continue
        card = Card(
            plan_sha256=hashlib.sha256(built.plan).hexdigest(),
            plan_bytes=len(built.plan),
            onnx_sha256=rung.sha256,
            onnx_name=rung.path.name,
            target=target.name,
            built_on=place,
            options=mine,
            profiles={name: [list(shape) for shape in shapes] for name, shapes in built.profiles.items()},
            metadata=rung.metadata,
            layers=convolutions(rung.data, built.layers),
            refused=tuple(refused),
        )
        _say_what_is_not_int8(card, say)
        engine = Engine(path, built.plan, card)
        with output_folder(path.parent):
            if device is not None:
                engine = _proven(engine, rung, target, pictures, asked.binding, say)
            write_engine(path, engine.plan, engine.card, overwrite=asked.force)
        return BuildResult(path, engine.card, rung.path, False, round(time.monotonic() - started, 2), built.warnings)
    raise AssertionError("the last rung either builds or raises")


def _proven(
    engine: Engine, rung: Artifact, target: Target, pictures: Callable[[str], Dataset], binding: str, say: Say
) -> Engine:
    """The engine with its verdict. Raises VerificationError when it answers otherwise than its ONNX."""
    described = rung.metadata
    limits = target.limits(precision_of(rung))
    dataset = pictures(described.model.task)
    with (
        Predictor.from_artifact(rung) as reference,
        Predictor(TensorRTSession(engine, binding=binding), described.model, name="engine") as candidate,
    ):
        stage = verify(reference, candidate, dataset, limits)
    said = "ok" if stage.passed else "FAILED: " + "; ".join(stage.problems)
    say(f"{stage.name:<11} {task_of(described.model.task).figures(stage)}   {said}")
    proof = {**stage.to_dict(), "limits": limits.model_dump(), "data": dataset.layout}
    engine = replace(engine, card=replace(engine.card, proof=proof))
    if not stage.passed:
        rejected = engine.path.with_name(engine.path.name + ".rejected")
        write_engine(rejected, engine.plan, engine.card, overwrite=True)
        raise VerificationError(
            f"The engine does not answer as {rung.path} does; it was kept as {rejected}.",
            got="; ".join(stage.problems),
            expected=f"the limits of {target.name} for {precision_of(rung)}",
            fix="another precision; edgekit doctor --selftest tells whether this library computes right here",
        )
    return engine


def _existing(path: Path, rung: Artifact, library: Library, options: BuildOptions, force: bool) -> Engine | None:
    """The engine that is there, if it is what would be built. Raises OutputError for another one in its place."""
    if force or not (path.exists() or sidecar_of(path).exists()):
        return None
    try:
        engine = read_engine(path)
    except ArtifactError as error:
        raise OutputError(
            f"{path} exists already and cannot be used.", got=error.what, fix="--force builds it again"
        ) from error
    wrong = changes(engine.card, rung.sha256, library.version, options)
    if wrong:
        raise OutputError(
            f"{path} exists already and was built with other files or options.",
            got=", ".join(f"{d.what} {d.engine}" for d in wrong),
            expected=", ".join(f"{d.what} {d.wanted}" for d in wrong),
            fix="--force replaces it, --out DIR writes elsewhere",
        )
    return engine


def _goal(options: BuildOptions) -> str:
    return f"SM {', '.join(options.sms)}" + (f", batch {options.batch}" if options.batch is not None else "")


def _say_what_is_not_int8(card: Card, say: Say) -> None:
    left = card.layers.get("not_int8", [])
    if left:
        say(
            f"{len(left)} of {card.layers['quantized']} convolutions are quantized in the graph and not int8 in the "
            f"engine: {', '.join(left[:5])}{' ...' if len(left) > 5 else ''}"
        )
