"""Nets of timm and torchvision are judged by that library's net behind that library's transforms, not by our own words.

What edgekit read wrongly of a library's tables would be the same mistake on both sides, if the reference read it there.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchvision
from PIL import Image
from torch import nn

from edgekit.checkpoints import foreign, pictures
from edgekit.checkpoints.checkpoint import load_checkpoint
from edgekit.checkpoints.reference import reference_transform
from edgekit.errors import InputError
from edgekit.spec import PreprocessSpec
from edgekit.vision.preprocess import normalise, preprocess

NET = "test_efficientnet"
CLASSES = ("wasp", "bee", "air")


def telling(net: nn.Module, head: str) -> nn.Module:
    """Random weights whose answers depend on the picture: statistics of the net itself, a large last layer."""
    torch.manual_seed(0)
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = None
        net.train()(torch.randn(16, 3, 96, 96))
        net.get_submodule(head).weight.mul_(10)  # type: ignore[operator]
    return net.eval()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("named")
    net = telling(timm.create_model(NET, pretrained=False, num_classes=3), "classifier")
    torch.save({"arch": f"{NET}.r160_in1k", "state_dict": net.state_dict(), "classes": CLASSES}, folder / "net.pth")
    return folder / "net.pth"


def test_the_verdict_says_whose_net_and_whose_transforms(
    cli: Any, weights: Path, pictures: Path, tmp_path: Path
) -> None:
    outcome = cli("export", weights, "--data", pictures, "--out", tmp_path)
    assert outcome.code == 0, outcome.text
    assert f"equal to timm's {NET} with these weights, as named by the file (arch)" in outcome.out
    report = json.loads((tmp_path / "net.verify.json").read_text())
    assert f"preprocess: compared with timm's own transforms of {NET}.r160_in1k" in report["notes"]
    assert report["verdict"]["guessed"] == []
    stage = next(s for s in report["stages"] if s["name"] == "preprocess")
    assert stage["max_abs"] == 0


@pytest.mark.parametrize(
    "defect",
    [
        {"shorter_side": 183},  # crop_pct 0.875 for 0.95
        {"interpolation": "bilinear"},
        {"mean": (0.5, 0.5, 0.5)},
        {"std": (0.5, 0.5, 0.5)},
        {"resize": "stretch", "shorter_side": None},
        {"color": "bgr"},
    ],
    ids=lambda defect: next(iter(defect)),
)
def test_what_is_read_wrongly_of_the_librarys_tables_is_caught(
    defect: Any, cli: Any, weights: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = foreign.preprocess_of

    def wrong(*given: Any) -> Any:
        spec, *rest = honest(*given)
        return replace(spec, **defect), *rest

    monkeypatch.setattr(foreign, "preprocess_of", wrong)
    outcome = cli("export", weights, "--data", pictures, "--out", tmp_path)
    assert outcome.code == 3, outcome.text
    assert "verification failed at stage preprocess" in outcome.err


def transforms_of(arch: str, tmp_path: Path, **said: Any) -> tuple[PreprocessSpec, Any, Any]:
    library, _, name = arch.partition(":")
    bare = name.partition(".")[0]
    make = timm.create_model if library == "timm" else torchvision.models.get_model
    path = tmp_path / "net.pth"
    torch.save({"model_state": make(bare, num_classes=3).state_dict(), "classes": CLASSES, **said}, path)
    found = load_checkpoint(path, arch=arch)
    return found.spec.preprocess, *reference_transform(found)


@pytest.mark.parametrize(
    ("arch", "said", "whose"),
    [
        ("timm:test_resnet", {}, "timm's own transforms of test_resnet.r160_in1k"),
        ("timm:test_vit", {"crop_pct": 1.0, "mean": [0.1, 0.2, 0.3]}, "timm's own transforms of test_vit.r160_in1k"),
        ("timm:test_resnet", {"input_size": (3, 128, 128), "interpolation": "bilinear"}, "timm's own transforms"),
        ("timm:test_resnet", {"crop_mode": "squash", "crop_pct": 1.0}, "timm's own transforms"),
        ("timm:test_resnet", {"val_resize_size": 200}, "torchvision's transforms"),
        ("torchvision:squeezenet1_1", {}, "torchvision's own transforms of squeezenet1_1.IMAGENET1K_V1"),
        ("torchvision:squeezenet1_1", {"resolution": 96, "std": [0.5] * 3}, "torchvision's own transforms"),
    ],
)
def test_what_is_said_reaches_both_sides(arch: str, said: Any, whose: str, tmp_path: Path) -> None:
    spec, named, transform = transforms_of(arch, tmp_path, **said)
    assert named.startswith(whose)
    rng = np.random.default_rng(0)
    for h, w in ((333, 500), (201, 160)):
        frame = np.asarray(Image.fromarray(rng.integers(0, 255, (h // 8, w // 8, 3), np.uint8)).resize((w, h)))
        want = transform(frame).numpy()
        np.testing.assert_array_equal(normalise(preprocess(frame, spec)[None], spec)[0], want)


def test_a_tag_states_the_pictures_and_none_is_a_guess(tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    torch.save({"model": timm.create_model(NET, num_classes=3).state_dict(), "classes": CLASSES}, path)
    tagged, bare = load_checkpoint(path, arch=f"timm:{NET}.r160_in1k"), load_checkpoint(path, arch=f"timm:{NET}")
    assert tagged.spec == bare.spec
    assert tagged.spec.arch == f"timm:{NET}"
    assert (tagged.guesses, bare.guesses) == ((), ("preprocessing",))
    assert any(f"a guess: timm's of {NET}.r160_in1k" in note for note in bare.notes)


def test_pictures_that_no_spec_can_say_have_to_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(arch: str) -> PreprocessSpec:
        raise InputError("timm prepares the pictures in a way that edgekit does not.", fix="--preprocess FILE")

    path = tmp_path / "net.pth"
    torch.save({"model": timm.create_model(NET, num_classes=3).state_dict(), "classes": CLASSES}, path)
    monkeypatch.setattr(pictures, "preprocess", refused)
    with pytest.raises(InputError, match="in a way that edgekit does not"):
        load_checkpoint(path, arch=f"timm:{NET}")
    given = PreprocessSpec(160, 160, shorter_side=168)
    assert load_checkpoint(path, arch=f"timm:{NET}", preprocess=given).spec.preprocess == given
