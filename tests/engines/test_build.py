"""From ONNX to engine: the ladder, what lint says first, what is kept, and whose machine it is."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest

from edgekit.artifacts.engine import Engine, read_engine, sidecar_of, write_engine
from edgekit.artifacts.engine_key import Batch
from edgekit.artifacts.metadata import Lineage, Metadata
from edgekit.artifacts.onnx_file import embed
from edgekit.backends import tensorrt_
from edgekit.backends.cuda.base import Device
from edgekit.backends.onnxruntime_ import run_once
from edgekit.backends.trt import library as library_module
from edgekit.backends.trt.build import Built
from edgekit.backends.trt.layers import EngineLayer
from edgekit.backends.trt.library import Library, load_library
from edgekit.backends.trt.refusal import RefusedError
from edgekit.config.target import EngineTable, Target, load_target
from edgekit.engines import build, request
from edgekit.engines.build import BuildResult
from edgekit.engines.fallbacks import in_lint_words
from edgekit.engines.request import EngineRequest
from edgekit.errors import ArtifactError, BackendError, OutputError, UsageError, VerificationError
from edgekit.spec import ModelSpec
from tests.backends import graphs
from tests.backends.fake_tensorrt import FakeCuda, World, make

needs_rtx = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt-rtx is not installed: nothing was built"
)
Write = Callable[..., Path]


def build_engine(model: Path, target: str | Target, **asked: Any) -> BuildResult:
    """With the request's fields as keyword arguments."""
    told = {name: asked.pop(name) for name in ("report", "say") if name in asked}
    return build.build_engine(model, target, EngineRequest(**asked), **told)


@pytest.fixture
def write(tmp_path: Path, spec: ModelSpec) -> Write:
    """Writes a graph as `edgekit export` would, verified unless told otherwise."""

    def do(
        precision: str = "fp32",
        name: str = "",
        graph: onnx.ModelProto | None = None,
        checkpoint: str = "c",
        passed: bool = True,
        model: ModelSpec = spec,
    ) -> Path:
        made = graphs.convolutions(precision.partition("-")[0], 2) if graph is None else graph
        lineage = Lineage(checkpoint, "f")
        embed(made, Metadata(model, lineage, "float", precision, "x86-cpu", {}, {"passed": passed}))
        path = tmp_path / (name or ("net.onnx" if precision == "fp32" else f"net.{precision}.onnx"))
        path.write_bytes(made.SerializeToString())
        return path

    return do


