"""Hashes that see every bit; metadata that fits its graph or is refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit.artifacts.metadata import Lineage, Metadata
from edgekit.artifacts.onnx_file import KEY, embed, file_sha256, graph_digest, parse_onnx, read_onnx
from edgekit.errors import ArtifactError, InputError, VerificationError
from edgekit.predictor import require_verified
from edgekit.spec import ModelSpec, PreprocessSpec, digest

SPEC = ModelSpec("resnet18", ("a", "b"), PreprocessSpec(2, 2, "stretch", None))
TEXT = """<ir_version: 10, opset_import: ["": 20]> g (uint8[N,2,2,3] image) => (float[N,2] logits) {
    c = Cast<to: int = 1>(image)
    m = ReduceMean<keepdims: int = 0>(c, axes)
    logits = Gemm<alpha: float = 1.0, transB: int = 1>(m, w, b)
}"""


def tiny(**changes: np.ndarray) -> onnx.ModelProto:
    """Mean colour to two logits."""
    model = onnx.parser.parse_model(TEXT)
    arrays = {
        "w": np.arange(6, dtype=np.float32).reshape(2, 3),
        "b": np.ones(2, np.float32),
        "axes": np.array([1, 2], np.int64),
        **changes,
    }
    model.graph.initializer.extend(numpy_helper.from_array(v, k) for k, v in arrays.items())
    return model


def described(**changes: Any) -> Metadata:
    made = Metadata(SPEC, Lineage("c" * 64, "f" * 64), "uint8", "fp32", "x86-cpu", {"onnx": "1"}, {"passed": True})
    return replace(made, **changes)


def sealed(model: onnx.ModelProto | None = None, **changes: Any) -> bytes:
    model = model or tiny()
    embed(model, described(**changes))
    return model.SerializeToString()


def content_of(model: onnx.ModelProto) -> dict[str, Any]:
    return json.loads({p.key: p.value for p in model.metadata_props}[KEY])


def resealed(change: Callable[[dict[str, Any]], None], new_hash: bool = True) -> bytes:
    """A sealed model whose metadata were changed, with or without bringing their hash up to date."""
    model = onnx.ModelProto.FromString(sealed())
    content = content_of(model)
    stored = content.pop("digest")
    change(content)
    text = json.dumps({**content, "digest": digest(content) if new_hash else stored})
    helper.set_model_props(model, {KEY: text})
    return model.SerializeToString()


# --- the hash of a file
def test_file_sha256(tmp_path: Path) -> None:
    data = bytes(range(256)) * 9000  # more than two blocks
    (tmp_path / "m").write_bytes(data)
    assert file_sha256(tmp_path / "m") == hashlib.sha256(data).hexdigest()


# --- the hash of a graph


def one_bit(m: onnx.ModelProto) -> None:
    raw = bytearray(m.graph.initializer[0].raw_data)
    raw[0] ^= 1
    m.graph.initializer[0].raw_data = bytes(raw)


def swap_nodes(m: onnx.ModelProto) -> None:
    nodes = list(m.graph.node)
    del m.graph.node[:]
    m.graph.node.extend([nodes[1], nodes[0], nodes[2]])


def swap_inputs(m: onnx.ModelProto) -> None:
    m.graph.node[2].input[:] = ["m", "b", "w"]


def rename_input(m: onnx.ModelProto) -> None:
    m.graph.input[0].name = m.graph.node[0].input[0] = "picture"


def add_weight(m: onnx.ModelProto) -> None:
    m.graph.initializer.append(numpy_helper.from_array(np.zeros(1, np.float32), "more"))


def zero_sign(m: onnx.ModelProto) -> None:
    array = numpy_helper.to_array(m.graph.initializer[0]).copy()
    assert array[0, 0] == 0
    array[0, 0] = -0.0
    m.graph.initializer[0].CopyFrom(numpy_helper.from_array(array, "w"))


def reshaped(m: onnx.ModelProto) -> None:
    m.graph.initializer[0].dims[:] = [3, 2]


def retyped(m: onnx.ModelProto) -> None:
    m.graph.initializer[0].data_type = TensorProto.INT32


SEEN: dict[str, Callable[[onnx.ModelProto], object]] = {
    "a weight bit": one_bit,
    "the sign of a zero": zero_sign,
    "a weight's shape": reshaped,
    "a weight's type": retyped,
    "a weight more": add_weight,
    "an attribute's value": lambda m: setattr(m.graph.node[2].attribute[0], "f", 2.0),
    "an attribute less": lambda m: m.graph.node[2].attribute.pop(),
    "an opset": lambda m: setattr(m.opset_import[0], "version", 21),
    "a domain more": lambda m: m.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3)),
    "the order of nodes": swap_nodes,
    "the order of inputs": swap_inputs,
    "an operator": lambda m: setattr(m.graph.node[1], "op_type", "ReduceMax"),
    "an operator's domain": lambda m: setattr(m.graph.node[1], "domain", "x"),
    "the input's name": rename_input,
    "the input's shape": lambda m: setattr(m.graph.input[0].type.tensor_type.shape.dim[1], "dim_value", 3),
    "the input's type": lambda m: setattr(m.graph.input[0].type.tensor_type, "elem_type", 3),
    "the output's name": lambda m: setattr(m.graph.output[0], "name", "m"),
    "a function": lambda m: m.functions.append(onnx.FunctionProto(name="f", domain="x")),
}


@pytest.mark.parametrize("name", SEEN)
def test_the_graphs_hash_sees(name: str) -> None:
    changed = tiny()
    SEEN[name](changed)
    assert graph_digest(changed) != graph_digest(tiny())


UNSEEN: dict[str, Callable[[onnx.ModelProto], object]] = {
    "documentation of the model": lambda m: setattr(m, "doc_string", "x"),
    "documentation of the graph": lambda m: setattr(m.graph, "doc_string", "x"),
    "documentation of a node": lambda m: setattr(m.graph.node[0], "doc_string", "x"),
    "documentation of a weight": lambda m: setattr(m.graph.initializer[0], "doc_string", "x"),
    "documentation of the input": lambda m: setattr(m.graph.input[0], "doc_string", "x"),
    "metadata of the model": lambda m: helper.set_model_props(m, {"a": "b"}),
    "metadata of a node": lambda m: m.graph.node[0].metadata_props.add(key="a", value="b"),
    "the producer": lambda m: setattr(m, "producer_name", "x"),
    "a node's name": lambda m: setattr(m.graph.node[0], "name", "x"),
    "shapes in between": lambda m: m.graph.value_info.append(helper.make_tensor_value_info("m", 1, ["N", 3])),
    "the order of attributes": lambda m: m.graph.node[2].attribute.reverse(),
}


@pytest.mark.parametrize("name", UNSEEN)
def test_the_graphs_hash_does_not_see(name: str) -> None:
    changed = tiny()
    UNSEEN[name](changed)
    assert changed.SerializeToString() != tiny().SerializeToString()
    assert graph_digest(changed) == graph_digest(tiny())


def test_a_small_weight_counts_in_whatever_field_it_is_stored() -> None:
    ones, twos = tiny(), tiny()
    for model, value in ((ones, 1.0), (twos, 2.0)):
        model.graph.initializer[1].CopyFrom(helper.make_tensor("b", 1, [2], [value, value]))
        assert not model.graph.initializer[1].raw_data
    assert graph_digest(ones) != graph_digest(twos)
    before = graph_digest(ones)
    ones.graph.initializer[1].doc_string = "x"
    assert graph_digest(ones) == before


def test_the_graphs_hash_survives_a_file() -> None:
    assert graph_digest(onnx.ModelProto.FromString(tiny().SerializeToString())) == graph_digest(tiny())


# --- metadata in the file


def test_what_is_embedded_is_read_back(tmp_path: Path) -> None:
    model = tiny()
    written = embed(model, described())
    assert written.lineage == Lineage("c" * 64, "f" * 64, graph_digest(model))
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    read = read_onnx(path)
    assert read.metadata == written
    assert read.sha256 == file_sha256(path)
    assert read.path == path
    assert graph_digest(read.model) == written.lineage.graph
    require_verified(read)


def test_embedding_again_replaces() -> None:
    model = tiny()
    embed(model, described())
    embed(model, described(target="other"))
    assert len(model.metadata_props) == 1
    assert parse_onnx(model.SerializeToString(), Path("m")).metadata.target == "other"


@pytest.mark.parametrize("verdict", [{}, {"passed": False}, {"passed": None}, {"passed": "true"}, {"passed": 1}])
def test_a_file_without_a_passed_gate_is_refused(verdict: dict[str, Any]) -> None:
    read = parse_onnx(sealed(verification=verdict), Path("m.onnx"))
    with pytest.raises(VerificationError, match="did not pass the gate"):
        require_verified(read)


def classes_reversed(content: dict[str, Any]) -> None:
    content["model"]["classes"].reverse()


EDITS: dict[str, Callable[[dict[str, Any]], None]] = {
    "classes in another order": classes_reversed,
    "another mean": lambda c: c["model"]["preprocess"]["mean"].__setitem__(0, 0.5),
    "another temperature": lambda c: c["model"].update(temperature=2.0),
    "a verdict": lambda c: c["verification"].update(passed=None),
    "another checkpoint": lambda c: c["lineage"].update(checkpoint="0" * 64),
    "another target": lambda c: c.update(target="y"),
}


@pytest.mark.parametrize("name", EDITS)
def test_edited_metadata_are_refused(name: str) -> None:
    with pytest.raises(ArtifactError, match="metadata"):
        parse_onnx(resealed(EDITS[name], new_hash=False), Path("m.onnx"))


@pytest.mark.parametrize("keep", ["digest", "preprocess_digest"])
def test_metadata_without_one_of_their_hashes_are_refused(keep: str) -> None:
    model = onnx.ModelProto.FromString(sealed())
    content = content_of(model)
    if keep == "digest":
        del content["digest"]
    else:
        del content["preprocess_digest"]
        stripped = {k: v for k, v in content.items() if k != "digest"}
        content = {**stripped, "digest": digest(stripped)}
    helper.set_model_props(model, {KEY: json.dumps(content)})
    with pytest.raises(ArtifactError, match="metadata"):
        parse_onnx(model.SerializeToString(), Path("m.onnx"))


BROKEN: dict[str, Callable[[dict[str, Any]], object]] = {
    "another format": lambda c: c.update(format=99),
    "no classes": lambda c: c["model"].update(classes=[]),
    "no lineage": lambda c: c.pop("lineage"),
    "a strange lineage": lambda c: c["lineage"].update(more="x"),
    "no lineage at all": lambda c: c.update(lineage=None),
    "an unknown key": lambda c: c.update(thresholds=[]),
    "an unknown key of the model": lambda c: c["model"].update(head="x"),
    "a model that is text": lambda c: c.update(model="x"),
    "a preprocessing that is nothing": lambda c: c["model"].update(preprocess=None),
    "a mean that is text": lambda c: c["model"]["preprocess"].update(mean="abc"),
    "a preprocessing without its hash": lambda c: c["model"]["preprocess"].update(pad=1),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_metadata_are_refused_even_with_the_right_hash(name: str) -> None:
    def change(content: dict[str, Any]) -> None:
        BROKEN[name](content)

    with pytest.raises(ArtifactError, match="metadata that cannot be used"):
        parse_onnx(resealed(change), Path("m.onnx"))


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", '"x"', "{}"])
def test_metadata_that_are_no_object_are_refused(text: str) -> None:
    model = tiny()
    helper.set_model_props(model, {KEY: text})
    with pytest.raises(ArtifactError, match="metadata that cannot be used"):
        parse_onnx(model.SerializeToString(), Path("m.onnx"))


def test_metadata_of_another_model_are_refused() -> None:
    model = onnx.ModelProto.FromString(sealed())
    other = tiny(w=np.zeros((2, 3), np.float32))
    other.metadata_props.extend(model.metadata_props)
    with pytest.raises(ArtifactError, match="metadata of another model"):
        parse_onnx(other.SerializeToString(), Path("m.onnx"))


def test_from_dict_says_what_is_missing() -> None:
    with pytest.raises(InputError, match="incomplete") as caught:
        Metadata.from_dict({"format": 1, "model": {}})
    assert "lineage" in str(caught.value.got)


# --- files that must not run


def external(tensor: TensorProto) -> TensorProto:
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="secret.bin")
    return tensor


def weight(name: str = "e") -> TensorProto:
    return numpy_helper.from_array(np.zeros(2, np.float32), name)


def with_node(node: onnx.NodeProto) -> onnx.ModelProto:
    model = tiny()
    model.graph.node.append(node)
    return model


def inside_if(*inner: onnx.NodeProto, weights: tuple[TensorProto, ...] = ()) -> onnx.ModelProto:
    branch = helper.make_graph(list(inner), "b", [], [helper.make_tensor_value_info("y", 1, [2])], list(weights))
    return with_node(helper.make_node("If", ["c"], ["z"], then_branch=branch, else_branch=branch))


def outside_initializer() -> onnx.ModelProto:
    model = tiny()
    external(model.graph.initializer[0])
    return model


def named_location_only() -> onnx.ModelProto:
    """Old readers look at external_data alone."""
    model = tiny()
    model.graph.initializer[0].external_data.add(key="location", value="secret.bin")
    return model


def constant(tensor: TensorProto, op: str = "Constant") -> onnx.NodeProto:
    return helper.make_node(op, [], ["k"], value=tensor)


def with_function() -> onnx.ModelProto:
    model = tiny()
    body = [constant(external(weight()))]
    model.functions.append(helper.make_function("", "Cast", [], ["k"], body, model.opset_import))
    return model


def with_sparse() -> onnx.ModelProto:
    model = tiny()
    values = external(weight())
    model.graph.sparse_initializer.append(onnx.SparseTensorProto(values=values, dims=[4]))
    return model


def with_sparse_constant() -> onnx.ModelProto:
    sparse = onnx.SparseTensorProto(values=weight(), dims=[4])
    return with_node(helper.make_node("Constant", [], ["k"], sparse_value=sparse))


UNSAFE: dict[str, tuple[Callable[[], onnx.ModelProto], str]] = {
    "external data": (outside_initializer, "outside the file"),
    "an external location": (named_location_only, "outside the file"),
    "external data in a Constant": (lambda: with_node(constant(external(weight()))), "outside the file"),
    "external data in a subgraph": (lambda: inside_if(weights=(external(weight()),)), "outside the file"),
    "external data in a Constant in a subgraph": (
        lambda: inside_if(constant(external(weight()))),
        "outside the file",
    ),
    "external data in a list": (
        lambda: with_node(helper.make_node("X", [], ["k"], values=[external(weight())])),
        "outside the file",
    ),
    "a custom domain": (lambda: with_node(helper.make_node("F", [], ["k"], domain="com.x")), "not ONNX's own"),
    "a custom domain in a subgraph": (
        lambda: inside_if(helper.make_node("F", [], ["k"], domain="com.x")),
        "not ONNX's own",
    ),
    "onnxruntime's own domain": (
        lambda: with_node(helper.make_node("FusedConv", [], ["k"], domain="com.microsoft")),
        "not ONNX's own",
    ),
    "a function in the place of an operator": (with_function, "does not write"),
    "a sparse initializer": (with_sparse, "does not write"),
    "a sparse constant": (with_sparse_constant, "does not write"),
}


@pytest.mark.parametrize("name", UNSAFE)
def test_unsafe_parts_are_refused_though_the_hashes_fit(name: str) -> None:
    make, message = UNSAFE[name]
    model = make()
    with pytest.raises(ArtifactError, match=message):
        parse_onnx(sealed(model), Path("m.onnx"))


def test_onnxs_own_domain_by_its_other_name_is_fine() -> None:
    model = tiny()
    model.graph.node[0].domain = "ai.onnx"
    parse_onnx(sealed(model), Path("m.onnx"))


def test_someone_elses_onnx_is_refused() -> None:
    model = tiny()
    model.producer_name = "pytorch"
    with pytest.raises(ArtifactError, match="was not written by edgekit") as caught:
        parse_onnx(model.SerializeToString(), Path("m.onnx"))
    assert "pytorch" in str(caught.value.got)
    assert "edgekit adopt m.onnx --task" in str(caught.value.fix)
    assert "edgekit export" in str(caught.value.fix)


def test_files_that_are_no_onnx(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="cannot be read"):
        read_onnx(tmp_path / "absent.onnx")
    with pytest.raises(ArtifactError, match="cannot be read"):
        read_onnx(tmp_path)
    with pytest.raises(ArtifactError, match="is empty"):
        parse_onnx(b"", Path("m.onnx"))
    with pytest.raises(ArtifactError, match="not an ONNX file"):
        parse_onnx(b"hello, this is text", Path("m.onnx"))


def test_every_truncation_is_refused() -> None:
    data = sealed()
    parse_onnx(data, Path("m.onnx"))
    for end in range(len(data)):
        with pytest.raises(ArtifactError):
            parse_onnx(data[:end], Path("m.onnx"))


def test_a_changed_byte_is_refused_or_changes_nothing_that_counts() -> None:
    """Each byte once: either the file is refused, or graph and metadata are still the written ones."""
    data = sealed()
    whole = parse_onnx(data, Path("m.onnx"))
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 1 << position % 8
        try:
            read = parse_onnx(bytes(changed), Path("m.onnx"))
        except ArtifactError:
            continue
        assert read.metadata == whole.metadata
        assert graph_digest(read.model) == graph_digest(whole.model)


def test_a_file_that_was_rejected_is_not_just_missing(tmp_path: Path) -> None:
    (tmp_path / "bee.int8-x86.onnx.rejected").write_bytes(b"")
    with pytest.raises(ArtifactError, match="did not pass its verification") as caught:
        read_onnx(tmp_path / "bee.int8-x86.onnx")
    assert caught.value.got == "only bee.int8-x86.onnx.rejected"
    with pytest.raises(ArtifactError, match="cannot be read"):
        read_onnx(tmp_path / "bee.onnx")
