"""Shipped targets load; a wrong one says which key, what it had and what was meant."""

from pathlib import Path

import pytest

from edgekit.config.keys import nearest
from edgekit.config.target import Target, load_target, parse_target, target_names
from edgekit.errors import UsageError

GOOD = """
name = "mine"
description = "a board"
opset = 20
runtimes = ["onnxruntime"]
[runtime]
threads = 2
[gate.fp32]
max_abs = 1e-3
top1_agreement = 1.0
"""


@pytest.mark.parametrize("name", target_names())
def test_a_shipped_target_loads_and_says_its_own_name(name: str) -> None:
    target = load_target(name)
    assert target.name == name
    assert target.description
    assert set(target.precisions) <= set(target.gate)


def test_the_boards_are_shipped() -> None:
    assert {
        "x86-cpu",
        "x86-openvino",
        "arm-cpu",
        "jetson-orin-nano",
        "jetson-orin-nx",
        "jetson-agx-orin",
        "jetson-thor",
        "rtx-ada",
        "rtx-blackwell",
    } <= set(target_names())
    assert load_target("jetson-orin-nano").runtimes[0] == "tensorrt"


def test_ones_own_file_is_read_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD)
    target = load_target(str(path))
    assert (target.name, target.opset, target.runtime.threads) == ("mine", 20, 2)
    assert target.runtime.provider == "cpu"
    assert target.gate["fp32"].max_abs == 1e-3


def test_a_target_cannot_be_changed() -> None:
    with pytest.raises(Exception, match="frozen"):
        load_target("x86-cpu").opset = 18  # type: ignore[misc]


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        load_target("x86_cpu")
    assert caught.value.fix == "did you mean x86-cpu?"
    assert "jetson-orin-nano" in str(caught.value.expected)
    with pytest.raises(UsageError) as caught:
        load_target("zzz")
    assert caught.value.fix is None


@pytest.mark.parametrize(
    ("old", "new", "got", "fix"),
    [
        ("opset = 20", "opset = 20\nopsett = 3", "unknown key opsett", "did you mean opset?"),
        ("threads = 2", "thread = 2", "unknown key runtime.thread", "did you mean threads?"),
        ("max_abs = 1e-3", "max_abs = 1e-3\nmaxabs = 1", "unknown key gate.fp32.maxabs", "did you mean max_abs?"),
        ("opset = 20", "opset = 20\nzzz = 3", "unknown key zzz", "remove zzz"),
    ],
)
def test_an_unknown_key_names_the_nearest(old: str, new: str, got: str, fix: str) -> None:
    with pytest.raises(UsageError, match="^mine is not a target") as caught:
        parse_target(GOOD.replace(old, new), "mine")
    assert (caught.value.got, caught.value.fix) == (got, fix)


@pytest.mark.parametrize(
    ("old", "new", "got"),
    [
        ("opset = 20", "opset = 17", "opset = 17"),
        ("opset = 20", "opset = 26", "opset = 26"),
        ("opset = 20", "opset = 'x'", "opset = 'x'"),
        ("opset = 20", "", "no opset"),
        ("threads = 2", "threads = -1", "runtime.threads = -1"),
        ("threads = 2", "provider = 'rocm'", "runtime.provider = 'rocm'"),
        ("['onnxruntime']".replace("'", '"'), "[]", "runtimes = []"),
        ("max_abs = 1e-3", "max_abs = 0", "gate.fp32.max_abs = 0"),
        ("max_abs = 1e-3", "", "no gate.fp32.max_abs"),
        ("top1_agreement = 1.0", "top1_agreement = 1.01", "gate.fp32.top1_agreement = 1.01"),
        ("[gate.fp32]\nmax_abs = 1e-3\ntop1_agreement = 1.0", "[gate]", "gate = {}"),
    ],
)
def test_a_bad_value_is_refused_by_name(old: str, new: str, got: str) -> None:
    assert old in GOOD
    with pytest.raises(UsageError, match="^mine is not a target") as caught:
        parse_target(GOOD.replace(old, new), "mine")
    assert caught.value.got == got
    assert caught.value.expected


ENGINE = (
    GOOD
    + """
[engine]
sms = ["8.7"]
batch = [1, 2, 4]
"""
)


