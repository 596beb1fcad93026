"""An exported ONNX: its metadata inside the file, its hashes, and what is refused before any runtime sees it.

An edgekit ONNX carries one JSON object in `metadata_props["edgekit"]`: the ModelSpec, the lineage hashes
(checkpoint -> folded -> graph), versions and the verdict of the gate. Reading it back recomputes the hashes, so a graph
with another model's metadata, or metadata that was edited, is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import onnx
from google.protobuf.message import DecodeError

from edgekit.artifacts.atomic import reason
from edgekit.artifacts.metadata import EXPORT_AGAIN, Metadata
from edgekit.errors import ArtifactError, InputError
from edgekit.reading import RefusedError, load_json, read_bytes, regular_size
from edgekit.reading.limits import CARD, ONNX, over, size
from edgekit.reading.protobuf import check_fields, tensor_problem
from edgekit.spec import digest

KEY = "edgekit"
STANDARD_DOMAINS = frozenset({"", "ai.onnx"})


@dataclass(frozen=True)
class Artifact:
    """An ONNX file that was read and checked: its bytes, its graph and its metadata."""

    path: Path
    data: bytes
    model: onnx.ModelProto
    metadata: Metadata

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


def file_sha256(path: Path) -> str:
    """sha256 (hex) of a file's bytes."""
    sha = hashlib.sha256()
    with path.open("rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):  # hashlib.file_digest is not in Python 3.10
            sha.update(block)
    return sha.hexdigest()


def graph_digest(model: onnx.ModelProto) -> str:
    """sha256 (hex) of what a graph computes: opsets, inputs, outputs, nodes in order, weights.

    Written out field by field instead of hashing the serialized file, whose bytes may differ between protobuf versions.
    Metadata, documentation strings and intermediate shapes are not part of it.
    """
    sha = hashlib.sha256()

    def add(*parts: str | bytes) -> None:
        for part in parts:
            raw = part.encode() if isinstance(part, str) else part
            sha.update(len(raw).to_bytes(8, "little"))
            sha.update(raw)

    for opset in sorted(model.opset_import, key=lambda o: str(o.domain)):  # a broken file's may be bytes
        add("opset", opset.domain, str(opset.version))
    for function in model.functions:
        add("function", function.SerializeToString(deterministic=True))
    for kind, values in (("input", model.graph.input), ("output", model.graph.output)):
        for value in values:
            add(kind, value.name, value.type.SerializeToString(deterministic=True))
    for node in model.graph.node:
        add("node", node.domain, node.op_type, *node.input, "->", *node.output)
        add(*sorted(attribute.SerializeToString(deterministic=True) for attribute in node.attribute))
    for tensor in model.graph.initializer:
        add("weight", tensor.name, str(tensor.data_type), *map(str, tensor.dims))
        add(tensor.raw_data or _small_tensor(tensor))
    return sha.hexdigest()


def _small_tensor(tensor: onnx.TensorProto) -> bytes:
    """The values of a tensor without raw_data; not read as numbers, since a broken file may call them anything."""
    bare = onnx.TensorProto()
    bare.CopyFrom(tensor)
    bare.doc_string = ""
    del bare.metadata_props[:]
    serialized: bytes = bare.SerializeToString(deterministic=True)
    return serialized


def embed(model: onnx.ModelProto, metadata: Metadata) -> Metadata:
    """Writes `metadata`, completed with the graph's hash, into `model` in place, and returns it."""
    metadata = replace(metadata, lineage=replace(metadata.lineage, graph=graph_digest(model)))
    content = metadata.to_dict()
    text = json.dumps({**content, "digest": digest(content)}, sort_keys=True, allow_nan=False)
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {KEY: text})
    return metadata


def is_foreign(path: Path) -> bool:
    """Whether this is an ONNX that edgekit did not write. What cannot be read, or is something else, is not."""
    if path.suffix.lower() != ".onnx":
        return False
    model = onnx.ModelProto()
    try:
        data = read_bytes(path, ONNX)
        check_fields(data, model.DESCRIPTOR)
        model.ParseFromString(data)
    except (OSError, DecodeError, RefusedError):
        return False
    return bool(model.graph.node) and KEY not in {p.key for p in model.metadata_props}


def read_onnx(path: str | os.PathLike[str]) -> Artifact:
    """An edgekit ONNX, checked: whole, self-contained, standard operators, its own metadata.

    Args:
        path: an .onnx that edgekit exported.

    Returns:
        The file: `data` its bytes, `model` its graph, and `metadata`: task, classes, preprocessing, lineage, verdict.

    Raises:
        ArtifactError: anything else, with what was found.
    """
    path = Path(path)
    try:
        regular_size(path)
        data = read_bytes(path, ONNX)
    except RefusedError as error:
        raise ArtifactError(
            f"{path} cannot be read.", got=str(error), expected="an ONNX file", fix=EXPORT_AGAIN
        ) from error
    except OSError as error:
        rejected = path.with_name(path.name + ".rejected")
        if isinstance(error, FileNotFoundError) and rejected.exists():
            raise ArtifactError(
                f"{path} did not pass its verification.",
                got=f"only {rejected.name}",
                expected="a file that was proven equal to its checkpoint",
                fix="another precision or --max-drop for edgekit export; its verify.json says what was off",
            ) from error
        raise ArtifactError(
            f"{path} cannot be read.",
            got=reason(error),
            expected="an ONNX file",
            fix="check the path; edgekit export CHECKPOINT writes one",
        ) from error
    return parse_onnx(data, path)


