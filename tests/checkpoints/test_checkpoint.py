"""Checkpoints: edgekit's own survive the disk, foreign ones are understood, contradictions are refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from edgekit.artifacts.onnx_file import file_sha256
from edgekit.checkpoints.checkpoint import (
    Checkpoint,
    load_checkpoint,
    save_checkpoint,
    state_digest,
)
from edgekit.checkpoints.fitting.unwrap import WRAPPERS
from edgekit.checkpoints.foreign import _unique
from edgekit.errors import CheckpointError, OutputError, UsageError
from edgekit.nets.resnet import ResNet
from edgekit.spec import ModelSpec, PreprocessSpec

PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "backbone.", "model.net.")
PREPROCESS = PreprocessSpec(64, 48, "letterbox", None, color="bgr", mean=(0.1, 0.2, 0.3))
CLASSES = ("Biene", "Hornisse ä", "nothing")


def net_of(norm: str = "batch", classes: int = 3) -> ResNet:
    torch.manual_seed(0)
    return ResNet("resnet18", classes, norm)  # type: ignore[arg-type]


def light_of(norm: str = "batch", classes: int = 3) -> dict[str, Tensor]:
    """The keys and shapes of a ResNet-18, each tensor one number: a file of kilobytes."""
    with torch.device("meta"):
        shapes = {k: v.shape for k, v in ResNet("resnet18", classes, norm).state_dict().items()}  # type: ignore[arg-type]
    return {k: torch.tensor(float(i)).expand(shape) for i, (k, shape) in enumerate(shapes.items())}


@pytest.fixture(scope="module")
def light() -> dict[str, Tensor]:
    return light_of()


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return dict(net_of().state_dict())


@pytest.fixture(scope="module")
def spec() -> ModelSpec:
    return ModelSpec("resnet18", CLASSES, PREPROCESS, {"norm": "batch"}, temperature=1.25)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory, state: dict[str, Tensor], spec: ModelSpec) -> Path:
    path = tmp_path_factory.mktemp("own") / "net.pt"
    made = Checkpoint(spec, state, metrics={"top1": 0.9}, recipe={"epochs": 3}, versions={"mine": "1"})
    save_checkpoint(path, made)
    return path


def written(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


def equal(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


# --- edgekit's own


def test_what_is_saved_is_loaded(own: Path, state: dict[str, Tensor], spec: ModelSpec) -> None:
    loaded = load_checkpoint(own)
    assert loaded.spec == spec
    assert equal(loaded.state_dict, state)
    assert (loaded.source, loaded.notes) == ("edgekit", ())
    assert loaded.sha256 == file_sha256(own)
    assert loaded.metrics == {"top1": 0.9}
    assert loaded.recipe == {"epochs": 3}
    assert loaded.versions["mine"] == "1"
    assert {"edgekit", "torch"} <= set(loaded.versions)
    net = loaded.net()
    assert not net.training
    assert equal(net.state_dict(), state)


def test_it_is_tensors_and_plain_data(own: Path) -> None:
    content = torch.load(own, weights_only=True)
    assert content["edgekit"] == 1

    def plain(value: Any) -> bool:
        if isinstance(value, dict):
            return all(map(plain, value.values()))
        if isinstance(value, (list, tuple)):
            return all(map(plain, value))
        return value is None or type(value) in (str, int, float, bool, Tensor)

    assert plain(content)


def test_saving_does_not_replace_unasked(own: Path, state: dict[str, Tensor], spec: ModelSpec) -> None:
    before = own.read_bytes()
    with pytest.raises(OutputError, match="exists already"):
        save_checkpoint(own, Checkpoint(spec, state))
    assert own.read_bytes() == before


def test_a_view_into_a_large_tensor_is_saved_alone(tmp_path: Path, state: dict[str, Tensor], spec: ModelSpec) -> None:
    """torch.save writes the whole storage behind a view."""
    large = torch.zeros(3, 10_000_000)
    views = {k: v for k, v in state.items() if not k.startswith("layer")}
    save_checkpoint(tmp_path / "net.pt", Checkpoint(spec, {**views, "fc.bias": large[:, 0]}))
    assert (tmp_path / "net.pt").stat().st_size < 1_000_000


@pytest.mark.parametrize(
    ("option", "fits"),
    [
        ({"classes": list(CLASSES)}, True),
        ({"preprocess": PREPROCESS}, True),
        ({"classes": CLASSES[::-1]}, False),
        ({"classes": CLASSES[:2]}, False),
        ({"preprocess": replace(PREPROCESS, color="rgb")}, False),
    ],
)
def test_options_that_contradict_the_checkpoint_are_refused(own: Path, option: dict[str, Any], fits: bool) -> None:
    if fits:
        load_checkpoint(own, **option)
        return
    with pytest.raises(UsageError, match="contradict") as caught:
        load_checkpoint(own, **option)
    assert f"--{next(iter(option))}" in str(caught.value.fix)


BROKEN: dict[str, dict[str, Any]] = {
    "another format": {"edgekit": 2},
    "no spec": {"spec": None},
    "no classes": {"spec": {"arch": "resnet18", "preprocess": {}}},
    "a mean that is text": {
        "spec": {"arch": "resnet18", "classes": ["a"], "preprocess": {"mean": ["x", "y", "z"]}},
    },
    "weights that are a list": {"state_dict": [1, 2]},
    "weights that are numbers": {"state_dict": {"fc.weight": 3}},
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_description_is_refused(name: str, own: Path, tmp_path: Path) -> None:
    content = {**torch.load(own, weights_only=True), **BROKEN[name]}
    with pytest.raises(CheckpointError, match="format|broken description|without weights"):
        load_checkpoint(written(tmp_path / "net.pt", content))


def test_weights_of_another_net_are_refused_when_the_net_is_made(state: dict[str, Tensor], spec: ModelSpec) -> None:
    for wrong, got in (
        (Checkpoint(replace(spec, arch="resnet34"), state), "Missing key"),
        (Checkpoint(replace(spec, classes=("a", "b")), state), "size mismatch for fc"),
        (Checkpoint(spec, {k: v for k, v in state.items() if k != "bn1.bias"}), "bn1.bias"),
        (Checkpoint(spec, {**state, "more": torch.zeros(1)}), "more"),
    ):
        with pytest.raises(CheckpointError, match="do not fit") as caught:
            wrong.net()
        assert got in str(caught.value.got)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_refused_by_name(
    value: float, state: dict[str, Tensor], spec: ModelSpec, tmp_path: Path
) -> None:
    bad = {**state, "bn1.running_var": state["bn1.running_var"].clone()}
    bad["bn1.running_var"][5] = value
    save_checkpoint(tmp_path / "own.pt", Checkpoint(spec, bad))
    for path in (tmp_path / "own.pt", written(tmp_path / "plain.pt", bad)):
        with pytest.raises(CheckpointError, match="not numbers") as caught:
            load_checkpoint(path, classes=CLASSES)
        assert caught.value.got == "1 of 64 values of bn1.running_var are NaN or infinite"


def test_half_precision_weights_become_a_float32_net(state: dict[str, Tensor], spec: ModelSpec) -> None:
    half = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
    net = Checkpoint(spec, half).net()
    assert all(p.dtype == torch.float32 for p in net.parameters())


# --- foreign ones


def loaded_plain(path: Path, content: object, **options: Any) -> Checkpoint:
    return load_checkpoint(written(path, content), **{"classes": CLASSES, **options})


def test_a_plain_state_dict_is_understood(state: dict[str, Tensor], tmp_path: Path) -> None:
    loaded = loaded_plain(tmp_path / "net.pth", state)
    assert loaded.spec == ModelSpec("resnet18", CLASSES, PreprocessSpec(), {"norm": "batch"})
    assert loaded.source == "state dict"
    assert equal(loaded.net().state_dict(), state)
    assert any("preprocessing: a guess: torchvision's" in note for note in loaded.notes)
    told = loaded_plain(tmp_path / "net.pth", state, preprocess=PREPROCESS)
    assert told.spec.preprocess == PREPROCESS
    assert not any("preprocessing" in note for note in told.notes)


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_wrappers_are_opened(wrapper: str, light: dict[str, Tensor], tmp_path: Path) -> None:
    training = {wrapper: light, "epoch": 3, "optimizer": {"lr": 0.1}}
    assert equal(loaded_plain(tmp_path / "net.pth", training).state_dict, light)


def test_averaged_weights_are_preferred(light: dict[str, Tensor], tmp_path: Path) -> None:
    averaged = {k: v + 1 if v.is_floating_point() else v for k, v in light.items()}
    both = {"state_dict": light, "state_dict_ema": averaged}
    assert equal(loaded_plain(tmp_path / "net.pth", both).state_dict, averaged)


@pytest.mark.parametrize("prefix", [*PREFIXES, "module.model.", "_orig_mod.module.", "model._orig_mod.module."])
def test_prefixes_are_taken_off(prefix: str, light: dict[str, Tensor], tmp_path: Path) -> None:
    """`_orig_mod.module.` is what torch.compile of a DistributedDataParallel writes."""
    prefixed = {prefix + k: v for k, v in light.items()}
    assert equal(loaded_plain(tmp_path / "net.pth", prefixed).state_dict, light)


def test_a_prefix_of_some_keys_is_no_prefix(light: dict[str, Tensor], tmp_path: Path) -> None:
    mixed = {k if k == "conv1.weight" else "module." + k: v for k, v in light.items()}
    with pytest.raises(CheckpointError, match="not of a net"):
        loaded_plain(tmp_path / "net.pth", mixed)


def test_safetensors(light: dict[str, Tensor], tmp_path: Path) -> None:
    save_file = pytest.importorskip("safetensors.torch").save_file
    save_file({k: v.contiguous() for k, v in light.items()}, tmp_path / "net.safetensors")
    loaded = load_checkpoint(tmp_path / "net.safetensors", classes=CLASSES)
    assert equal(loaded.state_dict, light)
    assert (loaded.source, loaded.spec.arch) == ("safetensors", "resnet18")


def test_a_thousand_classes_are_imagenets(tmp_path: Path) -> None:
    loaded = load_checkpoint(written(tmp_path / "net.pth", light_of(classes=1000)))
    names = loaded.spec.classes
    assert len(names) == len(set(names)) == 1000
    assert (names[0], names[1], names[999]) == ("tench", "goldfish", "toilet tissue")
    assert any("ImageNet" in note for note in loaded.notes)
    mine = [f"class {i}" for i in range(1000)]
    assert load_checkpoint(tmp_path / "net.pth", classes=mine).spec.classes == tuple(mine)


def test_a_name_that_comes_twice_gets_a_number() -> None:
    """torchvision 0.21 has two cranes and two maillots."""
    assert _unique(["crane", "a", "crane", "crane"]) == ("crane", "a", "crane (2)", "crane (3)")
    assert _unique(["a", "b"]) == ("a", "b")


def test_other_widths_need_names_and_the_right_number_of_them(light: dict[str, Tensor], tmp_path: Path) -> None:
    path = written(tmp_path / "net.pth", light)
    with pytest.raises(CheckpointError, match="does not say what its classes are called") as caught:
        load_checkpoint(path)
    assert "--classes" in str(caught.value.fix)
    with pytest.raises(CheckpointError, match="number of class names") as caught:
        load_checkpoint(path, classes=("a", "b"))
    assert caught.value.got == "2 names"
    assert "3" in str(caught.value.expected)


@pytest.mark.parametrize("norm", ["group", "layer", "instance"])
def test_a_norm_that_the_keys_do_not_tell_is_named(norm: str, tmp_path: Path) -> None:
    path = written(tmp_path / "net.pth", light_of(norm))
    with pytest.raises(CheckpointError, match="which normalization"):
        load_checkpoint(path, classes=CLASSES)
    loaded = load_checkpoint(path, classes=CLASSES, norm=norm)
    assert loaded.spec.arch_args == {"norm": norm}
    loaded.net()
    fallback = ModelSpec("resnet18", CLASSES, PREPROCESS, {"norm": norm})
    assert load_checkpoint(path, fallback=fallback).spec == fallback


def test_a_fallback_gives_way_to_what_is_given(light: dict[str, Tensor], tmp_path: Path, own: Path) -> None:
    fallback = ModelSpec("resnet18", CLASSES[::-1], PreprocessSpec(), {"norm": "batch"})
    path = written(tmp_path / "net.pth", light)
    assert load_checkpoint(path, fallback=fallback).spec.classes == CLASSES[::-1]
    loaded = load_checkpoint(path, classes=CLASSES, preprocess=PREPROCESS, fallback=fallback)
    assert (loaded.spec.classes, loaded.spec.preprocess) == (CLASSES, PREPROCESS)
    assert load_checkpoint(own, fallback=fallback).spec.classes == CLASSES


@pytest.mark.parametrize(
    ("inside", "norm", "message"),
    [
        ("batch", "group", "contradicts"),
        ("none", "group", "contradicts"),
        ("group", "batch", "does not take this value"),
    ],
)
def test_a_norm_that_contradicts_the_keys_is_refused(inside: str, norm: str, message: str, tmp_path: Path) -> None:
    path = written(tmp_path / "net.pth", light_of(inside))
    with pytest.raises(UsageError, match=message):
        load_checkpoint(path, classes=CLASSES, norm=norm)


@pytest.mark.parametrize(
    "content",
    [[torch.zeros(1)], torch.zeros(1), {}, {"lr": 0.1}, {"state_dict": {"a": torch.zeros(1), "epoch": 3}}, "text"],
    ids=["list", "tensor", "empty", "numbers", "mixed", "text"],
)
def test_what_holds_no_state_dict_is_refused(content: object, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not hold a state dict"):
        loaded_plain(tmp_path / "net.pth", content)


# --- the hash of weights


def small() -> dict[str, Tensor]:
    return {"b": torch.arange(4.0).reshape(2, 2), "a": torch.tensor(7), "c": torch.zeros(2)}


def test_the_hash_does_not_depend_on_order_or_layout() -> None:
    want = state_digest(small())
    assert want == state_digest(dict(reversed(small().items())))
    strided = {**small(), "b": torch.arange(4.0).reshape(2, 2).t().contiguous().t()}
    assert not strided["b"].is_contiguous()
    assert state_digest(strided) == want
    assert state_digest({k: torch.nn.Parameter(v, requires_grad=False) for k, v in small().items()}) == want


def test_the_hash_is_the_same_on_every_machine() -> None:
    """Golden: files written by an older edgekit carry it in their lineage."""
    assert state_digest(small()).startswith("0effe43ba457c408")


@pytest.mark.parametrize(
    "change",
    [
        {"a": torch.tensor(8)},
        {"b": torch.tensor([[0.0, 1.0], [2.0, 3.0000002]])},
        {"b": torch.arange(4.0)},
        {"b": torch.arange(4.0).reshape(2, 2).double()},
        {"c": torch.tensor([0.0, -0.0])},
        {"c": torch.zeros(2, dtype=torch.int32)},
        {"c": torch.zeros(2, dtype=torch.bfloat16)},
        {"d": torch.zeros(0)},
    ],
    ids=["value", "bit", "shape", "double", "sign of zero", "type", "bfloat16", "more"],
)
def test_the_hash_sees(change: dict[str, Tensor]) -> None:
    assert state_digest({**small(), **change}) != state_digest(small())
