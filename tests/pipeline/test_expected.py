"""Recorded pairs of input and output: a stage of the gate that a net with the same keys and another function fails."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from edgekit.artifacts.onnx_file import read_onnx
from edgekit.checkpoints.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from edgekit.config.target import Limits, Runtime
from edgekit.data import made_pictures
from edgekit.errors import DataError, UsageError
from edgekit.gate.compare import Gate
from edgekit.pipeline.expected import expect_stage, read_pairs
from edgekit.pipeline.writing import file_stage
from edgekit.predictor import Predictor
from edgekit.spec import ModelSpec, PreprocessSpec
from edgekit.vision.preprocess import normalise, preprocess
from tests.conftest import NARROW, lively

LIMITS = Limits(max_abs=1e-3, top1_agreement=1.0)


@pytest.fixture(scope="module")
def spec() -> ModelSpec:
    return NARROW


@pytest.fixture(scope="module")
def net() -> nn.Module:
    """The checkpoint's."""
    return lively(NARROW)


@pytest.fixture(scope="module")
def frames(spec: ModelSpec) -> np.ndarray:
    """uint8 [4, 90, 120, 3] BGR."""
    return np.stack([sample.read()[:90, :120] for sample in made_pictures(4, seed=11).samples])


@pytest.fixture(scope="module")
def pixels(frames: np.ndarray, spec: ModelSpec) -> np.ndarray:
    """The same as resized: uint8 [4, 48, 64, 3]."""
    return np.stack([preprocess(frame, spec.preprocess) for frame in frames])


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    return torch.rand(3, 3, 48, 64, generator=torch.Generator().manual_seed(5)).numpy()


@pytest.fixture(scope="module")
def answer(net: nn.Module, spec: ModelSpec) -> Callable[[np.ndarray], np.ndarray]:
    """What the trained net gives, as its checkpoint says: divided by the temperature."""

    def run(inputs: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return (net(torch.from_numpy(np.ascontiguousarray(inputs))) / spec.temperature).numpy()

    return run


def blurred(net: nn.Module) -> nn.Module:
    """The same weights in another net: it blurs where the first max-pool was, as timm's resnetblur18 does."""
    import copy

    other = copy.deepcopy(net)
    other.maxpool = nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.AvgPool2d(2))
    return other.eval()


def saved(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory, noise: np.ndarray, answer: Any) -> Path:
    return saved(tmp_path_factory.mktemp("pairs") / "right.npz", images=noise, logits=answer(noise))


@pytest.fixture(scope="module")
def wrong(tmp_path_factory: pytest.TempPathFactory, noise: np.ndarray, net: nn.Module, spec: ModelSpec) -> Path:
    with torch.inference_mode():
        logits = blurred(net)(torch.from_numpy(noise)).numpy() / spec.temperature
    return saved(tmp_path_factory.mktemp("pairs") / "wrong.npz", images=noise, logits=logits)


# -- through the commands -----------------------------------------------------------------------------------------


def test_a_net_of_the_same_keys_fails(cli: Any, checkpoint: Path, wrong: Path, tmp_path: Path) -> None:
    done = cli("export", checkpoint, "--out", tmp_path, "--pictures", 2, "--expect", wrong)
    assert done.code == 3, done.text
    assert "verification failed at stage expect" in done.err
    assert "another net, or other weights" in done.err
    assert "REJECTED: not equal to 3 recorded pairs of input and output" in done.out
    assert not (tmp_path / "tiny.onnx").exists()
    report = json.loads((tmp_path / "tiny.rejected.verify.json").read_text())
    assert report["passed"] is False
    assert report["verdict"]["passed"] is False


def test_pairs_are_stages_of_their_own(cli: Any, checkpoint: Path, right: Path, tmp_path: Path) -> None:
    done = cli("export", checkpoint, "--out", tmp_path, "--pictures", 2, "--expect", right, "--format", "json")
    assert done.code == 0, done.text
    assert "limit max|d| 0.001" in done.err
    report = json.loads(done.out)
    stages = {stage["name"]: stage for stage in report["stages"]}
    assert list(stages)[-2:] == ["file", "expect-file"]
    assert "expect" in stages
    assert stages["expect-file"]["pictures"] == 3
    assert 0 < stages["expect-file"]["max_abs"] < 1e-3  # the written file ran, not torch again
    inside = read_onnx(tmp_path / "tiny.onnx").metadata.verification["verdict"]
    for verdict in (report["verdict"], inside):
        assert verdict["equal_to"] == ["our net from its own checkpoint", "3 recorded pairs of input and output"]


