"""An export, stage by stage: checkpoint -> folded -> ONNX -> file, each compared with the checkpoint before the next.

Nothing gets its final name before the file itself, read back from the disk as a device would, gave the answers of
the checkpoint.
"""

from __future__ import annotations

import contextlib
import json
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import metadata as packages
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edgekit import __version__
from edgekit.artifact import (
    Artifact,
    Lineage,
    Metadata,
    atomic,
    embed,
    file_sha256,
    output_folder,
    parse_onnx,
    refuse_existing,
    write_bytes,
)
from edgekit.config import Runtime, Target, load_target
from edgekit.data import Dataset, hive_pictures, load_dataset, made_pictures, sample_evenly
from edgekit.errors import ArtifactError, UsageError
from edgekit.graph import lint, passes
from edgekit.predictor import Answers, Predictor
from edgekit.spec import PreprocessSpec
from edgekit.verify import FirstWrong, Gate, Stage, compare_answers, finite, first_wrong
from edgekit.vision.preprocess import normalise, preprocess

if TYPE_CHECKING:
    from torch import nn

    from edgekit.graph.fold_bn import FoldReport
    from edgekit.training.checkpoint import Checkpoint

PICTURES = 64
NET_PICTURES = 16  # enough to tell two nets apart; every later stage sees all pictures
BATCHES = (2, 5, 16)  # a row must not depend on its neighbours or on their number


@dataclass(frozen=True)
class ExportResult:
    """What an export wrote and how it was proven.

    Attributes:
        model: the ONNX file, or where the rejected one was kept, or None when there was nothing to keep.
        report: the .verify.json beside it.
        content: what is in the report.
        stages: the comparisons, in order.
    """

    model: Path | None
    report: Path
    content: dict[str, Any]
    stages: tuple[Stage, ...] = ()

    @property
    def passed(self) -> bool:
        return bool(self.content["passed"])


