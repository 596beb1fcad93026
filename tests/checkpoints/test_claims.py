"""What a file says of itself is used or contradicted aloud: net, classes, input, several labels."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from edgekit.checkpoints.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from edgekit.errors import CheckpointError, EdgekitError, UsageError
from edgekit.spec import IMAGENET_MEAN, PreprocessSpec
from tests.checkpoints.states import CLASSES, light_of, loaded

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def light() -> State:
    return light_of()


# -- the net ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "where"),
    [
        ({"arch": "resnet18"}, "arch"),
        ({"args": argparse.Namespace(model="resnet18", lr=0.1)}, "args.model"),
        ({"args": argparse.Namespace(arch="resnet18")}, "args.arch"),
        ({"hyper_parameters": {"lr": 1e-3, "arch": "resnet18"}}, "hyper_parameters.arch"),
        ({"config": {"model": {"architecture": "resnet18"}}}, "config.model.architecture"),
        ({"model_name": "timm:resnet18.a1_in1k"}, "model_name"),
        ({"backbone": "torchvision.models.resnet18"}, "backbone"),
        ({"arch": "tv_resnet18"}, "arch"),
        ({"arch": "ResNet18"}, "arch"),
    ],
)
def test_a_net_that_the_file_names_is_no_guess(said: Any, where: str, light: State, tmp_path: Path) -> None:
    found = loaded(tmp_path / "net.pth", {"state_dict": light, **said})
    assert found.named_by == f"the file ({where})"
    assert f"named by the file ({where})" in found.notes[0]


def test_a_net_that_nobody_names_is_called_a_guess(light: State, tmp_path: Path) -> None:
    found = loaded(tmp_path / "net.pth", light)
    assert found.named_by == ""
    assert "the net is a guess from keys and shapes" in found.notes[0]
    assert loaded(tmp_path / "net.pth", light, arch="resnet18").named_by == "--arch"


@pytest.mark.parametrize(
    "said",
    [
        {"arch": "resnetaa50"}, {"args": argparse.Namespace(model="efficientnet_b0")},
        {"hyper_parameters": {"arch": "resnet34"}}, {"arch": "resnet50"}, {"model": "vit_b_16", "weights": 0},
        {"arch": "my_own_net"}, {"model_name": "resnet18d"},
    ],
)  # fmt: skip
def test_a_file_of_another_net_is_refused(said: Any, light: State, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        loaded(tmp_path / "net.pth", {"state_dict": light, **said})
    name = next(v for v in _leaves(said) if isinstance(v, str))
    assert name in str(caught.value.got)
    assert caught.value.fix


def test_arch_settles_a_name_of_ones_own_and_no_known_other_net(light: State, tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    found = loaded(path, {"arch": "my_own_net", "state_dict": light}, arch="resnet18")
    assert found.named_by == "--arch (the file's arch calls it my_own_net)"
    with pytest.raises(UsageError, match="--arch contradicts what") as caught:
        loaded(path, {"arch": "resnetblur18", "state_dict": light}, arch="resnet18")
    assert "resnetblur18, as arch says" in str(caught.value.expected)


@pytest.mark.parametrize("name", ["resnetblur18", "timm:resnetblur18", "timm/resnetblur18", "hf-hub:timm/resnetblur18"])
def test_the_same_keys_and_another_net_is_built_as_the_file_says(name: str, light: State, tmp_path: Path) -> None:
    found = loaded(tmp_path / "net.pth", {"arch": name, "state_dict": light})
    assert (found.spec.arch, found.named_by) == ("timm:resnetblur18", "the file (arch)")
    assert "BlurPool2d" in str(found.net())


@pytest.mark.parametrize(
    ("arch", "words"),
    [
        ("resnet34", ("contradicts the keys", "resnet18")),
        ("torchvision:efficientnet_b0", ("contradicts the keys", "timm:resnet18")),
        ("centernet-resnet18", ("does not have", "timm:NAME")),
        ("timm:resnet81", ("does not have", "did you mean resnet18")),
    ],
)
def test_arch_that_cannot_be_is_refused(arch: str, words: tuple[str, ...], light: State, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--arch") as caught:
        loaded(tmp_path / "net.pth", light, arch=arch)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_a_resnet_of_a_library_is_that_librarys_where_arch_says_so(library: str, light: State, tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    assert loaded(path, light, arch=f"{library}:resnet18").spec.arch == f"{library}:resnet18"
    assert loaded(path, {"arch": "resnet18", "model": light}, arch=f"{library}:resnet18").named_by == "the file (arch)"
    assert loaded(path, light, arch="resnet18").spec.arch == "resnet18"


# -- the classes --------------------------------------------------------------------------------------------------

NAMES = ("wasp", "bee", "air")
INDICES = {"air": 2, "wasp": 0, "bee": 1}


@pytest.mark.parametrize(
    "said",
    [
        {"classes": list(NAMES)}, {"class_names": NAMES}, {"labels": list(NAMES)}, {"categories": list(NAMES)},
        {"class_to_idx": INDICES}, {"idx_to_class": {0: "wasp", 1: "bee", 2: "air"}},
        {"id2label": {"0": "wasp", "1": "bee", "2": "air"}}, {"label2id": INDICES},
        {"names": {0: "wasp", 1: "bee", 2: "air"}}, {"hyper_parameters": {"class-names": NAMES}},
        {"args": argparse.Namespace(classes=list(NAMES))}, {"meta": {"CLASSES": NAMES}},
        {"classes": list(NAMES), "class_to_idx": INDICES, "num_classes": 3},
    ],
)  # fmt: skip
def test_classes_that_the_file_names_are_used_and_cannot_be_contradicted(
    said: Any, light: State, tmp_path: Path
) -> None:
    path, content = tmp_path / "net.pth", {"state_dict": light, **said}
    found = loaded(path, content, classes=None)
    assert found.spec.classes == NAMES
    assert any(note.startswith("class names: as the file says") for note in found.notes)
    assert loaded(path, content, classes=NAMES).spec.classes == NAMES
    with pytest.raises(UsageError, match="--classes contradicts") as caught:
        loaded(path, content, classes=CLASSES)
    assert "wasp, bee, air" in str(caught.value.expected)


@pytest.mark.parametrize(
    "said",
    [
        {"classes": ["a", "b"]}, {"num_classes": 1000}, {"args": argparse.Namespace(nb_classes=4)},
        {"classes": list(NAMES), "class_to_idx": {"air": 0, "bee": 1, "wasp": 2}}, {"classes": 5},
    ],
)  # fmt: skip
def test_classes_that_cannot_be_are_refused(said: Any, light: State, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="another number|two different things"):
        loaded(tmp_path / "net.pth", {"state_dict": light, **said})


def test_what_is_said_and_not_understood_is_said(light: State, tmp_path: Path) -> None:
    content = {"state_dict": light, "class_to_idx": {"a": 0, "b": 7}, "interpolation": "random", "img_size": None}
    notes = loaded(tmp_path / "net.pth", content).notes
    assert any("not understood, and not used: class_to_idx" in note for note in notes)
    assert any("interpolation = random" in note for note in notes)
    assert not any("img_size" in note for note in notes)


@pytest.mark.parametrize(
    "said",
    [
        {"multi_label": True}, {"hparams": {"multilabel": True}}, {"args": argparse.Namespace(multi_label=True)},
        {"config": {"problem_type": "multi_label_classification"}},
    ],
)  # fmt: skip
def test_several_labels_a_picture_are_taken(said: Any, light: State, tmp_path: Path) -> None:
    found = loaded(tmp_path / "net.pth", {"state_dict": light, **said})
    assert found.spec.multi_label
    assert [str(output) for output in found.spec.outputs] == ["scores float32[N, 3]"]
    assert any("several labels, as the file says" in note for note in found.notes)
    assert not loaded(tmp_path / "net.pth", {"state_dict": light, "multi_label": False}).spec.multi_label


def test_several_labels_are_stated_and_not_contradicted(light: State, tmp_path: Path) -> None:
    found = loaded(tmp_path / "net.pth", light, multi_label=True)
    assert found.spec.multi_label
    assert any("by --multi-label" in note for note in found.notes)
    for said, option in ((False, True), (True, False)):
        with pytest.raises(UsageError, match="--multi-label contradicts"):
            loaded(tmp_path / "net.pth", {"state_dict": light, "multi_label": said}, multi_label=option)
    again = tmp_path / "again.pt"
    save_checkpoint(again, found)
    assert load_checkpoint(again, multi_label=True).spec == found.spec
    with pytest.raises(UsageError, match="--multi-label contradicts"):
        load_checkpoint(again, multi_label=False)
    # what an export was told is taken for a file that says nothing, and does not overrule one that does
    assert load_checkpoint(tmp_path / "net.pth", fallback=found.spec).spec.multi_label
    torch.save(light, tmp_path / "silent.pth")
    assert load_checkpoint(tmp_path / "silent.pth", fallback=found.spec).spec.multi_label


# -- without a last layer -----------------------------------------------------------------------------------------


def test_without_a_last_layer_it_gives_features_and_says_so(light: State, tmp_path: Path) -> None:
    trunk = {k: v for k, v in light.items() if not k.startswith("fc.")}
    found = loaded(tmp_path / "net.pth", trunk, classes=None)
    assert (found.spec.task, found.spec.classes, found.spec.dimensions) == ("features", (), 512)
    (note,) = [note for note in found.notes if "features, not a classifier" in note]
    assert f"edgekit train classifier --data DIR --weights {tmp_path / 'net.pth'}" in note
    found = loaded(tmp_path / "net.pth", {"state_dict": trunk, "num_classes": 10}, classes=None)
    assert any("num_classes = 10 is of one that is not in it" in note for note in found.notes)
    with pytest.raises(UsageError, match="has no classes"):
        loaded(tmp_path / "net.pth", trunk, classes=NAMES)
    with pytest.raises(UsageError, match="gives features and no labels"):
        loaded(tmp_path / "net.pth", trunk, classes=None, multi_label=True)


# -- the input ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "want"),
    [
        ({"resolution": 448}, PreprocessSpec(448, 448, shorter_side=512)),
        ({"input_size": (3, 320, 256)}, PreprocessSpec(320, 256, shorter_side=366)),
        ({"args": argparse.Namespace(img_size=288, crop_pct=0.95)}, PreprocessSpec(288, 288, shorter_side=303)),
        ({"args": argparse.Namespace(val_crop_size=224, val_resize_size=232, interpolation="bicubic")},
         PreprocessSpec(224, 224, shorter_side=232, interpolation="bicubic")),
        ({"imgsz": [96, 96], "mean": [0.5] * 3, "std": [0.5] * 3},
         PreprocessSpec(96, 96, shorter_side=110, mean=(0.5,) * 3, std=(0.5,) * 3)),
        ({"mean": [127.5] * 3, "std": [127.5] * 3}, PreprocessSpec(mean=(0.5,) * 3, std=(0.5,) * 3)),
        ({"crop_mode": "squash", "input_size": [3, 224, 224]}, PreprocessSpec(resize="stretch", shorter_side=None)),
        ({"data": {"size": 96}}, PreprocessSpec(96, 96, shorter_side=110)),
        ({"resize_size": [232], "crop_size": [224]}, PreprocessSpec(shorter_side=232)),
        ({"input_space": "BGR"}, PreprocessSpec(color="bgr")),
        ({"size": {"shortest_edge": 224}, "crop_pct": 0.875, "image_mean": list(IMAGENET_MEAN)}, PreprocessSpec()),
    ],
)  # fmt: skip
def test_the_input_is_as_the_file_says(said: Any, want: PreprocessSpec, light: State, tmp_path: Path) -> None:
    path, content = tmp_path / "net.pth", {"state_dict": light, **said}
    found = loaded(path, content)
    assert found.spec.preprocess == want
    assert any(note.startswith("preprocessing: ") and "the file says" in note for note in found.notes)
    assert loaded(path, content, preprocess=want).spec.preprocess == want
    other = PreprocessSpec(640, 640, "stretch", None, "bilinear", color="rgb", mean=(0.1,) * 3, std=(0.9,) * 3)
    with pytest.raises(UsageError, match="--preprocess contradicts"):
        loaded(path, content, preprocess=other)


def test_what_is_not_said_stays_a_guess(light: State, tmp_path: Path) -> None:
    found = loaded(tmp_path / "net.pth", {"state_dict": light, "resolution": 448})
    assert "preprocessing" in found.guesses
    assert any("the resize, mean, std, interpolation are a guess" in note for note in found.notes)
    whole = {"input_size": 224, "crop_pct": 0.875, "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic"}
    assert loaded(tmp_path / "net.pth", {"state_dict": light, **whole}).guesses == ()


def test_two_sizes_are_refused(light: State, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="two different things") as caught:
        loaded(tmp_path / "net.pth", {"state_dict": light, "resolution": 448, "args": argparse.Namespace(img_size=224)})
    assert "args.img_size = 224, 224" in str(caught.value.got)


# -- beside a safetensors file ------------------------------------------------------------------------------------

TIMM = {
    "architecture": "resnet18",
    "num_classes": 3,
    "label_names": list(NAMES),
    "pretrained_cfg": {
        "tag": "a1_in1k", "input_size": [3, 288, 288], "interpolation": "bicubic", "crop_pct": 0.95,
        "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25], "num_classes": 3, "classifier": "fc",
    },
}  # fmt: skip


def hub(folder: Path, config: Any, name: str = "config.json", metadata: Any = None) -> Checkpoint:
    save_file = pytest.importorskip("safetensors.torch").save_file
    save_file({k: v.contiguous() for k, v in light_of().items()}, folder / "model.safetensors", metadata)
    if config is not None:
        (folder / name).write_text(config if isinstance(config, str) else json.dumps(config))
    return load_checkpoint(folder / "model.safetensors")


def test_a_config_beside_safetensors_is_used(tmp_path: Path) -> None:
    found = hub(tmp_path, TIMM)
    assert found.spec.classes == NAMES
    assert found.named_by == "the file (config.json: architecture)"
    want = PreprocessSpec(
        288, 288, shorter_side=303, interpolation="bicubic", mean=(0.5,) * 3, std=(0.25,) * 3
    )  # fmt: skip
    assert found.spec.preprocess == want
    assert found.guesses == ()


def test_the_hubs_labels_are_used(tmp_path: Path) -> None:
    labels = {"id2label": {"0": "wasp", "1": "bee", "2": "air"}, "num_channels": 3}
    assert hub(tmp_path, labels).spec.classes == NAMES


@pytest.mark.parametrize(
    "config",
    [{**TIMM, "num_classes": 4}, {**TIMM, "architecture": "resnetblur50"}, {**TIMM, "label_names": ["a"]}, "{", "[]"],
)
def test_a_config_that_contradicts_or_is_broken_is_refused(config: Any, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError):
        hub(tmp_path, config)


def test_what_a_safetensors_file_says_inside_is_used(tmp_path: Path) -> None:
    said = {"format": "pt", "arch": "resnet18", "class_names": json.dumps(NAMES), "resolution": "96"}
    found = hub(tmp_path, None, metadata=said)
    assert found.spec.classes == NAMES
    assert (found.spec.preprocess.height, found.named_by) == (96, "the file (arch)")


def test_a_trunk_to_train_on_needs_no_classes(light: State, tmp_path: Path) -> None:
    torch.save({"state_dict": light, "class_to_idx": {"a": 0}, "multi_label": True}, tmp_path / "net.pth")
    with pytest.raises(EdgekitError):
        load_checkpoint(tmp_path / "net.pth")
    assert len(load_checkpoint(tmp_path / "net.pth", unnamed=True).spec.classes) == 3


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, argparse.Namespace):
        value = vars(value)
    return [leaf for inner in value.values() for leaf in _leaves(inner)] if isinstance(value, dict) else [value]