def test_a_file_that_answers_pairs_otherwise_is_no_file(good: Path, right: Path, wrong: Path, spec: ModelSpec) -> None:
    read = read_onnx(good)
    frames = made_pictures(2)
    with Predictor.from_artifact(read) as predictor:
        reference = {"logits": predictor.logits(sample.read() for sample in frames)}
    for pairs, passes in ((right, True), (wrong, False)):
        gate = Gate(frames, LIMITS, spec, lambda line: None, reference=reference)
        file_stage(gate, good, good, read.metadata.lineage, Runtime(), read_pairs(pairs, spec))
        assert [stage.name for stage in gate.stages] == ["file", "expect-file"]
        assert gate.stages[0].passed
        assert gate.passed is passes


@pytest.mark.slow
def test_verify_takes_pairs_alone_and_beside_a_candidate(
    cli: Any, checkpoint: Path, good: Path, right: Path, wrong: Path, tmp_path: Path
) -> None:
    for model in (checkpoint, good):
        done = cli("verify", model, "--expect", right)
        assert done.code == 0, done.text
        assert "equal to 3 recorded pairs of input and output: max|d|" in done.out
        assert "(limit 0.001)" in done.out
        assert cli("verify", model, "--expect", wrong).code == 3
    both = cli("verify", checkpoint, good, "--pictures", 2, "--expect", right, "--format", "json")
    assert both.code == 0, both.text
    stages = json.loads(both.out)["stages"]
    assert stages[0]["compared_with"] == "tiny.pt (our net from its own checkpoint, run by torch)"
    assert stages[1]["compared_with"] == "3 recorded pairs of input and output"
    assert cli("verify", checkpoint, good, "--pictures", 2, "--expect", wrong).code == 3
    alone = cli("verify", checkpoint)
    assert alone.code == 2
    assert "--expect PAIRS.npz" in alone.err


def test_a_float_file_of_a_fixed_batch_takes_pairs(cli: Any, checkpoint: Path, right: Path, tmp_path: Path) -> None:
    kind = ("--input", "float", "--batch", 2)
    done = cli("export", checkpoint, "--pictures", 2, "--expect", right, "--out", tmp_path, *kind)
    assert done.code == 0, done.text
    assert "expect-file" in done.err


def test_bad_pairs_are_refused_before_anything_is_done(cli: Any, checkpoint: Path, tmp_path: Path) -> None:
    done = cli("export", checkpoint, "--out", tmp_path / "out", "--expect", tmp_path / "none.npz")
    assert done.code == 1
    assert "preprocess " not in done.err
    assert not (tmp_path / "out").exists()


# -- how pictures are taken ---------------------------------------------------------------------------------------


def stage_of(path: Path, spec: ModelSpec, answer: Any) -> Any:
    return expect_stage("expect", read_pairs(path, spec), spec, LIMITS, answer)


def test_pictures_of_another_size_go_through_the_preprocessing(
    frames: np.ndarray, pixels: np.ndarray, spec: ModelSpec, answer: Any, tmp_path: Path
) -> None:
    logits = answer(normalise(pixels, spec.preprocess))
    for name, images, more in (
        ("whole", frames, {}),
        ("resized", pixels, {}),
        ("bgr", pixels, {"color": "bgr"}),
        ("rgb", frames[..., ::-1], {"color": "rgb"}),
        ("float", normalise(pixels, spec.preprocess), {}),
        ("double", normalise(pixels, spec.preprocess).astype(np.float64), {}),
    ):
        path = saved(tmp_path / f"{name}.npz", images=images, logits=logits, **more)
        assert stage_of(path, spec, answer).passed, name


def test_pixels_run_in_the_file_as_they_are(
    cli: Any, good: Path, frames: np.ndarray, pixels: np.ndarray, spec: ModelSpec, answer: Any, tmp_path: Path
) -> None:
    logits = answer(normalise(pixels, spec.preprocess))
    for name, images in (("whole", frames), ("float", normalise(pixels, spec.preprocess))):
        done = cli("verify", good, "--expect", saved(tmp_path / f"{name}.npz", images=images, logits=logits))
        assert done.code == 0, done.text


def test_a_failure_says_how_the_pairs_may_have_been_recorded(
    frames: np.ndarray, pixels: np.ndarray, spec: ModelSpec, answer: Any, tmp_path: Path
) -> None:
    ready = normalise(pixels, spec.preprocess)
    logits = answer(ready)
    odds = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    mean, std = (np.array(v, np.float32)[:, None, None] for v in (spec.preprocess.mean, spec.preprocess.std))
    for name, images, values, says in (
        ("rgb", frames[..., ::-1], logits, "color='rgb'"),
        ("softmax", ready, odds, "before the softmax"),
        ("warm", ready, logits * spec.temperature, "temperature 1.7"),
        ("raw", ready * std + mean, logits, "not normalized yet"),
        ("order", ready[:, ::-1], logits, "other order"),
        ("other", ready, -logits, "another net, or other weights"),
    ):
        stage = stage_of(saved(tmp_path / f"{name}.npz", images=images, logits=values), spec, answer)
        assert not stage.passed
        assert says in stage.problems[-1], name


