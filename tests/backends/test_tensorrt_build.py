"""Real builds with TensorRT-RTX, which needs no GPU for it: what parses, what comes out, what is refused and how."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import onnx
import pytest

from edgekit.artifacts.engine_key import Batch, BuildOptions
from edgekit.backends.trt.build import Built, build, input_profiles
from edgekit.backends.trt.layers import convolutions as count
from edgekit.backends.trt.layers import read_layers
from edgekit.backends.trt.library import Library, Message, load_library
from edgekit.backends.trt.refusal import RefusedError
from edgekit.backends.trt.timing import timing_file
from edgekit.errors import BackendError, UsageError
from edgekit.spec import ModelSpec
from tests.backends import graphs

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt-rtx is not installed: nothing was built"
)
BATCH = Batch(1, 2, 4)


@pytest.fixture(scope="module")
def resnet(spec: ModelSpec) -> onnx.ModelProto:
    return graphs.resnet(spec)


@pytest.fixture(scope="module")
def library() -> Library:
    return load_library("tensorrt_rtx")


def options(*sms: str, batch: Batch | None = BATCH, **others: object) -> BuildOptions:
    return BuildOptions("tensorrt_rtx", sms or ("8.9",), batch, **others)  # type: ignore[arg-type]


def built(library: Library, model: onnx.ModelProto, *sms: str, batch: Batch | None = BATCH) -> Built:
    return build(model.SerializeToString(), options(*sms, batch=batch), library)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_every_precision_builds_without_a_warning(library: Library, precision: str) -> None:
    model = graphs.convolutions(precision)
    made = built(library, model)
    assert len(made.plan) > 10_000
    assert made.warnings == ()
    shape = (8, 16, 16)
    assert made.profiles == {"x": ((1, *shape), (2, *shape), (4, *shape))}
    found = count(model.SerializeToString(), made.layers)
    int8 = 3 if precision == "int8" else 0
    assert found == {"convolutions": 3, "quantized": int8, "int8": int8, "not_int8": []}
    # strongly typed: what the convolutions take is what the graph says
    takes = [layer.takes for layer in made.layers if layer.kind == "correlation"]
    assert len(takes) == 3
    wanted = {"fp32": "Float", "fp16": "Half", "int8": "Int8"}
    for name, kind in wanted.items():  # scales and biases are Float in all three
        assert all(kind in types for types in takes) == (name == precision or kind == "Float")


def test_a_convolution_that_is_quantized_on_one_side_only_is_not_counted(library: Library) -> None:
    model = graphs.convolutions("int8")
    second = next(node for node in model.graph.node if node.name == "conv1")
    second.input[0] = "r0"  # past its Q/DQ
    made = built(library, model)
    found = count(model.SerializeToString(), made.layers)
    assert found == {"convolutions": 3, "quantized": 2, "int8": 2, "not_int8": []}


@pytest.mark.parametrize("sms", [("8.6",), ("8.9",), ("12.0",), ("8.6", "8.9", "12.0")])
def test_a_resnet_builds_for_each_gpu_and_for_all(
    library: Library, sms: tuple[str, ...], resnet: onnx.ModelProto
) -> None:
    made = built(library, resnet, *sms)
    assert made.warnings == ()
    assert made.profiles["image"][2] == (4, 48, 64, 3)
    assert len([layer for layer in made.layers if "correlation" in layer.kind]) >= 10


@pytest.mark.parametrize("head", ["offset_size", "ltrb"])
def test_a_centernet_with_its_decoding_builds(library: Library, head: str) -> None:
    model = graphs.centernet(head)
    assert [value.name for value in model.graph.output] == ["boxes", "scores", "labels"]
    made = built(library, model, "8.6", "8.9", "12.0")
    assert made.warnings == ()
    assert made.profiles["image"][0] == (1, 64, 96, 3)
    nodes = {name for layer in made.layers for name in layer.nodes}
    assert {n.name for n in model.graph.node if n.op_type == "TopK"} <= nodes  # the decoding is in the engine


def test_a_plan_is_for_the_gpus_that_were_asked_for(library: Library) -> None:
    """RTX puts one bit per GPU family into its header; a plan for the wrong one would differ nowhere else."""
    model = graphs.convolutions("fp32", 1)
    heads = {sms: built(library, model, *sms).plan[:64] for sms in [("8.6",), ("8.9",), ("8.6", "8.9")]}
    assert len(set(heads.values())) == 3
    assert built(library, model, "8.6").plan[:64] == heads[("8.6",)]


def test_a_fixed_batch_needs_no_profile(library: Library) -> None:
    model = graphs.parsed("(float[2,3,8,8] x) => (float[2,3,8,8] y) { y = Relu(x) }")
    assert built(library, model, batch=None).profiles == {"x": ((2, 3, 8, 8),) * 3}
    built(library, model, batch=Batch(2, 2, 2))
    with pytest.raises(UsageError, match="fixed batch"):
        built(library, model, batch=BATCH)


def test_one_size_of_a_dynamic_batch(library: Library) -> None:
    made = built(library, graphs.convolutions("fp32"), batch=Batch(3, 3, 3))
    assert made.profiles == {"x": ((3, 8, 16, 16),) * 3}
    assert made.warnings == ()


def test_batches_that_do_not_fit_the_graph() -> None:
    with pytest.raises(UsageError, match="dynamic batch"):
        input_profiles(graphs.convolutions("fp32"), None)
    model = graphs.parsed("(float[N,3,H,8] x) => (float[N,3,H,8] y) { y = Relu(x) }")
    with pytest.raises(UsageError, match="dynamic dimension behind the batch"):
        input_profiles(model, BATCH)


def test_progress_grows_from_phase_to_phase(library: Library) -> None:
    told: list[tuple[float, str]] = []
    build(
        graphs.convolutions("fp32").SerializeToString(),
        options(),
        library,
        report=lambda share, phase: told.append((share, phase)),
    )
    shares = [share for share, _ in told]
    assert len({phase for _, phase in told}) > 3
    assert shares == sorted(shares)
    assert shares[0] < 0.1
    assert 0.9 < shares[-1] < 1
    assert len(set(shares)) > 5


def test_what_progress_raises_ends_the_build(library: Library) -> None:
    """Ctrl-C arrives in the callback; it must not pass through the library, and no plan may come out."""
    calls = []

    def interrupt(share: float, phase: str) -> None:
        calls.append(share)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(graphs.convolutions("fp32").SerializeToString(), options(), library, report=interrupt)
    assert len(calls) == 1
    built(library, graphs.convolutions("fp32"))  # and the library goes on working


def test_the_timing_cache_is_a_file_for_this_version_and_gpu(library: Library, tmp_path: Path) -> None:
    path = timing_file(tmp_path / "new", library, "8.9")
    assert path.name == f"rtx{library.version}-sm89.timing"
    said: list[str] = []
    model = graphs.convolutions("fp32").SerializeToString()
    for _ in range(2):  # made, then read
        build(model, options(), library, timing_cache=path, say=said.append)
        assert path.stat().st_size > 0
    assert len(said) == 2
    assert all("stays empty" in line for line in said)  # RTX measures nothing
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    assert timing_file(tmp_path, library, "8.6") != timing_file(tmp_path, library, "8.9")


@pytest.mark.parametrize(
    ("graph", "node", "operator", "said"),
    [
        ("(float[2,3] x) => (float[2,3] y) { y = Bernoulli(x) }", "y", "Bernoulli", "no such operator"),
        ("(int32[4] x, float s) => (float[4] y) { y = DequantizeLinear(x, s) }", "y", "DequantizeLinear", "Int32"),
        ("(uint8[2,8,8,3] x) => (uint8[2,3,8,8] y) { y = Transpose<perm=[0,3,1,2]>(x) }", "y", "Transpose", "UInt8"),
    ],
    ids=["unsupported operator", "int32 DequantizeLinear", "uint8 Transpose"],
)
def test_a_refused_node_is_named(library: Library, graph: str, node: str, operator: str, said: str) -> None:
    model = graphs.parsed(graph)
    with pytest.raises(RefusedError) as caught:
        built(library, model, batch=None)
    error = caught.value
    assert (error.node, error.exit_code) == (node, 5)
    assert str(error.got).startswith(f"{operator} {node}: ")
    assert said in error.said
    for noise in ("_src", "cpp", "Error Code", "cudaError", "\n"):
        assert noise not in str(error.got)
    assert error.expected
    assert error.fix
    model.graph.node[0].name = "layer1.thing"
    with pytest.raises(RefusedError) as caught:
        built(library, model, batch=None)
    assert caught.value.node == "layer1.thing"


def test_a_plugin_that_is_not_there(library: Library) -> None:
    model = graphs.parsed("(float[2,3] x) => (float[2,3] y) { y = foo.Bar(x) }", '"": 20, "foo": 1')
    with pytest.raises(RefusedError, match="Bar y: Plugin not found"):
        built(library, model, batch=None)


def test_what_only_the_builder_refuses(library: Library) -> None:
    model = graphs.parsed(
        "(float[1,8000] x) => (float[1,4000] y, int64[1,4000] i) <int64[1] k = {4000}> { y, i = TopK(x, k) }"
    )
    model.graph.node[0].name = "decode.topk"
    with pytest.raises(RefusedError) as caught:
        built(library, model, batch=None)
    assert caught.value.node == "decode.topk"
    assert "K exceeds the maximum value allowed (3840)" in caught.value.said


@pytest.mark.parametrize(
    ("others", "what"),
    [
        ({"hardware": "ampere-plus"}, "hardware compatibility"),
        ({"version_compatible": True}, "version compatibility"),
        ({"dla": 0}, "a DLA"),
    ],
)
def test_what_rtx_does_not_have_is_refused(library: Library, others: dict[str, object], what: str) -> None:
    with pytest.raises(UsageError, match=f"TensorRT-RTX does not have {what}"):
        build(graphs.convolutions("fp32").SerializeToString(), options(**others), library)


def test_a_gpu_that_rtx_does_not_know(library: Library) -> None:
    with pytest.raises(BackendError) as caught:
        built(library, graphs.convolutions("fp32"), "8.7")
    assert "SM87" in str(caught.value)
    assert "SM89" in str(caught.value.expected)


def test_asking_for_the_gpu_of_a_machine_without_one_is_the_machines_fault(library: Library) -> None:
    """RTX's CURRENT stands for the GPU that is there; the message must not send people to look at their graph."""
    if list(Path("/proc/driver/nvidia/gpus").glob("*")):
        pytest.skip("there is a GPU here")

    class Current(Library):
        def enum(self, kind: str, name: str) -> object:
            return super().enum(kind, "CURRENT" if kind == "ComputeCapability" else name)

    here = Current(library.name, library.module, library.log)
    with pytest.raises(BackendError, match="cannot use the GPU") as caught:
        built(here, graphs.convolutions("fp32"))
    assert "driver" in str(caught.value.expected)


