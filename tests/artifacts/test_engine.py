"""Engine files: sidecar, key, names, and every way in which a plan is refused before a library sees it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgekit.artifacts import engine as engine_module
from edgekit.artifacts.engine import (
    Card,
    Engine,
    changes,
    differences,
    read_engine,
    require_fit,
    sidecar_of,
    write_engine,
)
from edgekit.artifacts.engine_key import Batch, BuildOptions, Place, engine_key, engine_name
from edgekit.artifacts.metadata import Lineage, Metadata
from edgekit.errors import ArtifactError, OutputError, UsageError
from edgekit.spec import ModelSpec, digest

PLAN = b"\x00native code\xff" * 50
NANO = Place("tensorrt", "10.3.0", "8.7", "Orin", "12.6", "36.4.3", "JetPack 6.2")
RTX = Place("tensorrt_rtx", "1.7.1.116")


@pytest.fixture
def card(spec: ModelSpec) -> Card:
    return Card(
        plan_sha256=hashlib.sha256(PLAN).hexdigest(),
        plan_bytes=len(PLAN),
        onnx_sha256="ab" * 32,
        onnx_name="hornet.fp16.onnx",
        target="jetson-orin-nano",
        built_on=NANO,
        options=BuildOptions("tensorrt", ("8.7",), Batch(1, 1, 4), workspace_mib=1024),
        profiles={"image": [[1, 48, 64, 3], [1, 48, 64, 3], [4, 48, 64, 3]]},
        metadata=Metadata(spec, Lineage("a", "b", "c"), "uint8", "fp16", "x86-cpu", {"onnx": "1"}, {"passed": True}),
        layers={"convolutions": 20, "quantized": 0, "int8": 0, "not_int8": []},
        refused=({"onnx": "hornet.int8-trt.onnx", "precision": "int8-trt", "reason": "no kernel"},),
    )


@pytest.fixture
def path(tmp_path: Path, card: Card) -> Path:
    path = tmp_path / "hornet.fp16.trt10.3-sm87.engine"
    write_engine(path, PLAN, card)
    return path


def test_what_is_written_is_what_is_read(path: Path, card: Card) -> None:
    assert path.read_bytes() == PLAN  # nothing around it: trtexec --loadEngine takes the file as it is
    assert read_engine(path) == Engine(path, PLAN, card)
    assert [p.name for p in sorted(path.parent.iterdir())] == [path.name, path.name + ".json"]
    content = json.loads(sidecar_of(path).read_text())
    for place in ("gpu", "sm", "version", "cuda", "jetpack", "l4t"):
        assert content["built_on"][place] == getattr(NANO, place)
    assert content["metadata"]["verification"] == {"passed": True}
    assert content["options"]["batch"] == [1, 1, 4]


@pytest.mark.parametrize(
    ("onnx", "precision", "version", "options", "name"),
    [
        ("hornet.onnx", "fp32", "10.3.0", {}, "hornet.fp32.trt10.3-sm87.engine"),
        ("hornet.fp16.onnx", "fp16", "10.16.2.10", {}, "hornet.fp16.trt10.16-sm87.engine"),
        ("hornet.int8-trt.onnx", "int8-trt", "11.4.1", {}, "hornet.int8.trt11.4-sm87.engine"),
        ("a.b.int8.onnx", "int8", "10.3.0", {"dla": 0}, "a.b.int8.trt10.3-sm87-dla0.engine"),
        ("h.onnx", "fp32", "10.3.0", {"hardware": "ampere-plus"}, "h.fp32.trt10.3-sm87-ampere-plus.engine"),
        (
            "h.onnx",
            "fp32",
            "1.7.1",
            {"library": "tensorrt_rtx", "sms": ("8.9", "12.0")},
            "h.fp32.rtx1.7-sm89-120.engine",
        ),
    ],
)
def test_names(onnx: str, precision: str, version: str, options: dict[str, Any], name: str) -> None:
    chosen = BuildOptions(**{"library": "tensorrt", "sms": ("8.7",), **options})
    assert engine_name(Path("folder") / onnx, precision, version, chosen) == name


def test_everything_that_decides_a_plan_is_in_the_key() -> None:
    base = BuildOptions("tensorrt", ("8.7",), Batch(1, 1, 4))
    others: dict[str, Any] = {
        "library": "tensorrt_rtx", "sms": ("8.9",), "batch": Batch(1, 2, 4), "workspace_mib": 1, "hardware": "same-sm",
        "version_compatible": True, "dla": 0, "level": 5,
    }  # fmt: skip
    assert set(others) == set(BuildOptions.__dataclass_fields__)
    keys = {engine_key("a", "10.3.0", replace(base, **{name: value})) for name, value in others.items()}
    keys |= {engine_key("a", "10.3.0", base), engine_key("b", "10.3.0", base), engine_key("a", "10.3.1", base)}
    assert len(keys) == len(others) + 3
    assert engine_key("a", "10.3.0", BuildOptions.from_dict(json.loads(json.dumps(base.to_dict())))) in keys


@pytest.mark.parametrize("text", ["", "0", "1:2", "2:1:4", "1:5:4", "a", "1:2:3:4", "-1:1:2", "1::2", "²"])
def test_batches_that_make_no_sense(text: str) -> None:
    with pytest.raises(UsageError, match="--batch") as caught:
        Batch.parse(text)
    assert caught.value.got == text


def test_batches() -> None:
    assert Batch.parse("1:4:8") == (1, 4, 8)
    assert Batch.parse("3") == (3, 3, 3)
    assert str(Batch(1, 4, 8)) == "1:4:8"


def spoil_plan(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(bytes(data))


def edit(change: Callable[[dict[str, Any]], Any], *, sign: bool = False) -> Callable[[Path], None]:
    """Changes the sidecar; `sign` gives it the digest that fits, as a careless script would."""

    def do(path: Path) -> None:
        content = json.loads(sidecar_of(path).read_text())
        content.pop("digest") if sign else None
        change(content)
        if sign:
            content["digest"] = digest(content)
        sidecar_of(path).write_text(json.dumps(content))

    return do


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda p: sidecar_of(p).unlink(), "engine.json cannot be read"),
        (lambda p: p.unlink(), "sm87.engine cannot be read"),
        (lambda p: p.write_bytes(PLAN[:-1]), "it is cut off"),
        (lambda p: p.write_bytes(b""), "it is cut off"),
        (lambda p: p.write_bytes(PLAN + b"x"), "not the plan that its sidecar describes"),
        (spoil_plan, "not the plan that its sidecar describes"),
        (lambda p: sidecar_of(p).write_text(""), "cannot be used"),
        (lambda p: sidecar_of(p).write_text("[1]"), "cannot be used"),
        (lambda p: sidecar_of(p).write_bytes(b"\xff\xfe"), "cannot be used"),
        (lambda p: sidecar_of(p).write_text(sidecar_of(p).read_text()[:-30]), "cannot be used"),
        (edit(lambda c: c["built_on"].update(sm="8.9")), "changed after it was written"),
        (edit(lambda c: c.update(plan_sha256="0" * 64)), "changed after it was written"),
        (edit(lambda c: c.pop("digest")), "changed after it was written"),
        (edit(lambda c: c.update(format=2), sign=True), "Another format version"),
        (edit(lambda c: c.pop("options"), sign=True), "no 'options'"),
        (edit(lambda c: c["options"].update(sms=["8.9"]), sign=True), "key does not follow"),
        (edit(lambda c: c["built_on"].update(version="10.4.0"), sign=True), "key does not follow"),
        (edit(lambda c: c["options"].update(calibrator="x"), sign=True), "calibrator"),
        (edit(lambda c: c["metadata"].update(precision=None, extra=1), sign=True), "unknown keys"),
        (edit(lambda c: c["metadata"]["model"]["preprocess"].update(color="bgr"), sign=True), "preprocessing"),
    ],
)
def test_a_harmed_engine_is_refused(path: Path, harm: Callable[[Path], Any], says: str) -> None:
    harm(path)
    with pytest.raises(ArtifactError) as caught:
        read_engine(path)
    error = caught.value
    assert says in str(error)
    assert error.exit_code == 5
    assert error.got
    assert error.expected
    assert "edgekit build hornet" in str(error.fix)


def test_two_engines_cannot_swap_their_sidecars(path: Path, card: Card) -> None:
    other = path.with_name("other.engine")
    plan = PLAN[::-1]
    write_engine(other, plan, replace(card, plan_sha256=hashlib.sha256(plan).hexdigest()))
    sidecar_of(other).replace(sidecar_of(path))
    with pytest.raises(ArtifactError, match="not the plan") as caught:
        read_engine(path)
    assert card.plan_sha256[:12] in str(caught.value.got)


@pytest.mark.parametrize(
    ("place", "what"),
    [
        (replace(NANO, sm="8.9", gpu="RTX 4090"), ["SM"]),
        (replace(NANO, version="10.16.2"), ["TensorRT"]),
        (replace(NANO, version="10.3.0.26"), ["TensorRT"]),
        (replace(NANO, version="10.2.0", sm="11.0"), ["TensorRT", "SM"]),
        (replace(RTX, sm="8.7"), ["library"]),
        (replace(NANO, gpu="Orin with other cores", cuda="12.9", l4t="36.5"), []),
    ],
)
def test_another_place(path: Path, place: Place, what: list[str]) -> None:
    engine = read_engine(path)
    assert [d.what for d in differences(engine.card, place)] == what
    if not what:
        require_fit(engine, place)
        return
    with pytest.raises(ArtifactError, match="built for another machine") as caught:
        require_fit(engine, place)
    for word in what:
        assert word in str(caught.value.got)
        assert word in str(caught.value.expected)
    command = "edgekit build hornet.fp16.onnx --target jetson-orin-nano --batch 1:1:4 --workspace 1024 --force"
    assert str(caught.value.fix).startswith(command)


def test_compatible_plans_go_further_and_no_further(card: Card) -> None:
    def fits(card: Card, place: Place, **options: bool) -> bool:
        return not differences(card, place, **options)

    ampere = replace(card, options=replace(card.options, sms=("8.6",), hardware="ampere-plus"))
    assert fits(ampere, replace(NANO, sm="8.9"))
    assert fits(ampere, replace(NANO, sm="12.0"))  # as numbers: 12 is more than 8
    assert fits(ampere, replace(NANO, sm="8.0"))
    assert not fits(ampere, replace(NANO, sm="7.5"))
    movable = replace(card, options=replace(card.options, version_compatible=True))
    newer, older = replace(NANO, version="10.16.1"), replace(NANO, version="10.2.9")
    assert fits(movable, newer, lean_runtime=True)
    assert not fits(movable, newer)
    assert not fits(movable, older, lean_runtime=True)
    assert not fits(card, newer, lean_runtime=True)
    several = replace(card, built_on=RTX, options=BuildOptions("tensorrt_rtx", ("8.9", "12.0")))
    assert fits(several, replace(RTX, sm="12.0"))
    assert not fits(several, replace(RTX, sm="8.6"))
    assert not fits(several, replace(RTX, sm=""))


def test_changes_name_what_a_new_build_would_have_otherwise(card: Card) -> None:
    assert changes(card, card.onnx_sha256, "10.3.0", card.options) == []
    new = replace(card.options, batch=Batch(1, 4, 8), workspace_mib=None)
    found = changes(card, "cd" * 32, "10.16.0", new)
    assert [d.what for d in found] == ["ONNX", "TensorRT", "batch", "workspace_mib"]
    assert found[2] == ("batch", "[1, 1, 4]", "[1, 4, 8]")


def test_nothing_is_replaced_unasked(path: Path, card: Card) -> None:
    before = path.read_bytes(), sidecar_of(path).read_bytes()
    with pytest.raises(OutputError, match="exists already"):
        write_engine(path, b"new", card)
    path.unlink()
    with pytest.raises(OutputError, match=r"json exists already"):
        write_engine(path, b"new", card)
    assert not path.exists()
    path.write_bytes(before[0])
    write_engine(path, PLAN, replace(card, target="jetson-orin-nx"), overwrite=True)
    assert read_engine(path).card.target == "jetson-orin-nx"


@pytest.mark.parametrize("error", [OutputError("the disk is full"), KeyboardInterrupt()])
@pytest.mark.parametrize("there_before", [False, True])
def test_stopped_between_the_two_files(
    tmp_path: Path, card: Card, monkeypatch: pytest.MonkeyPatch, error: BaseException, there_before: bool
) -> None:
    """Whatever is left, it is not a plan that loads."""
    path = tmp_path / "a.engine"
    if there_before:
        write_engine(path, PLAN, card)
    plan, real = PLAN[::-1], engine_module.write_bytes

    def stops(file: Path, data: bytes, **options: bool) -> None:
        if file.suffix == ".json":
            raise error
        real(file, data, **options)

    monkeypatch.setattr(engine_module, "write_bytes", stops)
    with pytest.raises(type(error)):
        write_engine(path, plan, replace(card, plan_sha256=hashlib.sha256(plan).hexdigest()), overwrite=True)
    assert not path.exists()
    with pytest.raises(ArtifactError):
        read_engine(path)


def test_stopped_while_the_plan_is_written(path: Path, card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the old engine is still whole."""

    def stops(file: Path, data: bytes, **options: bool) -> None:
        raise OutputError("the disk is full")

    monkeypatch.setattr(engine_module, "write_bytes", stops)
    with pytest.raises(OutputError):
        write_engine(path, b"new", card, overwrite=True)
    assert read_engine(path).card == card
