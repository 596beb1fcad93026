"""Options and ONNX files that cannot be used: a clear error, its exit code, no traceback, nothing written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx.external_data_helper import convert_model_to_external_data

from tests.faults.room import Make, Room, assert_told, listing

# -- options ------------------------------------------------------------------------------------------------------


def classes_file(text: bytes) -> Make:
    def make(room: Room) -> list[object]:
        (room / "names.txt").write_bytes(text)
        return ["--classes", room / "names.txt"]

    return make


def target_file(text: str) -> Make:
    def make(room: Room) -> list[object]:
        (room / "board.toml").write_text(text)
        return ["--target", room / "board.toml"]

    return make


def preprocess_file(text: str) -> Make:
    def make(room: Room) -> list[object]:
        (room / "preprocess.toml").write_text(text)
        return ["--preprocess", room / "preprocess.toml"]

    return make


BOARD = """
name = "mine"
description = "a board"
opset = 20
runtimes = ["onnxruntime"]

[gate.fp32]
max_abs = 1e-3
top1_agreement = 1.0
"""
OPTIONS: tuple[tuple[str, Make, int, tuple[str, ...]], ...] = (
    ("no names in the file", classes_file(b""), 2, ("not a list of class names", "no names")),
    ("a name twice", classes_file(b"a\nb\na\n"), 2, ("twice: a",)),
    ("an empty line", classes_file(b"a\n\nb\n"), 2, ("empty line",)),
    ("names that are not text", classes_file(b"\xff\xfe\x00\x01\x02"), 2, ("cannot be read as class names",)),
    ("names that are not there", lambda room: ["--classes", room / "none.txt"], 2, ("none.txt", "No such file")),
    ("unknown target", lambda room: ["--target", "jetson-orin-nanu"], 2, ("did you mean jetson-orin-nano?",)),
    ("target file not there", lambda room: ["--target", room / "none.toml"], 2, ("none.toml",)),
    ("target file not TOML", target_file("opset = = 3"), 2, ("not TOML",)),
    ("unknown key", target_file(BOARD.replace("opset", "opsett")), 2, ("opsett", "did you mean opset?")),
    ("unknown key in a table", target_file(BOARD.replace("max_abs", "maxabs")), 2, ("did you mean max_abs?",)),
    ("value out of range", target_file(BOARD.replace("20", "3")), 2, ("opset = 3", "18")),
    ("unknown key of preprocessing", preprocess_file("colour = 'rgb'"), 2, ("colour", "color")),
    ("wrong value of preprocessing", preprocess_file("color = 'grey'"), 2, ("grey", "rgb")),
    ("data not there", lambda room: ["--data", room / "none"], 1, ("none", "is not there")),
    ("data without pictures", lambda room: ["--data", room.folder], 1, ("holds no pictures",)),
)


@pytest.mark.parametrize(("make", "code", "words"), [c[1:] for c in OPTIONS], ids=[c[0] for c in OPTIONS])
def test_export_refuses_the_option(make: Make, code: int, words: tuple[str, ...], cli: Any, room: Room) -> None:
    options = make(room)
    before = listing(room.folder)
    outcome = cli("export", room.checkpoint, "--out", room / "out", *options)
    assert_told(outcome, code, *words, fix=False)
    assert listing(room.folder) == before


@pytest.mark.parametrize(
    "arguments",
    [("--provider", "cudaa"), ("--threads", "-1"), ("--format", "xml"), ("--topp", "3")],
    ids=lambda a: a[0],
)
def test_options_that_do_not_exist_are_a_usage_error(arguments: tuple[str, str], cli: Any, room: Room) -> None:
    outcome = cli("predict", room.good, room.pictures, *arguments)
    assert outcome.code == 2
    assert arguments[0] in outcome.err or arguments[1] in outcome.err
    assert "Traceback" not in outcome.text


@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_a_provider_that_is_not_there_is_an_error_and_not_the_cpu(provider: str, cli: Any, room: Room) -> None:
    import onnxruntime

    if any(provider in name.lower() for name in onnxruntime.get_available_providers()):
        pytest.skip(f"this onnxruntime has {provider}")
    outcome = cli("predict", room.good, room.pictures, "--provider", provider)
    assert_told(outcome, 5, provider, "onnxruntime-gpu")
    assert outcome.out == ""


# -- ONNX files ---------------------------------------------------------------------------------------------------


def external_data(room: Room) -> Path:
    model = onnx.load(room.good)
    convert_model_to_external_data(model, location="weights.bin")
    onnx.save(model, room / "bad.onnx")
    return room / "bad.onnx"


def external_secret(room: Room) -> Path:
    """A weight that points at a file of the machine."""
    model = onnx.load(room.good)
    tensor = model.graph.initializer[1]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../../etc/passwd")
    (room / "bad.onnx").write_bytes(model.SerializeToString())
    return room / "bad.onnx"


def someone_elses(room: Room) -> Path:
    model = onnx.load(room.good)
    del model.metadata_props[:]
    model.producer_name = "pytorch"
    onnx.save(model, room / "bad.onnx")
    return room / "bad.onnx"


def foreign_operator(room: Room) -> Path:
    model = onnx.load(room.good)
    model.graph.node[5].domain = "com.someone"
    onnx.save(model, room / "bad.onnx")
    return room / "bad.onnx"


def written(data: bytes) -> Callable[[Room], Path]:
    def make(room: Room) -> Path:
        (room / "bad.onnx").write_bytes(data)
        return room / "bad.onnx"

    return make


def cut_onnx(share: float) -> Callable[[Room], Path]:
    return lambda room: room.cut(room.good, share, "bad.onnx")


ONNX: tuple[tuple[str, Callable[[Room], Path], tuple[str, ...]], ...] = (
    ("missing", lambda room: room / "none.onnx", ("none.onnx", "No such file")),
    ("empty", written(b""), ("is empty", "0 bytes")),
    ("text", written(b"not an onnx file\n" * 20), ("bad.onnx",)),
    *(
        (f"cut at {s}", lambda room, s=s: room.cut(room.good, s, "bad.onnx"), ("bad.onnx",))
        for s in (0.001, 0.5, 0.999)
    ),
    ("external data", external_data, ("keeps weights outside the file",)),
    ("external data elsewhere", external_secret, ("keeps weights outside the file",)),
    ("someone else's", someone_elses, ("was not written by edgekit", "pytorch")),
    ("someone else's operator", foreign_operator, ("com.someone",)),
)


@pytest.mark.parametrize("command", ["predict", "eval", "verify"])
@pytest.mark.parametrize(("make", "words"), [c[1:] for c in ONNX], ids=[c[0] for c in ONNX])
def test_an_onnx_file_is_refused(command: str, make: Any, words: tuple[str, ...], cli: Any, room: Room) -> None:
    path = make(room)
    before = listing(room.folder)
    arguments = {
        "predict": (path, room.pictures, "--out", room / "out"),
        "eval": (path, "--data", room.pictures),
        "verify": (room.checkpoint, path, "--data", room.pictures),
    }[command]
    outcome = cli(command, *arguments)
    assert_told(outcome, 5, *words)
    assert outcome.out == ""
    assert listing(room.folder) == before


def test_the_same_commands_take_the_good_file(cli: Any, room: Room) -> None:
    assert cli("predict", room.good, room.pictures).code == 0
    assert cli("verify", room.checkpoint, room.good, "--data", room.pictures).code == 0


def test_a_file_of_another_kind(cli: Any, room: Room) -> None:
    outcome = cli("predict", room.pictures / "0.png", room.pictures)
    assert_told(outcome, 2, "0.png", ".onnx", fix=False)


@pytest.mark.parametrize("arguments", [["predict", "centernet-tiny"], ["eval", "centernet-tiny", "--data"], ["bench"]])
def test_a_path_of_5000_letters(arguments: list[str], cli: Any) -> None:
    outcome = cli(*arguments, "x" * 5000)
    assert "Unexpected" not in outcome.text
    assert outcome.code in (1, 2, 5)
    assert "error: " in outcome.err
    assert len(outcome.err) < 9000