def test_the_library_that_was_asked_for_or_none() -> None:
    with pytest.raises(UsageError, match="Unknown library"):
        load_library("tensorrt_lean")
    if importlib.util.find_spec("tensorrt") is None:
        with pytest.raises(BackendError, match=r"TensorRT is not installed") as caught:
            load_library("tensorrt")
        assert "edgekit[tensorrt]" in str(caught.value.fix)
    assert load_library("tensorrt_rtx") is load_library("tensorrt_rtx")


def test_layers_of_an_older_log() -> None:
    """10.x lists a fused layer with its format and type in one field."""
    text = (
        "Layers:\n"
        "Name: layer1.0.conv1 + layer1.0.relu, LayerType: CaskConvolution, Inputs: [ { Name: a, Location: Device, "
        "Dimensions: [1,64,56,56], Format/Datatype: Thirty-two wide channel vectorized row major Int8 format }], "
        "Outputs: [ { Name: b, Format/Datatype: Row major linear FP32 }], TacticName: t, StreamId: 0, "
        "Metadata: [ONNX Layer: layer1.0.conv1][ONNX Layer: layer1.0.relu]\n"
    )
    (layer,) = read_layers([Message("VERBOSE", "something else"), Message("VERBOSE", text)])
    assert layer.takes == {"Int8"}
    assert layer.nodes == ("layer1.0.conv1", "layer1.0.relu")
    assert count(b"", ()) == {}