def export(
    checkpoint: Path,
    out: Path | None = None,
    *,
    target: str | Target = "x86-cpu",
    data: Path | None = None,
    pictures: int = PICTURES,
    input_kind: str = "uint8",
    batch: int | None = None,
    raw_heads: bool = False,
    classes: Sequence[str] | None = None,
    preprocess_spec: PreprocessSpec | None = None,
    norm: str | None = None,
    force: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> ExportResult:
    """Exports a checkpoint to one ONNX file that was proven equal to it.

    Args:
        checkpoint: .pt, .pth or .safetensors; see `edgekit.training.checkpoint`.
        out: folder for NAME.onnx and NAME.verify.json; default is the checkpoint's own.
        target: shipped name, path of a TOML, or a Target.
        data: pictures to verify on (class folders, csv or a flat folder); default is a small set made in code.
        pictures: how many of them, spread evenly.
        input_kind: `uint8` (preprocessing in the graph) or `float`.
        batch: fixed batch size; None for dynamic.
        raw_heads: a detector's file gives its maps too (`heatmap` and so on), beside the boxes.
        classes, preprocess_spec, norm: what a foreign checkpoint does not say.
        force: replace existing files.
        say: gets a line per stage.

    Returns:
        The result; `passed` is False when the gate rejected it. The file is then NAME.onnx.rejected, and whatever
        NAME.onnx there was is untouched.

    Raises:
        EdgekitError: of the kind that says what could not be read, built or written.
    """
    started = time.monotonic()
    target = load_target(target) if isinstance(target, str) else target
    if batch is not None and batch < 1:
        raise UsageError(
            "--batch cannot be this.", got=str(batch), expected="1 or more; leave it out for a dynamic one"
        )
    if input_kind not in ("uint8", "float"):
        raise UsageError("--input cannot be this.", got=input_kind, expected="uint8 or float")
    out = checkpoint.parent if out is None else out
    model_path, report_path = out / f"{checkpoint.stem}.onnx", out / f"{checkpoint.stem}.verify.json"

    from edgekit.nets.detector import answering
    from edgekit.training.checkpoint import load_checkpoint

    loaded = load_checkpoint(checkpoint, classes=classes, preprocess=preprocess_spec, norm=norm)
    for path in (model_path, report_path):
        refuse_existing(path, force)
    gate = Gate(pictures_for_gate(data, pictures, loaded.spec.task), target.gate["fp32"], loaded.spec, say)
    if raw_heads and loaded.spec.task != "detection":
        raise UsageError("--raw-heads is for detectors.", got=f"{loaded.spec.arch}, a classifier")
    net = answering(loaded.net(), loaded.spec)
    with output_folder(out):
        for note in (*loaded.notes, *gate.dataset.notes):
            say(note)

        content: dict[str, Any] = {
            "format": 1,
            "passed": False,
            "edgekit": __version__,
            "checkpoint": {"name": checkpoint.name, "sha256": loaded.sha256, "kind": loaded.source},
            "target": target.name,
            "precision": "fp32",
            "input": input_kind,
            "data": _describe(gate.dataset, data),
            "limits": gate.limits.model_dump(),
        }
        artifact = None
        folded, fold_report = _fold_stages(loaded, net, gate)
        if gate.passed:
            artifact = _onnx_stages(loaded, folded, gate, target, input_kind, batch, model_path, raw_heads)
        if fold_report is not None:
            content["fold"] = finite(
                {"layers": [asdict(f) for f in fold_report.layers], "left": list(fold_report.left)}
            )
        content["environment"] = _environment()
        content["seconds"] = round(time.monotonic() - started, 2)
        return _finish(content, gate, artifact, model_path, target, force)


def pictures_for_gate(data: Path | None, count: int, task: str) -> Dataset:
    """The pictures of the gate; their labels play no part in it. Without `data`, made ones that suit the task."""
    if count < 1:
        raise UsageError("--pictures needs at least one.", got=str(count), expected="1 or more; 64 is the default")
    if data is None:
        return hive_pictures(count, seed=7) if task == "detection" else made_pictures(count)
    return sample_evenly(load_dataset(data, None), count)


def _fold_stages(loaded: Checkpoint, net: nn.Module, gate: Gate) -> tuple[nn.Module, FoldReport | None]:
    """preprocess, net and fold; returns the folded net."""
    import torch

    from edgekit.backends.torch_ import TorchSession
    from edgekit.graph.fold_bn import fold_bn
    from edgekit.training.reference import reference_input, reference_net

    spec = loaded.spec

    def session(module: nn.Module) -> TorchSession:
        return TorchSession(module, spec)

    def run(module: nn.Module, inputs: NDArray[np.float32]) -> Answers:
        with session(module) as opened:
            blocks = [opened.run({"image": inputs[i : i + 8]}) for i in range(0, len(inputs), 8)]
        return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}

    origin = (reference_net(loaded) if loaded.source != "edgekit" else None) or net
    theirs = []
    for sample in gate.dataset:
        frame = sample.read()
        gate.pixels.append(preprocess(frame, spec.preprocess))
        theirs.append(reference_input(frame, spec.preprocess))
    ours = normalise(np.stack(gate.pixels), spec.preprocess)
    if all(tensor is not None for tensor in theirs):
        independent = torch.stack([t for t in theirs if t is not None]).numpy()
        gate.reference = run(origin, independent)
        same = np.array_equal(independent, ours)
        answers = gate.reference if same else run(origin, ours)
        worst = float(np.abs(independent - ours).max())
        if not gate.judge("preprocess", answers, lambda: FirstWrong("image", worst, float(np.abs(independent).max()))):
            return net, None
    else:
        gate.reference = run(origin, ours)
        gate.notes.append("preprocess: torchvision has no such resize, so it was not compared with one")
    if origin is not net and not gate.judge(
        "net", run(net, ours[:NET_PICTURES]), lambda: _blame_torch(session(origin), session(net), ours[:2], ())
    ):
        return net, None
    folded, report = fold_bn(net, torch.from_numpy(ours[:4]))
    gate.judge(
        "fold",
        run(folded, ours),
        lambda: _blame_torch(session(net), session(folded), ours[:2], tuple(f.layer for f in report.layers)),
    )
    return folded, report


