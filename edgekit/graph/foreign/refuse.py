"""What is refused in an ONNX from elsewhere, before any of it is computed, rewritten or given to a runtime."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import onnx
from onnx import TensorProto

from edgekit.artifacts.onnx_file import STANDARD_DOMAINS, graphs_of
from edgekit.errors import ArtifactError
from edgekit.graph.foreign.external import is_outside
from edgekit.graph.lint.graph import opset_of, title
from edgekit.reading.limits import FIELDS, ONNX, size
from edgekit.reading.protobuf import tensor_problem
from edgekit.screen import count_of

OLDEST = 7
NESTED = 8  # graphs in graphs; exporters write two
SIDE = 16_384  # pixels of an input
FLOW = frozenset({"Loop", "Scan"})
RANDOM = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)
PART = "SequenceAt"  # of SplitToSequence: both together are a Split
NOT_TENSORS = frozenset({"Optional", "OptionalGetElement", "OptionalHasElement", "ImageDecoder",
                         "ConcatFromSequence", "StringConcat", "StringNormalizer", "StringSplit", "RegexFullMatch",
                         "TfIdfVectorizer", "LabelEncoder"})  # fmt: skip


def refuse(model: onnx.ModelProto, path: Path) -> None:
    """Looks through a model; nothing is changed, and numbers that lie outside the file are not asked for.

    Raises:
        ArtifactError: with what was found, and what can be done about it.
    """
    local = {(f.domain, f.name) for f in model.functions}
    _versions(model, path)
    if any(g.sparse_initializer for g in _graphs(model, path)) or any(
        a.HasField("sparse_tensor") or a.sparse_tensors for a in _attributes(model)
    ):
        raise _refused(path, "weights that are stored sparsely", "sparse tensors", "plain ones",
                       "export it again without sparse weights")  # fmt: skip
    _functions(model, path)
    for nodes in (*(g.node for g in _graphs(model, path)), *(f.node for f in model.functions)):
        _operators(nodes, local, path)
    for function in model.functions:
        _wiring(function.node, [*function.input], [*function.output], path)
    _scopes(model.graph, frozenset(), path)
    for tensor in tensors_of(model):
        _tensor(tensor, path)
    for value in (*model.graph.input, *model.graph.output):
        _interface(value, path)


def tensors_of(model: onnx.ModelProto) -> Iterator[TensorProto]:
    """Every stored tensor: of the graph, of graphs inside it and of functions."""
    for graph in graphs_of(model.graph):
        yield from graph.initializer
    for attribute in _attributes(model):
        for graph in ([attribute.g] if attribute.HasField("g") else []) + list(attribute.graphs):
            yield from graph.initializer
        yield from ([attribute.t] if attribute.HasField("t") else [])
        yield from attribute.tensors


def _attributes(model: onnx.ModelProto) -> Iterator[onnx.AttributeProto]:
    waiting = [model.graph.node, *(f.node for f in model.functions)]
    while waiting:
        for node in waiting.pop():
            for attribute in node.attribute:
                yield attribute
                waiting += [g.node for g in ([attribute.g] if attribute.HasField("g") else []) + list(attribute.graphs)]
    for function in model.functions:
        yield from function.attribute_proto


def _graphs(model: onnx.ModelProto, path: Path) -> list[onnx.GraphProto]:
    """All graphs, those inside functions too; refused where they lie too deep in one another."""
    found: list[onnx.GraphProto] = []
    waiting = [(model.graph, 0)]
    for function in model.functions:
        waiting += [(g, 1) for node in function.node for g in _inner(node)]
    while waiting:
        graph, depth = waiting.pop()
        if depth > NESTED:
            raise _refused(path, "graphs inside graphs, too deep", f"more than {NESTED}", f"at most {NESTED}",
                           "export it without If and Loop")  # fmt: skip
        found.append(graph)
        waiting += [(g, depth + 1) for node in graph.node for g in _inner(node)]
    return found


def _inner(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    return [g for a in node.attribute for g in ([a.g] if a.HasField("g") else []) + list(a.graphs)]


def _versions(model: onnx.ModelProto, path: Path) -> None:
    standard = [int(o.version) for o in model.opset_import if o.domain in STANDARD_DOMAINS]
    newest = int(onnx.defs.onnx_opset_version())
    if not standard or max(standard) != min(standard) or not OLDEST <= standard[0] <= newest:
        raise _refused(
            path,
            "an opset that cannot be read",
            ", ".join(map(str, standard[:5])) or "none of ONNX's own operators",
            f"one of {OLDEST} to {newest}",
            "export it again with opset 11 to 20" if not standard or standard[0] < OLDEST else "pip install -U onnx",
        )


def _functions(model: onnx.ModelProto, path: Path) -> None:
    """That functions call one another in no circle, and that writing them out ends."""
    called = {
        (f.domain, f.name): Counter((n.domain, n.op_type) for n in f.node) for f in model.functions
    }  # fmt: skip
    if len(called) != len(model.functions):
        raise _refused(path, "two functions of one name", "a name twice", "names of their own", "export it again")
    opset = opset_of(model)
    for function in model.functions:
        other = {int(o.version) for o in function.opset_import if o.domain in STANDARD_DOMAINS} - {opset}
        if other or function.domain in STANDARD_DOMAINS:
            raise _refused(path, "a function that is written in other operators than the file",
                           f"{function.domain}::{function.name}"[:120] + f", opset {min(other | {opset})}",
                           f"operators of opset {opset}", "export it again without functions")  # fmt: skip
    sizes: dict[tuple[str, str], int] = {}
    waiting = list(called)
    open_: set[tuple[str, str]] = set()
    while waiting:
        name = waiting[-1]
        missing = [other for other in called[name] if other in called and other not in sizes]
        if name in sizes or not missing:
            sizes[name] = sum(count * sizes.get(other, 1) for other, count in called[name].items())
            open_.discard(name)
            waiting.pop()
        elif open_ & set(missing):
            raise _refused(path, "functions that call themselves", f"{name[0]}::{name[1]}"[:200],
                           "functions that end", "export it again, or inline them with onnx.inliner")  # fmt: skip
        else:
            open_.add(name)
            waiting += missing
    calls = Counter((n.domain, n.op_type) for g in graphs_of(model.graph) for n in g.node)
    total = sum(count * sizes.get(name, 1) for name, count in calls.items())
    if max(total, *sizes.values(), 0) > FIELDS if sizes else total > FIELDS:
        raise _refused(path, "functions that become too many nodes", f"{count_of(total, 'node')} written out",
                       f"at most {FIELDS}", "export it with fewer layers of functions")  # fmt: skip


def _operators(nodes: Sequence[onnx.NodeProto], local: set[tuple[str, str]], path: Path) -> None:
    foreign = sorted({f"{n.domain}::{n.op_type}"[:120] for n in nodes
                      if n.domain not in STANDARD_DOMAINS and (n.domain, n.op_type) not in local})  # fmt: skip
    if foreign:
        microsoft = all(name.startswith("com.microsoft") for name in foreign)
        raise _refused(
            path,
            "operators that are not ONNX's own",
            ", ".join(foreign[:8]),
            "operators of the standard domain",
            "start from the file as exported, not from one that onnxruntime optimized"
            if microsoft
            else "export it without custom operators, or with them as functions in the file",
        )
    for node in nodes:
        if node.op_type in FLOW:
            raise _refused(path, f"a {node.op_type}, which runs as often as the picture asks for", title(node)[:80],
                           "a graph without loops", "unroll it in the module, and export it again")  # fmt: skip
        if node.op_type in RANDOM:
            raise _refused(path, "a node that gives other numbers in every run", f"{node.op_type} {title(node)[:80]}",
                           "a graph that can be proven equal", "model.eval() before the export")  # fmt: skip
        if node.op_type in NOT_TENSORS or (node.op_type.startswith("Sequence") and node.op_type != PART):
            raise _refused(path, "sequences, optionals or texts", f"{node.op_type} {title(node)[:80]}",
                           "tensors of numbers only", "give the module plain tensors to take and make")  # fmt: skip
        training = [a.name for a in node.attribute if a.name == "training_mode" and a.i]
        if training:
            raise _refused(path, "a node in training mode", f"{node.op_type} {title(node)[:80]}", "inference",
                           "model.eval() before the export")  # fmt: skip


def _scopes(graph: onnx.GraphProto, outer: frozenset[str], path: Path) -> None:
    """That each tensor is made once, is there where it is read, and that nothing runs in a circle."""
    own = [t.name for t in graph.initializer] + [
        v.name for v in graph.input if v.name not in {t.name for t in graph.initializer}
    ]
    inner = {id(node): _inner(node) for node in graph.node if _inner(node)}
    _wiring(graph.node, own, [v.name for v in graph.output], path, outer)
    if inner:
        made = outer.union(own, (name for node in graph.node for name in node.output))
        for graphs in inner.values():
            for one in graphs:
                _scopes(one, made, path)


def _wiring(
    nodes: Sequence[onnx.NodeProto],
    given: Sequence[str],
    wanted: Sequence[str],
    path: Path,
    outer: frozenset[str] = frozenset(),
) -> None:
    made = Counter([*given, *(name for node in nodes for name in node.output if name)])
    twice = next((name for name, count in made.items() if count > 1), None)
    if twice is not None:
        raise _refused(
            path, "two tensors of one name", repr(twice[:80]), "a name of its own for each", "export it again"
        )
    outputs = Counter(wanted)
    if "" in outputs or max(outputs.values(), default=0) > 1:
        raise _refused(path, "outputs without names of their own", repr(sorted(outputs)[:3]), "a name for each",
                       "export it again with output_names")  # fmt: skip
    for name in (*(name for node in nodes for name in node.input if name), *wanted):
        if name not in made and name not in outer:
            raise _refused(path, "a tensor that nothing makes", repr(name[:80]), "a whole graph", "export it again")
    if len(in_order(nodes)) != len(nodes):
        raise _refused(path, "a graph in a circle: a node waits for what comes of it",
                       count_of(len(nodes), "node"),
                       "a graph that can be computed from its input to its outputs", "export it again")  # fmt: skip


def in_order(nodes: Sequence[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """The nodes, each behind what it reads; those in a circle are left out. In the file's order where that will do."""
    producer = {name: i for i, node in enumerate(nodes) for name in node.output if name}
    needs = [{producer[name] for name in (*node.input, *_captured(node)) if name in producer} for node in nodes]
    readers: dict[int, list[int]] = {}
    for i, wanted in enumerate(needs):
        for other in wanted:
            readers.setdefault(other, []).append(i)
    ready = [i for i, wanted in enumerate(needs) if not wanted]
    heapq.heapify(ready)
    found = []
    while ready:
        i = heapq.heappop(ready)
        found.append(nodes[i])
        for reader in readers.get(i, []):
            needs[reader].discard(i)
            if not needs[reader]:
                heapq.heappush(ready, reader)
    return found