class Builder:
    """Stands in for the TensorRT of a board: refuses what it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, sm: str = "8.7", version: str = "10.3.0") -> None:
        self.refuses: set[str] = set()
        self.built: list[Any] = []
        self.layers: tuple[EngineLayer, ...] = ()
        module = type("tensorrt", (), {"__version__": version})
        self.library = Library("tensorrt", module, None)
        self.device = Device("Orin Nano", sm, "12.6", True)
        monkeypatch.setattr(build, "load_library", lambda name: replace(self.library, name=name))
        monkeypatch.setattr(request, "open_cuda", lambda binding: self)
        monkeypatch.setattr(build.builder, "build", self.build)
        monkeypatch.setattr(build, "_proven", self.prove)
        self.proofs = 0

    def prove(self, engine: Engine, *_: Any) -> Engine:
        self.proofs += 1
        return replace(engine, card=replace(engine.card, proof={"passed": True}))

    def build(self, model: bytes, options: Any, library: Library, **others: Any) -> Built:
        graph = onnx.load_from_string(model).graph
        kind = {"QuantizeLinear": "int8"}.get(graph.node[0].op_type)
        kind = kind or ("fp16" if graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT16 else "fp32")
        if kind in self.refuses:
            raise RefusedError(library, "conv0", "Conv", "could not find any implementation")
        self.built.append((kind, options, others))
        return Built(b"plan of " + kind.encode(), {"x": ((1,), (1,), (4,))}, self.layers, ("a warning",))


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch) -> Builder:
    return Builder(monkeypatch)


def ladder(write: Write) -> list[Path]:
    return [write("int8-trt"), write("fp16"), write("fp32")]


def test_the_first_that_builds_is_it(write: Write, board: Builder) -> None:
    first, *rest = ladder(write)
    result = build_engine(first, "jetson-orin-nano", fallbacks=rest)
    assert result.path.name == "net.int8.trt10.3-sm87.engine"
    assert [kind for kind, _, _ in board.built] == ["int8"]
    engine = read_engine(result.path)
    assert engine.plan == b"plan of int8"
    card = engine.card
    assert card == result.card
    assert (card.refused, card.target, card.onnx_name) == ((), "jetson-orin-nano", "net.int8-trt.onnx")
    assert card.built_on.gpu == "Orin Nano"
    assert card.options.batch == (1, 1, 4)  # the target's
    assert card.options.workspace_mib == 1024
    assert result.warnings == ("a warning",)


@pytest.mark.parametrize(
    ("refuses", "name"),
    [({"int8"}, "net.fp16.trt10.3-sm87.engine"), ({"int8", "fp16"}, "net.fp32.trt10.3-sm87.engine")],
)
def test_a_refused_precision_falls_back_aloud(write: Write, board: Builder, refuses: set[str], name: str) -> None:
    board.refuses = refuses
    first, *rest = ladder(write)
    said: list[str] = []
    result = build_engine(first, "jetson-orin-nano", fallbacks=rest, say=said.append)
    assert result.path.name == name
    assert result.source == rest[len(refuses) - 1]
    told = [item["precision"] for item in read_engine(result.path).card.refused]
    assert told == ["int8-trt", "fp16"][: len(refuses)]
    assert sum("refuses" in line and "could not find any implementation" in line for line in said) == len(refuses)
    assert sum("falling back to" in line for line in said) == len(refuses)
    assert result.to_dict()["refused"][0]["reason"].startswith("Conv conv0")


def test_a_ladder_that_ends(write: Write, board: Builder) -> None:
    board.refuses = {"int8", "fp16", "fp32"}
    first, *rest = ladder(write)
    before = sorted(p.name for p in first.parent.iterdir())
    with pytest.raises(RefusedError, match="refuses the graph"):
        build_engine(first, "jetson-orin-nano", fallbacks=rest)
    with pytest.raises(RefusedError):
        build_engine(first, "jetson-orin-nano")  # nor is there a fallback that nobody gave
    assert sorted(p.name for p in first.parent.iterdir()) == before


def test_only_a_refusal_falls_back(write: Write, board: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    def out_of_memory(*_: Any, **__: Any) -> None:
        raise BackendError("out of memory")

    monkeypatch.setattr(build.builder, "build", out_of_memory)
    first, *rest = ladder(write)
    said: list[str] = []
    with pytest.raises(BackendError, match="out of memory"):
        build_engine(first, "jetson-orin-nano", fallbacks=rest, say=said.append)
    assert not any("falling back" in line for line in said)


def test_fallbacks_are_the_same_model_with_more_bits(write: Write, board: Builder, spec: ModelSpec) -> None:
    int8, fp16 = write("int8-trt"), write("fp16")
    with pytest.raises(UsageError, match="cannot be a fallback") as caught:
        build_engine(fp16, "jetson-orin-nano", fallbacks=[int8])
    assert caught.value.got == "int8-trt after fp16"
    with pytest.raises(UsageError, match="cannot be a fallback"):
        build_engine(fp16, "jetson-orin-nano", fallbacks=[fp16])
    for other in (
        write("fp32", "other.onnx", checkpoint="d"),
        write("fp32", "other.onnx", model=replace(spec, classes=spec.classes[::-1])),
    ):
        with pytest.raises(ArtifactError, match="not the same model"):
            build_engine(int8, "jetson-orin-nano", fallbacks=[other])
    with pytest.raises(ArtifactError, match="precision that edgekit does not build"):
        build_engine(
            int8, "jetson-orin-nano", fallbacks=[write("bf16", "other.onnx", graph=graphs.convolutions("fp32"))]
        )
    assert board.built == []


def test_a_file_that_did_not_pass_the_gate(write: Write, board: Builder) -> None:
    with pytest.raises(VerificationError, match="did not pass the gate"):
        build_engine(write(passed=False), "jetson-orin-nano")
    with pytest.raises(VerificationError):
        build_engine(write("fp16"), "jetson-orin-nano", fallbacks=[write(passed=False)])


def test_lint_comes_first(write: Write, board: Builder) -> None:
    """uint8 with zero point 0 builds, and cuts off half of the range: nobody but lint would say a word."""
    graph = graphs.parsed(
        "(float[2,3] x) => (float[2,3] y) <float s = {0.1}, uint8 z = {0}>"
        "{ q = QuantizeLinear(x, s, z) y = DequantizeLinear(q, s, z) }"
    )
    with pytest.raises(ArtifactError, match="lint rule uint8-zero-point-zero") as caught:
        build_engine(write(graph=graph), "jetson-orin-nano")
    assert "QuantizeLinear q is uint8" in str(caught.value.got)
    assert "above 127" in str(caught.value.expected)
    assert "int8-trt" in str(caught.value.fix)
    assert board.built == []


def test_a_refusal_in_the_words_of_lint(write: Write) -> None:
    """A rule that only warns: the library's reason comes after what we know about the node."""
    graph = graphs.parsed("(float[1,9] x, int64[1] k) => (float[M,9] y, int64[M,9] i) { y, i = TopK(x, k) }")
    graph.graph.node[0].name = "decode.topk"
    from edgekit.artifacts.onnx_file import read_onnx

    artifact = read_onnx(write(graph=graph))
    library = Library("tensorrt", type("tensorrt", (), {"__version__": "10.3.0"}), None)
    error = in_lint_words(RefusedError(library, "decode.topk", "TopK", "K must be a constant"), artifact)
    assert str(error.got) == "K of TopK decode.topk is k, not a constant (K must be a constant)"
    assert "torch.topk" in str(error.fix)
    other = in_lint_words(RefusedError(library, "elsewhere", "Conv", "no"), artifact)
    assert str(other.got) == "Conv elsewhere: no"