def _blame_torch(reference: Any, candidate: Any, inputs: NDArray[np.float32], skip: Sequence[str]) -> FirstWrong | None:
    want = reference.intermediates({"image": inputs})
    got = candidate.intermediates({"image": inputs})
    return first_wrong(want, got, [name for name in want if name not in skip])


def _onnx_stages(
    loaded: Checkpoint,
    folded: nn.Module,
    gate: Gate,
    target: Target,
    input_kind: str,
    batch: int | None,
    path: Path,
    raw_heads: bool,
) -> Artifact:
    """onnx, batch and file; returns what was written into memory, with the verdict so far inside."""
    from edgekit.graph.to_onnx import onnx_from_torch
    from edgekit.nets.detector import answering
    from edgekit.training.checkpoint import state_digest

    lineage = Lineage(loaded.sha256, state_digest(folded.state_dict()))
    answers = answering(folded, loaded.spec, raw_heads)
    model = onnx_from_torch(answers, loaded.spec, opset=target.opset, batch=batch, input_kind=input_kind)
    described = Metadata(loaded.spec, lineage, input_kind, "fp32", target.name, _tools())
    artifact = _sealed(model, described, path)
    with Predictor.from_artifact(artifact, **_options(target.runtime)) as predictor:
        step = predictor.fixed_batch or 1
        alone = predictor.answers(gate.pixels, batch=1)
        equal = gate.judge("onnx", alone, lambda: _blame_onnx(artifact, folded, loaded, gate.pixels, step))
        if equal and predictor.fixed_batch is None:
            gate.add(_batch_stage(predictor, alone, gate))
    if gate.passed:
        problems = lint.lint(model, runtimes=target.runtimes, opset=target.opset)
        wrong = [f"{f.rule}: {f.message}" for f in problems if f.severity == "error"]
        gate.notes.extend(f"{f.rule}: {f.message}" for f in problems if f.severity == "warning")
        if wrong:
            last = gate.stages[-1]
            gate.add(replace(last, name="lint", passed=False, problems=tuple(wrong)))
    verdict = {
        "passed": gate.passed,
        "pictures": len(gate.pixels),
        "data": gate.dataset.layout,
        "stages": [_short(stage) for stage in gate.stages] if gate.passed else [],
    }
    return _sealed(model, replace(described, verification=verdict), path)


def _short(stage: Stage) -> dict[str, Any]:
    """What of a stage travels in the file."""
    if stage.found is None:
        return {"name": stage.name, "max_abs": stage.max_abs, "top1_agreement": stage.top1_agreement}
    return {"name": stage.name, "max_abs": stage.max_abs, "boxes_matched": stage.found.matched}


def _sealed(model: onnx.ModelProto, described: Metadata, path: Path) -> Artifact:
    """The bytes of `model` with its metadata, read back from them as a loader does."""
    embed(model, described)
    return parse_onnx(model.SerializeToString(), path)


def _batch_stage(predictor: Predictor, alone: Answers, gate: Gate) -> Stage:
    """Rows of a batch against the same pictures one at a time, in batches of several sizes."""
    rows: list[Answers] = []
    start = 0
    while start < len(gate.pixels) and start < sum(BATCHES):
        size = BATCHES[len(rows) % len(BATCHES)]
        rows.append(predictor.answers(gate.pixels[start : start + size], batch=size))
        start += size
    batched = {name: np.concatenate([row[name] for row in rows]) for name in alone}
    return compare_answers("batch", alone, batched, gate.limits)