def _captured(node: onnx.NodeProto) -> set[str]:
    """Names that graphs inside a node read."""
    found: set[str] = set()
    waiting = _inner(node)
    while waiting:
        graph = waiting.pop()
        found.update(v.name for v in graph.output)
        for inner in graph.node:
            found.update(inner.input)
            waiting += _inner(inner)
    return found


def _tensor(tensor: TensorProto, path: Path) -> None:
    if tensor.data_type == TensorProto.STRING:
        raise _refused(path, "texts as weights", tensor.name[:80] or "a constant", "numbers", "export it again")
    try:
        item = int(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)
    except (KeyError, TypeError, ValueError) as error:
        raise _refused(path, "weights of a type that ONNX has not", str(tensor.data_type), "numbers",
                       "export it again") from error  # fmt: skip
    if all(n >= 0 for n in tensor.dims) and math.prod(tensor.dims) * item > ONNX:
        stated = f"{tensor.name[:80] or 'a constant'} is {list(tensor.dims)[:9]}, {size(math.prod(tensor.dims) * item)}"
        raise _refused(path, "a tensor over edgekit's limit", stated, f"at most {size(ONNX)} of weights in all",
                       "a smaller net: one ONNX file holds 2 GB")  # fmt: skip
    if not is_outside(tensor) and (problem := tensor_problem(tensor)):
        raise _refused(path, "weights that are not what they say", problem, "as many numbers as the shape has",
                       "copy it again, or export it again")  # fmt: skip


def _interface(value: onnx.ValueInfoProto, path: Path) -> None:
    name = value.name[:80]
    if any(ord(c) < 32 or ord(c) == 127 for c in value.name) or len(value.name) > 200:
        raise _refused(path, "an input or output whose name is no name", repr(name), "printable names", "rename it")
    which = value.type.WhichOneof("value")
    if which not in (None, "tensor_type") or value.type.tensor_type.elem_type == TensorProto.STRING:
        kind = "strings" if which == "tensor_type" else str(which).removesuffix("_type")
        raise _refused(path, "sequences, optionals or texts", f"{name} is {kind}", "tensors of numbers only",
                       "give the module plain tensors to take and return")  # fmt: skip


def _refused(path: Path, what: str, got: str, expected: str, fix: str) -> ArtifactError:
    return ArtifactError(f"{path} has {what}.", got=got, expected=expected, fix=fix)