def test_a_refused_build_speaks_the_words_of_lint(write: Write, board: Builder) -> None:
    graph = graphs.parsed(
        "(float[N,2,8,8] x) => (float[N,2,8,8] y) <float[2] one = {1, 1}, float[2] nought = {0, 0}>"
        "{ y = BatchNormalization(x, one, nought, nought, one) }"
    )
    graph.graph.node[0].name = "conv0"  # the node that this board refuses; lint only warns of it
    board.refuses = {"fp32"}
    with pytest.raises(RefusedError) as caught:
        build_engine(write(graph=graph), "jetson-orin-nano")
    assert "follows no layer that it could be folded into (could not find any" in str(caught.value.got)
    assert "directly after a convolution" in str(caught.value.fix)


def test_an_engine_that_is_there_is_kept(write: Write, board: Builder) -> None:
    path = write()
    first = build_engine(path, "jetson-orin-nano")
    said: list[str] = []
    again = build_engine(path, "jetson-orin-nano", say=said.append)
    assert (first.reused, again.reused) == (False, True)
    assert len(board.built) == board.proofs == 1
    assert "is there already" in said[0]
    assert again.card == first.card
    build_engine(path, "jetson-orin-nano", force=True)
    assert len(board.built) == 2


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"batch": Batch(1, 2, 4)}, "batch [1, 1, 4]"),
        ({"workspace_mib": 64}, "workspace_mib 1024"),
        ({"version": "10.3.1"}, "TensorRT 10.3.0"),
        ({"graph": True}, "ONNX"),
    ],
)
def test_an_engine_that_was_built_otherwise_is_not_replaced_unasked(
    write: Write, board: Builder, change: dict[str, Any], what: str
) -> None:
    made = build_engine(write(), "jetson-orin-nano")
    if "version" in change:
        board.library.module.__version__ = change.pop("version")
    path = write(checkpoint="new") if change.pop("graph", False) else made.source
    with pytest.raises(OutputError, match="was built with other files or options") as caught:
        build_engine(path, "jetson-orin-nano", **change)
    assert what in str(caught.value.got)
    assert "--force" in str(caught.value.fix)
    assert read_engine(made.path).card == made.card
    new = build_engine(path, "jetson-orin-nano", force=True, **change)
    assert read_engine(new.path).card == new.card != made.card


