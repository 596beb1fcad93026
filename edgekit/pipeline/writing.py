"""The file: written under a hidden name, read back, run from the pictures on, and renamed only if it is equal."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.artifacts.atomic import atomic, write_bytes
from edgekit.artifacts.metadata import Lineage
from edgekit.artifacts.onnx_file import Artifact, file_sha256, parse_onnx
from edgekit.config.target import Runtime, Target
from edgekit.errors import ArtifactError
from edgekit.gate.compare import Gate, compare_answers, taken
from edgekit.pipeline.embed_metadata import sealed, session_options
from edgekit.pipeline.expected import Pairs, expect_stage
from edgekit.pipeline.opened import file_answer
from edgekit.pipeline.pictures import few
from edgekit.pipeline.verdict import Basis
from edgekit.predictor import Answers, Predictor
from edgekit.progress import track
from edgekit.tasks.stage import Stage, finite
from edgekit.vision.preprocess import preprocess


@dataclass(frozen=True)
class ExportResult:
    """What an export wrote and how it was proven.

    Attributes:
        model: the ONNX file, or where the rejected one was kept, or None when there was nothing to keep.
        report: the .verify.json beside it.
        content: what is in the report.
        stages: the comparisons, in order.
        base: of a file in another precision than fp32, the fp32 one that it was made from.
    """

    model: Path | None
    report: Path
    content: dict[str, Any]
    stages: tuple[Stage, ...] = ()
    base: ExportResult | None = None

    @property
    def passed(self) -> bool:
        return bool(self.content["passed"])


class _RejectedError(Exception):
    """Leaves the block that writes the file, so that it does not get its name."""


def file_stage(
    gate: Gate, written: Path, path: Path, lineage: Lineage, runtime: Runtime, pairs: Pairs | None = None
) -> None:
    """Reads the written file as a device does and runs it on pictures from the start, and on recorded pairs.

    Where its graph is the one that was judged on all pictures, by its hash, and it answers `FEW` of them bit for bit as
    that did, then its answers are those that were judged. Anything else runs it on all.

    Args:
        written: where its bytes are; `path` is the name that it gets, for messages.
        lineage: what must stand in it.
    """
    try:
        read = parse_onnx(written.read_bytes(), path)
        with Predictor.from_artifact(read, **session_options(runtime)) as predictor:
            answers = _answers(predictor, gate, read)
            known = None
            if pairs is not None:
                answer = file_answer(predictor, read)
                known = expect_stage("expect-file", pairs, gate.spec, gate.limits, answer)
    except ArtifactError as error:
        problem = f"what was written cannot be read back: {error.what} ({error.got})"
        gate.add(Stage("file", False, float("inf"), float("inf"), None, 0, len(gate.pixels), (problem,)))
        return
    found, expected = read.metadata.model, gate.spec
    problems = []
    if read.metadata.lineage != lineage:
        problems.append("the lineage hashes are not those of this checkpoint")
    if found.classes != expected.classes:
        problems.append("the class names, or their order, are not the checkpoint's")
    if found.preprocess != expected.preprocess:
        problems.append("the preprocessing is not the checkpoint's")
    if not problems and found != expected:
        problems.append("the description (net, task, temperature) is not the checkpoint's")
    stage = compare_answers("file", gate.reference, answers, gate.limits, gate.spec)
    gate.add(replace(stage, passed=stage.passed and not problems, problems=(*stage.problems, *problems)))
    if known is not None:
        gate.add(known)


def _answers(predictor: Predictor, gate: Gate, read: Artifact) -> Answers:
    """The file's answers on the gate's pictures."""
    size, count = read.metadata.model.preprocess, len(gate.dataset.samples)

    def run(rows: Sequence[int]) -> Answers:
        samples = [gate.dataset.samples[i] for i in rows]
        alone = [predictor.answers([preprocess(s.read(), size)]) for s in track(samples, "running the file")]
        return {name: np.concatenate([one[name] for one in alone]) for name in alone[0]}

    if gate.judged is not None and gate.judged[0] == read.metadata.lineage.graph:
        rows, judged = few(count), gate.judged[1]
        found, wanted = run(rows), taken(judged, rows)
        if all(np.array_equal(found[name], wanted[name]) for name in wanted):
            gate.notes.append(
                f"file: the graph that was judged, by its hash, and on {len(rows)} of {count} pictures its answers bit "
                "for bit; the figures are those of all"
            )
            return judged
    return run(range(count))


def finish(
    content: dict[str, Any],
    gate: Gate,
    artifact: Artifact | None,
    path: Path,
    target: Target,
    force: bool,
    basis: Basis,
    pairs: Pairs | None = None,
) -> ExportResult:
    """Writes the file if it passes its own stages, and the report; a rejected file gets a name nobody loads."""
    report = path.with_suffix(".verify.json")
    rejected = path.with_name(path.name + ".rejected")
    written: Path | None = None
    if artifact is not None and gate.passed:
        with contextlib.suppress(_RejectedError), atomic(path, overwrite=force) as stream:
            stream.write(artifact.data)
            stream.flush()
            # from the checkpoint, not from the metadata that is being checked
            lineage = replace(artifact.metadata.lineage, checkpoint=content["checkpoint"]["sha256"])
            file_stage(gate, Path(stream.name), path, lineage, target.runtime, pairs)
            if not gate.passed:
                raise _RejectedError
        written = path if gate.passed else None
    if not gate.passed:
        report = path.with_name(path.stem + ".rejected.verify.json")
        if artifact is not None:
            failed = replace(artifact.metadata, verification={"passed": False})
            write_bytes(rejected, sealed(artifact.model, failed, path).data, overwrite=True)
            written = rejected
    if written is not None:
        content["file"] = {"name": written.name, "sha256": file_sha256(written), "bytes": written.stat().st_size}
    content["passed"] = gate.passed
    content["verdict"] = finite(basis.verdict(gate, content["precision"]))
    content["stages"] = [stage.to_dict() for stage in gate.stages]
    content["notes"] = gate.notes
    gate.say(f"{'took':<11} {gate.spent.line()}")
    content["seconds"] = round(gate.spent.wall, 2)
    content["spent"] = gate.spent.to_list()
    text = json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    write_bytes(report, text.encode(), overwrite=force or not gate.passed)
    return ExportResult(written, report, content, tuple(gate.stages))
