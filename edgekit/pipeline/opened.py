"""How an opened file answers recorded inputs: normalized floats, which need not be pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edgekit.artifacts.deployment import resolve
from edgekit.artifacts.onnx_file import Artifact, read_onnx
from edgekit.backends import Session, open_session
from edgekit.config.target import Limits
from edgekit.errors import UsageError
from edgekit.pipeline.expected import Answer, expect_stage, read_pairs
from edgekit.predictor import Predictor
from edgekit.spec import ModelSpec
from edgekit.tasks.stage import Stage

STEP = 8  # pictures at once
WHOLE = 0.02  # levels of 255 that a float may lie beside a pixel's value and be that pixel


def expected_of(path: Path, predictor: Predictor, pairs: Path, limits: Limits) -> Stage:
    """What an opened model makes of recorded pairs.

    Args:
        path: of the model that `predictor` was opened from.
        pairs: an .npz as `edgekit.pipeline.expected` describes it.

    Raises:
        DataError, UsageError: as `read_pairs` and `file_answer`.
    """
    read = read_pairs(pairs, predictor.spec)
    path = resolve(path).path
    artifact = read_onnx(path) if path.suffix in (".onnx", ".rejected") else None
    return expect_stage("expect", read, predictor.spec, limits, file_answer(predictor, artifact))


def file_answer(predictor: Predictor, artifact: Artifact | None) -> Answer:
    """How an opened file answers normalized floats, [N, 3, H, W], even where it takes uint8 pictures.

    Its own graph then runs with the input's type opened to float, so that no value is rounded; without the graph, as
    of an engine, values that are no whole levels are refused.

    Args:
        artifact: the file, of an ONNX.

    Raises:
        UsageError: when called, where the file cannot take the values.
    """
    spec, recorded = predictor.spec, predictor.task.recorded

    def answer(inputs: NDArray[np.float32]) -> NDArray[Any]:
        if predictor.session.inputs[0].dtype == "float32":
            return _in_blocks(predictor.session, inputs, predictor.fixed_batch, recorded)
        levels = _levels(inputs, spec)
        whole = np.rint(levels)
        if np.abs(levels - whole).max() <= WHOLE and whole.min() >= 0 and whole.max() <= 255:
            return predictor.answers(list(whole.astype(np.uint8)), batch=STEP)[recorded]
        opened = _opened(artifact.model) if artifact is not None else None
        if opened is None:
            raise UsageError(
                f"{predictor.name} takes uint8 pictures, and the recorded inputs are not pictures.",
                got="normalized floats that are no pixels' values",
                expected="uint8 pictures [N, h, w, 3], or floats that were made from whole pixels",
                fix="record the pairs on real pictures",
            )
        with open_session(opened) as session:
            return _in_blocks(session, levels, predictor.fixed_batch, recorded)

    return answer


def _in_blocks(session: Session, inputs: NDArray[np.float32], batch: int | None, output: str) -> NDArray[Any]:
    """float32 [N, C], the output of this name; a fixed batch is filled up with zeros."""
    step = batch or STEP
    rows = []
    for start in range(0, len(inputs), step):
        block = inputs[start : start + step]
        count = len(block)
        if batch and count < step:
            block = np.concatenate([block, np.zeros((step - count, *block.shape[1:]), np.float32)])
        rows.append(session.run({"image": block})[output][:count])
    return np.concatenate(rows)


def _levels(inputs: NDArray[np.float32], spec: ModelSpec) -> NDArray[np.float32]:
    """float32 [N, H, W, 3] BGR in 0..255 of normalized [N, 3, H, W]: the inverse of `normalise`, unrounded."""
    mean, std = (np.asarray(v, dtype=np.float64)[:, None, None] for v in (spec.preprocess.mean, spec.preprocess.std))
    levels = ((inputs * std + mean) * 255).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(levels[..., ::-1] if spec.preprocess.color == "rgb" else levels, dtype=np.float32)


def _opened(model: onnx.ModelProto) -> bytes | None:
    """The graph with an input of floats instead of uint8; its first Cast, to float, then changes nothing."""
    readers = [node for node in model.graph.node if "image" in node.input]
    if not readers or any(node.op_type != "Cast" for node in readers):
        return None
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    copy.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    data: bytes = copy.SerializeToString()
    return data
