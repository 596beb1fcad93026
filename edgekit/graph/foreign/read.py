"""An ONNX from elsewhere, read whole: its weights inside, its inputs and outputs, and one hash of all its files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from edgekit.artifacts.atomic import reason
from edgekit.artifacts.onnx_file import KEY
from edgekit.errors import ArtifactError
from edgekit.graph.foreign.external import merge
from edgekit.graph.foreign.refuse import refuse, tensors_of
from edgekit.graph.lint.graph import opset_of
from edgekit.reading import RefusedError, read_bytes, regular_size
from edgekit.reading.limits import ONNX
from edgekit.reading.protobuf import check_fields
from edgekit.screen import count_of
from edgekit.vision.spec import TensorSpec

_AGAIN = "copy it again, or export it again as one file of at most 2 GB (external_data=False)"


@dataclass(frozen=True)
class Foreign:
    """An ONNX that edgekit did not write.

    Attributes:
        path: where it was read.
        model: with all weights inside; not to be changed.
        sha256: hex, of the file; where weights lie outside, of the file's hash and that of the files they lie in.
        props: what its exporter wrote into `metadata_props`, such as Ultralytics' `names` and `stride`.
        notes: what a reader of the report should know of the file.
    """

    path: Path
    model: onnx.ModelProto
    sha256: str
    props: Mapping[str, str]
    notes: tuple[str, ...]

    def runnable(self) -> bytes:
        """The original as onnxruntime runs it: only the weights outside were put inside."""
        data: bytes = self.model.SerializeToString()
        return data

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What must be fed, in the file's order; weights that are listed as inputs are none."""
        weights = {tensor.name for tensor in self.model.graph.initializer}
        return tuple(spec_of(value) for value in self.model.graph.input if value.name not in weights)

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """In the file's order, with the shapes that it states."""
        return tuple(spec_of(value) for value in self.model.graph.output)


def spec_of(value: onnx.ValueInfoProto) -> TensorSpec:
    """Name, dtype and shape of an input or output.

    A dimension without a size is named by the file or `?`; so is one of -1 or 0, as Paddle's exporter and others write.
    """
    kind = value.type.tensor_type
    try:
        dtype = str(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type))
    except (KeyError, TypeError, ValueError):
        dtype = "unknown"
    shape = (d.dim_value if d.dim_value > 0 else d.dim_param or "?" for d in kind.shape.dim)
    return TensorSpec(value.name, dtype, tuple(shape))


def read_foreign(path: str | os.PathLike[str]) -> Foreign:
    """An ONNX of any exporter, opset 7 and newer; weights may lie in files beside it, in its own folder or below.

    Nothing else is opened, and nothing of the file is run. It is not judged whether it can be adopted.

    Raises:
        ArtifactError: not an ONNX, broken, of edgekit itself, with operators that are not ONNX's own, with loops,
            sequences or texts, in a circle, over a limit (docs/limits.md), or with weights in a place that is refused.
    """
    path = Path(path)
    try:
        regular_size(path)
        data = read_bytes(path, ONNX)
    except (OSError, RefusedError) as error:
        raise ArtifactError(
            f"{path} cannot be read.",
            got=reason(error) if isinstance(error, OSError) else str(error),
            expected="an ONNX file",
            fix="check the path",
        ) from error
    model = _parsed(data, path)
    refuse(model, path)
    try:
        outside = merge(tensors_of(model), path)
    except (OSError, RefusedError) as error:
        raise ArtifactError(
            f"{path} keeps weights outside the file, in a place that is not read.",
            got=reason(error) if isinstance(error, OSError) else str(error),
            expected="regular files within the ONNX's own folder, with all bytes that are named",
            fix="put the files beside the ONNX as plain files (cp -L follows links), or save it as one file",
        ) from error
    refuse(model, path)  # what came in is looked at like what was there
    sha = hashlib.sha256(data).hexdigest()
    notes = [f"opset {opset_of(model)}, IR version {model.ir_version}, written by {_producer(model)}"]
    if outside:
        sha = hashlib.sha256(f"{sha} {outside}".encode()).hexdigest()
        notes.append("its weights lay in files beside it; the hash is of all of them")
    props = {entry.key: entry.value for entry in model.metadata_props}
    return Foreign(path, model, sha, props, tuple(notes))


def _producer(model: onnx.ModelProto) -> str:
    return " ".join(f"{model.producer_name} {model.producer_version}".split())[:80] or "an unnamed producer"


def _is_checkpoint(data: bytes) -> bool:
    """Whether it begins as torch.save's zip or pickle do, or as .safetensors."""
    return data[:4] == b"PK\x03\x04" or data[:1] == b"\x80" or data[8:10] == b'{"'


def _parsed(data: bytes, path: Path) -> onnx.ModelProto:
    model = onnx.ModelProto()
    try:
        check_fields(data, model.DESCRIPTOR)
        model.ParseFromString(data)
    except (DecodeError, RefusedError) as error:
        raise ArtifactError(
            f"{path} is not an ONNX file, or a broken one.",
            got=f"{len(data)} bytes that are not read: {error}",
            expected="a whole ONNX file",
            fix=f"weights are exported, not adopted: edgekit export {path.name}" if _is_checkpoint(data) else _AGAIN,
        ) from error
    if any(entry.key == KEY for entry in model.metadata_props):
        raise ArtifactError(
            f"{path} was written by edgekit: there is nothing to adopt.",
            got="an ONNX with edgekit's metadata",
            expected="a file from elsewhere",
            fix=f"use it as it is: edgekit verify {path.name}, edgekit predict {path.name} PICTURES",
        )
    if not model.graph.node or not model.graph.output:
        raise ArtifactError(
            f"{path} has no graph that computes anything.",
            got=f"{len(data)} bytes, {count_of(len(model.graph.node), 'node')}, {len(model.graph.output)} outputs",
            expected="an ONNX of a net",
            fix=_AGAIN,
        )
    return model