@pytest.mark.parametrize("left", ["plan", "sidecar"])
def test_half_of_an_engine_is_not_replaced_unasked(write: Write, board: Builder, left: str) -> None:
    made = build_engine(write(), "jetson-orin-nano")
    (sidecar_of(made.path) if left == "plan" else made.path).unlink()
    with pytest.raises(OutputError, match="cannot be used"):
        build_engine(made.source, "jetson-orin-nano")
    assert not build_engine(made.source, "jetson-orin-nano", force=True).reused
    read_engine(made.path)


def test_convolutions_that_did_not_become_int8_are_said(write: Write, board: Builder) -> None:
    board.layers = (EngineLayer("conv0", "correlation", frozenset({"Int8"}), ("conv0",)),)
    said: list[str] = []
    card = build_engine(write("int8-trt"), "jetson-orin-nano", say=said.append).card
    assert card.layers == {"convolutions": 2, "quantized": 2, "int8": 1, "not_int8": ["conv1"]}
    assert any("1 of 2 convolutions" in line and "conv1" in line for line in said)


def test_a_machine_that_is_not_the_target(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    board = Builder(monkeypatch, sm="8.9")
    with pytest.raises(UsageError, match="This machine is not a jetson-orin-nano") as caught:
        build_engine(write(), "jetson-orin-nano")
    assert caught.value.got == "Orin Nano, SM 8.9"
    assert board.built == []


def test_targets_and_options_that_do_not_go_together(write: Write) -> None:
    path = write()
    with pytest.raises(UsageError, match="x86-cpu runs the ONNX itself"):
        build_engine(path, "x86-cpu")
    for options in ({"cpu_only": True}, {"sms": ["8.9"]}):
        with pytest.raises(UsageError, match="for the GPU that it runs on"):
            build_engine(path, "jetson-orin-nano", **options)
    with pytest.raises(UsageError, match="--sm does not take this value"):
        build_engine(path, "rtx-ada", sms=["sm89"], cpu_only=True)


def test_a_target_may_ask_for_compatibility_and_a_dla(write: Write, board: Builder) -> None:
    nano = load_target("jetson-orin-nano")
    table = EngineTable(sms=("8.7",), hardware="same-sm", version_compatible=True, dla=0, batch=(2, 2, 2), level=3)
    target = Target(**{**dict(nano), "engine": table})
    result = build_engine(write(), target)
    options = board.built[0][1]
    assert (options.hardware, options.version_compatible, options.dla, options.level) == ("same-sm", True, 0, 3)
    assert result.path.name == "net.fp32.trt10.3-sm87-same-sm-dla0.engine"


def test_a_fixed_batch_takes_no_default(write: Write, board: Builder) -> None:
    graph = graphs.parsed("(float[2,3,8,8] x) => (float[2,3,8,8] y) { y = Relu(x) }")
    build_engine(write(graph=graph), "jetson-orin-nano")
    assert board.built[0][1].batch is None


class Proof:
    """A board whose engine answers as onnxruntime does, until told otherwise."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.world, self.bias = World(), 0.0
        self.world.inputs, self.world.outputs = {"image": ("UINT8", (-1, 48, 64, 3))}, {"logits": ("FLOAT", (-1, 7))}
        self.world.compute = self.compute
        module = make("10.3", self.world)
        library = Library("tensorrt", module, library_module._logger(module))
        for room in (build, tensorrt_):
            monkeypatch.setattr(room, "load_library", lambda name: library)
        for room in (request, tensorrt_):
            monkeypatch.setattr(room, "open_cuda", lambda *_: FakeCuda(self.world))

    def compute(self, feeds: dict[str, Any]) -> dict[str, Any]:
        logits = run_once(self.world.model, feeds)["logits"]
        logits[:, 0] += self.bias
        return {"logits": logits}


def test_an_engine_is_proven_on_the_board(good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    board, said = Proof(monkeypatch), list[str]()
    result = build_engine(good, "jetson-orin-nano", out=tmp_path, say=said.append)
    proof = read_engine(result.path).card.proof
    assert proof["passed"] is True
    assert (proof["pictures"], proof["top1_agreement"], proof["limits"]["max_abs"]) == (16, 1.0, 1e-3)
    assert proof["max_abs"] < 1e-4
    assert len(board.world.names("execute_async_v3")) == 16
    assert any(line.startswith("engine") and line.endswith("ok") for line in said)
    assert board.world.device == {}  # the session is closed
    build_engine(good, "jetson-orin-nano", out=tmp_path)  # proven once
    assert len(board.world.names("execute_async_v3")) == 16


def test_an_engine_that_answers_otherwise_is_rejected(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Any
) -> None:
    board, words = Proof(monkeypatch), ["build", good, "--target", "jetson-orin-nano", "--pictures", 3]
    done = cli(*words, "--out", tmp_path / "right")
    assert done.code == 0, done.text
    assert "answers as its ONNX on 3 pictures" in done.out
    board.bias = 0.01
    tmp_path = tmp_path / "wrong"
    done = cli(*words, "--out", tmp_path)
    assert done.code == 3, done.text
    assert "does not answer as" in done.err
    name = "tiny.fp32.trt10.3-sm87.engine.rejected"
    assert sorted(p.name for p in tmp_path.iterdir()) == [name, f"{name}.json"]
    assert read_engine(tmp_path / name).card.proof["passed"] is False


@pytest.mark.parametrize("bias", [0.0, 0.01])
def test_an_engine_that_came_unproven_is_proven_where_it_runs(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bias: float
) -> None:
    board = Proof(monkeypatch)
    made = build_engine(good, "jetson-orin-nano", out=tmp_path)
    write_engine(made.path, read_engine(made.path).plan, replace(made.card, proof={}), overwrite=True)
    board.bias = bias
    if not bias:
        again = build_engine(good, "jetson-orin-nano", out=tmp_path)
        assert again.reused
        assert read_engine(again.path).card == again.card == made.card
        return
    with pytest.raises(VerificationError):
        build_engine(good, "jetson-orin-nano", out=tmp_path)
    assert not made.path.exists()
    assert made.path.with_name(made.path.name + ".rejected").exists()


def test_a_target_without_limits_for_the_precision(write: Write, board: Builder) -> None:
    nano = load_target("jetson-orin-nano")
    target = Target(**{**dict(nano), "precisions": ("fp32",), "gate": {"fp32": nano.gate["fp32"]}})
    with pytest.raises(UsageError, match="no limits for fp16"):
        build_engine(write("fp16"), target)
    assert board.built == []


@needs_rtx
@pytest.mark.parametrize("target", ["rtx-ada", "rtx-blackwell"])
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8-trt"])
def test_really_built_without_a_gpu(write: Write, target: str, precision: str, tmp_path: Path) -> None:
    shares: list[float] = []
    result = build_engine(
        write(precision), target, cpu_only=True, out=tmp_path / "new",
        report=lambda share, phase: shares.append(share),
    )  # fmt: skip
    engine = read_engine(result.path)
    version = ".".join(load_library("tensorrt_rtx").version.split(".")[:2])
    sm = {"rtx-ada": "89", "rtx-blackwell": "120"}[target]
    assert result.path.name == f"net.{precision[:4]}.rtx{version}-sm{sm}.engine"
    assert engine.card.built_on.gpu == ""
    assert engine.card.proof == {}  # nothing ran, and it says so
    assert engine.card.layers["int8"] == (2 if precision == "int8-trt" else 0)
    assert shares[-1] > 0.9
    assert build_engine(result.source, target, cpu_only=True, out=tmp_path / "new").reused


@needs_rtx
def test_interrupted_it_leaves_nothing(write: Write, tmp_path: Path) -> None:
    def interrupt(share: float, phase: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_engine(write(), "rtx-ada", cpu_only=True, out=tmp_path / "new", report=interrupt)
    assert not (tmp_path / "new").exists()