def _blame_onnx(
    artifact: Artifact, folded: nn.Module, loaded: Checkpoint, pixels: Sequence[NDArray[np.uint8]], batch: int
) -> FirstWrong | None:
    from edgekit.backends.onnxruntime_ import run_once
    from edgekit.backends.torch_ import TorchSession

    spec = loaded.spec
    block = np.stack([pixels[i % len(pixels)] for i in range(batch)])  # unlike rows show what mixes them
    inputs = normalise(block, spec.preprocess)
    session = TorchSession(folded, spec)
    answers = session.run({"image": inputs})
    want = {**session.intermediates({"image": inputs}), **answers}
    if spec.task == "classification":  # the exported head has the temperature in its weights
        want[str(folded.head)] = answers["logits"]
    feed = inputs if artifact.metadata.input == "float" else block
    got = run_once(passes.expose(artifact.model).SerializeToString(), {"image": feed})
    order = [name for node in artifact.model.graph.node for name in node.output]
    return first_wrong(want, got, order)


class _RejectedError(Exception):
    """Leaves the block that writes the file, so that it does not get its name."""


def _file_stage(gate: Gate, written: Path, path: Path, lineage: Lineage, runtime: Runtime) -> None:
    """Reads the written file as a device does and runs it on the pictures from the start.

    Args:
        written: where its bytes are; `path` is the name that it gets, for messages.
        lineage: what must stand in it.
    """
    try:
        read = parse_onnx(written.read_bytes(), path)
        with Predictor.from_artifact(read, **_options(runtime)) as predictor:
            size = read.metadata.model.preprocess
            alone = [predictor.answers([preprocess(sample.read(), size)]) for sample in gate.dataset.samples]
            answers = {name: np.concatenate([one[name] for one in alone]) for name in alone[0]}
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
    stage = compare_answers("file", gate.reference, answers, gate.limits)
    gate.add(replace(stage, passed=stage.passed and not problems, problems=(*stage.problems, *problems)))


def _finish(
    content: dict[str, Any], gate: Gate, artifact: Artifact | None, path: Path, target: Target, force: bool
) -> ExportResult:
    """Writes the file if it passes its own stage, and the report; a rejected file gets a name nobody loads."""
    report = path.with_suffix(".verify.json")
    rejected = path.with_name(path.name + ".rejected")
    written: Path | None = None
    if artifact is not None and gate.passed:
        with contextlib.suppress(_RejectedError), atomic(path, overwrite=force) as stream:
            stream.write(artifact.data)
            stream.flush()
            # from the checkpoint, not from the metadata that is being checked
            lineage = replace(artifact.metadata.lineage, checkpoint=content["checkpoint"]["sha256"])
            _file_stage(gate, Path(stream.name), path, lineage, target.runtime)
            if not gate.passed:
                raise _RejectedError
        written = path if gate.passed else None
    if not gate.passed:
        report = path.with_name(path.stem + ".rejected.verify.json")
        if artifact is not None:
            failed = replace(artifact.metadata, verification={"passed": False})
            write_bytes(rejected, _sealed(artifact.model, failed, path).data, overwrite=True)
            written = rejected
    if written is not None:
        content["file"] = {"name": written.name, "sha256": file_sha256(written), "bytes": written.stat().st_size}
    content["passed"] = gate.passed
    content["stages"] = [stage.to_dict() for stage in gate.stages]
    content["notes"] = gate.notes
    text = json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    write_bytes(report, text.encode(), overwrite=force or not gate.passed)
    return ExportResult(written, report, content, tuple(gate.stages))


def _options(runtime: Runtime) -> dict[str, Any]:
    return {"backend": runtime.backend, "provider": runtime.provider, "threads": runtime.threads}


def _tools() -> dict[str, str]:
    names = ("torch", "onnx", "onnxscript", "numpy")
    return {"edgekit": __version__, **{name: packages.version(name) for name in names}}


def _environment() -> dict[str, str]:
    runtime = {"onnxruntime": _version("onnxruntime") or _version("onnxruntime-gpu"), "pillow": _version("pillow")}
    return {"python": platform.python_version(), "machine": platform.machine(), **_tools(), **runtime}


def _version(package: str) -> str:
    try:
        return packages.version(package)
    except packages.PackageNotFoundError:
        return ""


def _describe(dataset: Dataset, data: Path | None) -> dict[str, Any]:
    return {
        "source": "made in code" if data is None else data.name,
        "layout": dataset.layout,
        "pictures": len(dataset.samples),
        "sha256": dataset.digest,
    }