def origin(path: Path) -> Literal["edgekit", "elsewhere", "unreadable", "other"]:
    """Who made an ONNX, by its metadata alone; `unreadable`: a broken or missing one, `other`: no .onnx by its name."""
    if path.suffix.lower() != ".onnx":
        return "other"
    model = onnx.ModelProto()
    try:
        regular_size(path)
        data = read_bytes(path, ONNX)
        check_fields(data, model.DESCRIPTOR)
        model.ParseFromString(data)
    except (OSError, DecodeError, RefusedError):
        return "unreadable"
    ours = any(entry.key == KEY for entry in model.metadata_props)
    return "edgekit" if ours else "elsewhere" if model.graph.node else "unreadable"


def parse_onnx(data: bytes, path: Path) -> Artifact:
    """As `read_onnx`, from bytes; `path` is for the messages."""
    if not data:
        raise ArtifactError(f"{path} is empty.", got="0 bytes", expected="an ONNX file", fix=EXPORT_AGAIN)
    model = onnx.ModelProto()
    try:
        check_fields(data, model.DESCRIPTOR)
        model.ParseFromString(data)
    except (DecodeError, RefusedError) as error:
        raise ArtifactError(
            f"{path} is not an ONNX file, or a broken one.",
            got=f"{len(data)} bytes that are not read: {error}",
            expected="a whole ONNX file",
            fix="copy it again, or " + EXPORT_AGAIN,
        ) from error
    _refuse_unsafe(model, path)
    text = {p.key: p.value for p in model.metadata_props}.get(KEY)
    if text is None or not model.graph.node:
        raise ArtifactError(
            f"{path} was not written by edgekit.",
            got=f"an ONNX of {model.producer_name or 'an unnamed producer'} without edgekit metadata",
            expected="classes, preprocessing and verdict inside the file",
            fix=f"edgekit adopt {path.name} --task TASK makes one of it, edgekit export CHECKPOINT of trained weights",
        )
    try:
        content = _loaded(text)
        stored = content.pop("digest", None)
        metadata = Metadata.from_dict(content)
    except (InputError, ValueError, TypeError, AttributeError) as error:
        raise ArtifactError(f"{path} has metadata that cannot be used.", got=str(error), fix=EXPORT_AGAIN) from error
    found = digest(content)
    if stored != found:
        raise ArtifactError(
            f"{path} has metadata that was changed after it was written.",
            got=f"hash {found[:12]}",
            expected=f"hash {str(stored)[:12]}",
            fix=EXPORT_AGAIN,
        )
    graph = graph_digest(model)
    if graph != metadata.lineage.graph:
        raise ArtifactError(
            f"{path} has the metadata of another model: the graph's hash is not the one in its lineage.",
            got=f"graph {graph[:12]}",
            expected=f"graph {metadata.lineage.graph[:12]}",
            fix=EXPORT_AGAIN,
        )
    return Artifact(path, data, model, metadata)


def _loaded(text: str) -> Any:
    if len(text) > CARD:
        raise over("the metadata", size(len(text)), size(CARD))
    return load_json(text)


def _refuse_unsafe(model: onnx.ModelProto, path: Path) -> None:
    """External data can name any file of the machine (CVE-2024-27318 and later); custom domains need foreign code.

    Functions and sparse tensors could hide either, and edgekit writes none.
    """
    for graph in graphs_of(model.graph):
        attributes = [attribute for node in graph.node for attribute in node.attribute]
        sparse = graph.sparse_initializer or any(a.HasField("sparse_tensor") or a.sparse_tensors for a in attributes)
        if model.functions or sparse:
            raise ArtifactError(
                f"{path} has parts that edgekit does not write.",
                got="functions" if model.functions else "sparse tensors",
                expected="a plain graph",
                fix=EXPORT_AGAIN,
            )
        tensors = [*graph.initializer, *(a.t for a in attributes if a.HasField("t"))]
        tensors += [tensor for a in attributes for tensor in a.tensors]
        for tensor in tensors:
            if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
                raise ArtifactError(
                    f"{path} keeps weights outside the file.",
                    got=f"external data for {tensor.name or 'a constant'}",
                    expected="one self-contained file",
                    fix=EXPORT_AGAIN,
                )
            if problem := tensor_problem(tensor):
                raise ArtifactError(
                    f"{path} has weights that are not what they say.",
                    got=problem,
                    expected="as many numbers as the shape has",
                    fix=EXPORT_AGAIN,
                )
        for node in graph.node:
            if node.domain not in STANDARD_DOMAINS:
                raise ArtifactError(
                    f"{path} needs operators that are not ONNX's own.",
                    got=f"{node.domain}::{node.op_type}",
                    expected="operators of the standard domain",
                    fix=EXPORT_AGAIN,
                )


def graphs_of(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """`graph` and the graphs inside its If, Loop and Scan nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in ([attribute.g] if attribute.HasField("g") else []) + list(attribute.graphs):
                yield from graphs_of(inner)
