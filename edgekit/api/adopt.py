"""An ONNX file that someone else made becomes an edgekit file that was proven equal to it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from edgekit.config.target import Target
from edgekit.data.classes.class_map import ClassMapLike, class_map
from edgekit.pipeline import CALIBRATE, PICTURES, ExportResult
from edgekit.pipeline.adopting import CANDIDATES, KEEP, AdoptOptions, run_adopt
from edgekit.spec import PreprocessSpec, Suppression


def adopt(
    model: str | os.PathLike[str],
    out: str | os.PathLike[str] = "adopted",
    *,
    task: str | None = None,
    data: str | os.PathLike[str] | None = None,
    target: str | os.PathLike[str] | Target = "x86-cpu",
    decoder: str | os.PathLike[str] | None = None,
    preprocess: str | PreprocessSpec | None = None,
    size: tuple[int, int] | None = None,
    classes: Sequence[str] | None = None,
    classes_map: ClassMapLike | None = None,
    suppression: Suppression | None = None,
    suppress: bool = True,
    keep: int = KEEP,
    candidates: int = CANDIDATES,
    pictures: int = PICTURES,
    input_kind: str = "uint8",
    batch: int | None = None,
    precision: str = "fp32",
    calibrate: int = CALIBRATE,
    max_drop: float | None = None,
    force: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> ExportResult:
    """Adopts an ONNX from elsewhere, as `edgekit adopt` does.

    Its graph is cleaned (weights inside, opset raised, BatchNorm folded, batch made dynamic where that is proven),
    preprocessing is put in front and decoding behind, and the result must answer as the original does: run by
    onnxruntime, behind preprocessing and decoding that are computed apart from the graph, in numpy.

    Args:
        model: any ONNX of opset 7 or newer with one picture as its input; weights may lie beside it.
        out: folder for NAME.onnx and NAME.verify.json.
        task: a name of `edgekit.tasks.TASKS`; None where the file says it.
        data: pictures to compare on; default is a small set made in code. With labels, where `preprocess` is not
            stated, they tell which one fits: that is proposed in the error, never taken.
        target: shipped name, path of a TOML, or a Target.
        decoder: a name of `edgekit.graph.decoders.DECODERS` or the path of a TOML; None where only one fits the
            outputs.
        preprocess: `STYLE[,KEY=VALUE...]` with a style of `edgekit.pipeline.adopting.styles.STYLES`, or a spec.
        size: height and width in pixels, for a file that takes any.
        classes: names in the order of the net's classes.
        classes_map: where the labels of `data` are called differently; see `edgekit.evaluate`.
        suppression: of duplicates, where the decoder leaves some; default is IoU 0.6 within a class.
        suppress: whether they are left out at all.
        keep: boxes a picture.
        candidates: so many of the highest scores are compared for duplicates.
        pictures: how many of `data` are compared on.
        input_kind: `uint8` (preprocessing in the graph) or `float`.
        batch: 1 for a fixed batch; None for a dynamic one, where the graph allows it.
        precision, calibrate, max_drop, force: as `edgekit.export`.
        say: gets a line per stage.

    Returns:
        As `edgekit.export`: `passed` is False when the gate rejected it, and the file is then NAME.onnx.rejected.

    Raises:
        UsageError: what is not said and cannot be told, with the candidates.
        ArtifactError: a file that must not be read or cannot be run.
        EdgekitError: of the kind that says what could not be read, cleaned or written.
    """
    options = AdoptOptions(
        task=task,
        data=None if data is None else Path(data),
        target=target if isinstance(target, Target) else os.fspath(target),
        decoder=Path(decoder) if isinstance(decoder, os.PathLike) else decoder,
        preprocess=preprocess,
        size=size,
        classes=classes,
        classes_map=class_map(classes_map),
        suppression=suppression,
        suppress=suppress,
        keep=keep,
        candidates=candidates,
        pictures=pictures,
        input_kind=input_kind,
        batch=batch,
        precision=precision,
        calibrate=calibrate,
        max_drop=max_drop,
        force=force,
    )
    return run_adopt(Path(model), Path(out), options, say)