# -- what is refused ----------------------------------------------------------------------------------------------

ONES = np.ones((2, 3, 48, 64), np.float32)
LOGITS = np.ones((2, 7), np.float32)
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no logits": ({"images": ONES, "outputs": LOGITS}, "no logits"),
    "no images": ({"x": ONES, "logits": LOGITS}, "no images"),
    "NHWC floats": ({"images": ONES.transpose(0, 2, 3, 1), "logits": LOGITS}, "transpose(0, 3, 1, 2)"),
    "NCHW bytes": ({"images": ONES.astype(np.uint8), "logits": LOGITS}, "transpose(0, 2, 3, 1)"),
    "one image": ({"images": ONES[0], "logits": LOGITS}, "not what the net takes"),
    "grey": ({"images": ONES[:, :1], "logits": LOGITS}, "not what the net takes"),
    "whole numbers": ({"images": ONES.astype(np.int64), "logits": LOGITS}, "not what the net takes"),
    "another size": ({"images": ONES[..., :32], "logits": LOGITS}, "width = 32"),
    "other classes": ({"images": ONES, "logits": LOGITS[:, :5]}, "do not fit the model"),
    "more images": ({"images": ONES, "logits": LOGITS[:1]}, "do not fit the model"),
    "no pairs": ({"images": ONES[:0], "logits": LOGITS[:0]}, "do not fit the model"),
    "half logits": ({"images": ONES, "logits": LOGITS.astype(np.float16)}, "coarser than the limit"),
    "labels": ({"images": ONES, "logits": np.array([1, 2])}, "not what a classifier gives"),
    "NaN": ({"images": ONES * np.nan, "logits": LOGITS}, "not all numbers"),
    "infinite": ({"images": ONES, "logits": LOGITS * np.inf}, "not all numbers"),
    "objects": ({"images": np.array(["a", None], dtype=object), "logits": LOGITS}, "holds objects"),
    "another order": ({"images": np.ones((2, 9, 9, 3), np.uint8), "logits": LOGITS, "color": "grb"}, "channel order"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_pair_is_refused(name: str, spec: ModelSpec, tmp_path: Path) -> None:
    arrays, says = REFUSED[name]
    path = tmp_path / "pairs.npz"
    np.savez(path, **arrays)
    with pytest.raises(DataError) as caught:
        read_pairs(path, spec)
    assert says in str(caught.value)


def test_files_that_are_no_pairs_are_refused(spec: ModelSpec, tmp_path: Path, checkpoint: Path) -> None:
    np.save(tmp_path / "one.npy", ONES)
    (tmp_path / "text.npz").write_text("pairs")
    (tmp_path / "empty.npz").touch()
    whole = saved(tmp_path / "whole.npz", images=ONES, logits=LOGITS).read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    for name in ("none.npz", "one.npy", "text.npz", "empty.npz", "cut.npz"):
        with pytest.raises(DataError):
            read_pairs(tmp_path / name, spec)
    with pytest.raises(DataError):
        read_pairs(checkpoint, spec)


def test_pairs_are_for_classifiers(tmp_path: Path) -> None:
    spec = ModelSpec("centernet-resnet18", ("bee",), PreprocessSpec(64, 64), task="detection", max_detections=3)
    with pytest.raises(UsageError, match="for classifiers"):
        read_pairs(tmp_path / "pairs.npz", spec)


# -- timm's own net -----------------------------------------------------------------------------------------------


def test_timms_resnetblur18_is_found_out(cli: Any, tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    net = timm.create_model("resnetblur18", num_classes=3).eval()
    torch.save(net.state_dict(), tmp_path / "net.pth")
    x = torch.rand(2, 3, 224, 224)
    with torch.inference_mode():
        logits = net(x).numpy() * 40  # an untrained net's are all near zero
    state = {k: v * 40 if k.startswith("fc.") else v for k, v in net.state_dict().items()}
    torch.save(state, tmp_path / "net.pth")
    (tmp_path / "names.txt").write_text("a\nb\nc\n")
    pairs = saved(tmp_path / "pairs.npz", images=x.numpy(), logits=logits)
    done = cli("verify", tmp_path / "net.pth", "--classes", tmp_path / "names.txt", "--expect", pairs)
    assert done.code == 3, done.text
    assert "a guess from keys and shapes" in done.err


def test_the_right_net_is_proven(net: nn.Module, spec: ModelSpec, answer: Any, right: Path, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "net.pt", Checkpoint(spec, net.state_dict()))
    again = load_checkpoint(tmp_path / "net.pt").net()
    with torch.inference_mode():
        stage = stage_of(right, spec, lambda x: (again(torch.from_numpy(x)) / spec.temperature).numpy())
    assert stage.passed
    assert stage.pictures == 3
