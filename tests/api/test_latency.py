"""Any ONNX is timed without being adopted: fed by what its inputs say, refused where it is unsafe, and nothing more."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest

import edgekit
from edgekit.benchmark.made_inputs import OTHER, MadeInput, made_inputs
from edgekit.benchmark.measure import MeasurementPlan
from edgekit.errors import ArtifactError, UsageError
from edgekit.spec import TensorSpec
from tests.conftest import Cli

PLAN = MeasurementPlan(iterations=4, turns=2, warmup=0.01)
QUICK = ("--iterations", 4, "--turns", 2, "--warmup", 0.01)
ROWS, MAPS = (TensorSpec("y", "float32", ("N", 10)),), (TensorSpec("y", "float32", ("N", 8400, 85)),)


def saved(folder: Path, graph: str, name: str = "net.onnx") -> Path:
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]> g {graph}')
    onnx.save(model, folder / name)
    return folder / name


@pytest.fixture
def pooled(tmp_path: Path) -> Path:
    """Half the size of any picture, with a shape on the output that is not true: exporters write such."""
    return saved(tmp_path, """(float[batch, 3, h, w] x) => (float[batch, 3, h, w] y) {
        y = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (x) }""")  # fmt: skip


@pytest.mark.parametrize(
    ("spec", "outputs", "asked", "shape", "chosen", "filled"),
    [
        (("float32", (1, 3, 416, 416)), MAPS, {}, (1, 3, 416, 416), "", "made pictures, 0 to 1"),
        (("float32", ("N", 3, "h", "w")), MAPS, {}, (1, 3, 640, 640), "batch, size", "made pictures, 0 to 1"),
        (("float32", ("N", 3, "h", "w")), ROWS, {}, (1, 3, 224, 224), "batch, size", "made pictures, 0 to 1"),
        (("float16", ("?", 3, "?", "?")), MAPS, {"batch": 2, "size": (96, 128)}, (2, 3, 96, 128), "batch, size",
         "made pictures, 0 to 1"),
        (("uint8", (-1, -1, -1, 3)), MAPS, {"size": (32, 48)}, (1, 32, 48, 3), "batch, size", "made pictures"),
        (("float32", ("N", "c", 64, 64)), MAPS, {}, (1, 3, 64, 64), "batch, channels", "made pictures, 0 to 1"),
        (("float32", (3, 64, 32)), MAPS, {}, (3, 64, 32), "", "made pictures, 0 to 1"),
        (("float32", (4, 1, 28, 28)), ROWS, {}, (4, 1, 28, 28), "", "made pictures, 0 to 1"),
        (("int64", ("N", "words")), ROWS, {}, (1, OTHER), "batch, dimension 1", "ones"),
        (("float32", ("N", 16)), ROWS, {"batch": 3}, (3, 16), "batch", "normal numbers"),
        (("bool", (2, 2)), ROWS, {}, (2, 2), "", "true"),
        (("float32", ()), ROWS, {}, (), "", "normal numbers"),
    ],
)  # fmt: skip
def test_inputs_are_as_the_file_says(
    spec: tuple[str, tuple[int | str, ...]],
    outputs: tuple[TensorSpec, ...],
    asked: dict[str, int | tuple[int, int]],
    shape: tuple[int, ...],
    chosen: str,
    filled: str,
) -> None:
    (made,), feeds = made_inputs([TensorSpec("x", *spec)], outputs, **asked)  # type: ignore[arg-type]
    assert made == MadeInput("x", spec[0], shape, chosen, filled)
    assert all((feed["x"].dtype.name, feed["x"].shape) == (spec[0], shape) for feed in feeds)
    if "pictures" in filled:
        assert 0 <= feeds[0]["x"].min() < feeds[0]["x"].max() <= (1 if "0 to 1" in filled else 255)
        assert not np.array_equal(feeds[0]["x"], feeds[1]["x"])


def test_dimensions_of_one_name_agree() -> None:
    specs = [TensorSpec("image", "float32", ("N", 3, "h", "w")), TensorSpec("scale", "float32", ("N", "h"))]
    made, _ = made_inputs(specs, MAPS, size=(40, 24))
    assert [one.shape for one in made] == [(1, 3, 40, 24), (1, 40)]


@pytest.mark.parametrize(
    ("shape", "asked", "told"),
    [
        ((1, 3, 416, 416), {"batch": 2}, "fixes the batch of x"),
        ((1, 3, 416, 416), {"size": (320, 320)}, "fixes the size of x"),
        (("N", 16), {"size": (320, 320)}, "whose pictures may have any size"),
    ],
)
def test_what_contradicts_the_file_is_refused(
    shape: tuple[int | str, ...], asked: dict[str, int | tuple[int, int]], told: str
) -> None:
    with pytest.raises(UsageError, match=told):
        made_inputs([TensorSpec("x", "float32", shape)], MAPS, **asked)  # type: ignore[arg-type]


def test_an_input_of_no_numbers_or_too_many_is_refused() -> None:
    with pytest.raises(ArtifactError, match="does not feed"):
        made_inputs([TensorSpec("x", "unknown", (1,))], ROWS)
    with pytest.raises(ArtifactError, match="too large"):
        made_inputs([TensorSpec("x", "float32", (1, 3, 16384, 16384))], ROWS)


def test_it_is_timed_on_both_runtimes_whatever_its_outputs_claim(pooled: Path) -> None:
    told: list[str] = []
    found = edgekit.latency(
        pooled, size=(48, 64), backends=("onnxruntime", "openvino"), batch=(1, 2), plan=PLAN, say=told.append
    )
    assert found.passed, found.lines()
    assert [(row.case.backend, row.case.batch, row.inputs[0].shape) for row in found.rows] == [
        (backend, n, (n, 3, 48, 64)) for backend in ("onnxruntime", "openvino") for n in (1, 2)
    ]
    for row in found.rows:
        assert row.timing is not None
        of = row.timing.stages["inference"]
        assert (of.n, row.timing.stages["end_to_end"].p50) == (4, of.p50)  # there is nothing else
        assert row.timing.stages["decode"].max == row.timing.stages["post"].max == 0
        assert of.p50 > 0
    assert any("leaves open: batch, size" in line for line in told)
    assert "not verified" in found.lines()[-1]


def test_an_output_without_a_shape_and_dimensions_without_names(tmp_path: Path) -> None:
    file = saved(tmp_path, "(float[?, 3, ?, ?] x) => (float[] y) { y = Relu (x) }")
    found = edgekit.latency(file, size=(16, 24), backends=("onnxruntime", "openvino"), plan=PLAN)
    assert found.passed, found.lines()
    assert {row.inputs[0].shape for row in found.rows} == {(1, 3, 16, 24)}


def test_what_a_runtime_refuses_is_a_row_and_the_others_go_on(tmp_path: Path, pooled: Path) -> None:
    odd = saved(tmp_path, """(float[1, 4] x, int64[1, 4] i) => (float[1, 4] y) {
        y = GatherElements <axis = 1> (x, i) }""", "odd.onnx")  # fmt: skip
    broken = saved(tmp_path, """(float[1, 4] x, int64[1, 1] i) => (float[1, 1] y) <int64[1] far = {9}> {
        j = Mul (i, far) y = GatherElements <axis = 1> (x, j) }""", "broken.onnx")  # fmt: skip
    found = edgekit.latency([odd, broken, pooled], plan=PLAN)
    assert [row.failure is None for row in found.rows] == [True, False, True]
    failure = found.rows[1].failure
    assert failure is not None
    assert "cannot run the model on inputs that were made for it" in failure.what
    assert not found.passed
    assert any(line.startswith("failed: broken.onnx") for line in found.lines())


def test_the_command_prints_and_writes_nothing(
    cli: Cli, pooled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    done = cli("bench", pooled, *QUICK, "--size", "48x64", "--backend", "openvino", "--streams", 2)
    assert done.code == 0, done.text
    assert "float32 [1, 3, 48, 64]" in done.out
    assert "latency only: no accuracy, and not verified. edgekit adopt net.onnx " in done.out
    pasted = shlex.split(done.err.splitlines()[-1].removeprefix("next: "))
    again = cli(*pasted[pasted.index("bench") :])
    assert (again.code, "float32 [1, 3, 48, 64]" in again.out) == (0, True)
    content = json.loads(cli("bench", pooled, *QUICK, "--size", 32, "--format", "json").out)
    (row,) = content["rows"]
    assert (content["verified"], content["accuracy"], row["verified"]) == (False, None, False)
    assert row["inputs"][0]["shape"] == [1, 3, 32, 32]
    assert row["latency_ms"]["n"] == 4
    assert len(row["sha256"]) == 64
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--data", "pictures"), "not what --data asks"),
        (("--layers",), "not what --layers asks"),
        (("--no-cold",), "not what --no-cold asks"),
        (("--out", "there"), "not what --out asks"),
        (("--map", "a=b"), "not what --map asks"),
        (("centernet-tiny",), "not measured beside edgekit's"),
        (("--size", "huge"), "--size is a height and a width"),
        (("--backend", "tflite"), "no such backend"),
    ],
)
def test_what_needs_more_than_the_file_says_is_refused(
    cli: Cli, pooled: Path, more: tuple[str, ...], told: str
) -> None:
    done = cli("bench", pooled, *QUICK, *more)
    assert (done.code, told in done.err) == (2, True), done.text


def test_what_cannot_be_read_leaves_no_report(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.onnx").write_bytes(b"no model at all")
    for name, told in (("broken.onnx", "not an ONNX file, or a broken one"), ("gone.onnx", "cannot be read")):
        done = cli("bench", name, *QUICK)
        assert (done.code, told in done.err) == (5, True), done.text
    assert [path.name for path in tmp_path.iterdir()] == ["broken.onnx"]


def test_size_is_not_for_edgekits_own_files(cli: Cli) -> None:
    done = cli("bench", "centernet-tiny", "--size", 320)
    assert done.code == 2
    assert "--size is for an ONNX from elsewhere" in done.err


def test_unsafe_files_are_refused(cli: Cli, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(64))
    folder = tmp_path / "models"
    folder.mkdir()
    model = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 17]>
        g (float[4, 4] x) => (float[4, 4] y) <float[4, 4] w> { y = Add (x, w) }""")  # fmt: skip
    weight = onnx.numpy_helper.from_array(np.zeros((4, 4), np.float32), "w")
    onnx.external_data_helper.set_external_data(weight, "../secret")
    weight.ClearField("raw_data")
    del model.graph.initializer[:], model.graph.input[1:]
    model.graph.initializer.append(weight)
    (folder / "outside.onnx").write_bytes(model.SerializeToString())
    custom = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 17, "evil" : 1]>
        g (float[4, 4] x) => (float[4, 4] y) { y = evil.Run (x) }""")  # fmt: skip
    (folder / "custom.onnx").write_bytes(custom.SerializeToString())
    for name, told in (("outside", "not below the file's own folder"), ("custom", "Run")):
        done = cli("bench", folder / f"{name}.onnx", *QUICK)
        assert done.code == 5, done.text
        assert told in done.err