def test_an_engine_table() -> None:
    engine = parse_target(ENGINE, "mine").engine
    assert engine is not None
    assert (engine.library, engine.sms, engine.batch, engine.dla) == ("tensorrt", ("8.7",), (1, 2, 4), None)
    assert parse_target(GOOD, "mine").engine is None


@pytest.mark.parametrize(
    ("old", "new", "got"),
    [
        ('["8.7"]', "[]", "engine.sms = []"),
        ('["8.7"]', '["sm87"]', "engine.sms = ['sm87']"),
        ("[1, 2, 4]", "[2, 1, 4]", "engine.batch = [2, 1, 4]"),
        ("[1, 2, 4]", "[0, 1, 4]", "engine.batch = [0, 1, 4]"),
        ("[1, 2, 4]", "[1, 4]", "no engine.batch.2"),
        ("batch = ", "workspace_mib = 0\nbatch = ", "engine.workspace_mib = 0"),
        ("batch = ", "library = 'tensorrt_lean'\nbatch = ", "engine.library = 'tensorrt_lean'"),
        ("batch = ", "hardware = 'turing'\nbatch = ", "engine.hardware = 'turing'"),
        ("batch = ", "workspace = 9\nbatch = ", "unknown key engine.workspace"),
    ],
)
def test_a_bad_engine_table_is_refused_by_name(old: str, new: str, got: str) -> None:
    with pytest.raises(UsageError, match="^mine is not a target") as caught:
        parse_target(ENGINE.replace(old, new), "mine")
    assert caught.value.got == got
    if "unknown" in got:
        assert caught.value.fix == "did you mean workspace_mib?"


def test_precisions_need_limits_and_int8_a_scheme() -> None:
    fp16 = GOOD.replace("runtimes", 'precisions = ["fp32", "fp16"]\nruntimes')
    with pytest.raises(UsageError) as caught:
        parse_target(fp16, "mine")
    assert "[gate.fp16]" in str(caught.value.expected)
    limits = "\n[gate.{}]\nmax_abs = 1\ntop1_agreement = 0.9\n"
    assert parse_target(fp16 + limits.format("fp16"), "mine").precisions == ("fp32", "fp16")
    int8 = fp16.replace("fp16", "int8") + limits.format("int8")
    with pytest.raises(UsageError) as caught:
        parse_target(int8, "mine")
    assert "scheme" in str(caught.value.expected)
    assert parse_target(int8.replace("opset", 'scheme = "int8-x86"\nopset'), "mine").scheme == "int8-x86"


@pytest.mark.parametrize("name", target_names())
def test_limits_loosen_with_fewer_bits_and_schemes_fit_the_runtime(name: str) -> None:
    target = load_target(name)
    assert target.gate["fp16"].top1_agreement >= 0.998
    assert target.gate["int8"].top1_agreement >= 0.96
    figures = [
        (g.max_abs, -g.top1_agreement, -g.boxes_matched) for g in (target.gate[p] for p in ("fp32", "fp16", "int8"))
    ]
    assert all(sorted(column) == list(column) for column in zip(*figures, strict=True))
    wanted = "int8-trt" if "tensorrt" in target.runtimes else "int8-arm" if name == "arm-cpu" else "int8-x86"
    assert target.scheme == wanted
    assert (target.engine is not None) == ("tensorrt" in target.runtimes)
    if target.engine is not None:
        assert target.engine.library == ("tensorrt_rtx" if name.startswith("rtx-") else "tensorrt")


def test_a_precision_that_is_not_known_is_refused() -> None:
    with pytest.raises(UsageError, match="fp7"):
        parse_target(GOOD.replace("gate.fp32", "gate.fp7"), "mine")


def test_files_that_are_no_toml(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="^mine is not TOML"):
        parse_target("name = ", "mine")
    with pytest.raises(UsageError, match="cannot be read as a target"):
        load_target(str(tmp_path / "absent.toml"))
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="cannot be read"):
        load_target(str(binary))


def test_nearest_suggests_only_what_is_close() -> None:
    assert nearest("oopset", tuple(Target.model_fields)) == "did you mean opset?"
    assert nearest("zzz", tuple(Target.model_fields)) is None
