"""Several labels a picture, and features without a last layer, through the whole toolkit, and what the gate sees."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from edgekit.artifacts.onnx_file import read_onnx
from edgekit.backends.onnxruntime_ import run_once
from edgekit.backends.torch_ import TorchSession
from edgekit.checkpoints.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from edgekit.graph import to_onnx
from edgekit.loading import open_predictor
from edgekit.spec import ModelSpec
from edgekit.vision.image import read_picture
from edgekit.vision.preprocess import normalise, preprocess
from tests.conftest import NARROW, Cli, lively, net_input

LABELS = replace(NARROW, task="multilabel", thresholds=(0.5, 0.4, 0.6, 0.5, 0.5, 0.3, 0.5))
FEATURES = ModelSpec("resnet18", (), NARROW.preprocess, NARROW.arch_args, task="features", dimensions=128)


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("labels") / "labels.pt"
    save_checkpoint(path, Checkpoint(LABELS, lively(NARROW).state_dict()))
    return path


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("features") / "features.pt"
    state = {k: v for k, v in lively(NARROW).state_dict().items() if not k.startswith("fc.")}
    save_checkpoint(path, Checkpoint(FEATURES, state))
    return path


@pytest.fixture(scope="module")
def exported(cli: Cli, labels: Path, features: Path, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    out = tmp_path_factory.mktemp("exported")
    for path in (labels, features):
        outcome = cli("export", path, "--data", pictures, "--out", out, "--pictures", 4)
        assert outcome.code == 0, outcome.text
    return {"labels": out / "labels.onnx", "features": out / "features.onnx"}


def pixels(pictures: Path) -> Any:
    return np.stack([preprocess(read_picture(path), NARROW.preprocess) for path in sorted(pictures.iterdir())])


def test_scores_are_the_sigmoid_of_logits_over_the_temperature(exported: Any, pictures: Path) -> None:
    artifact = read_onnx(exported["labels"])
    given = run_once(artifact.data, {"image": pixels(pictures)})
    assert list(given) == ["scores"]
    logits = lively(NARROW)(torch.from_numpy(normalise(pixels(pictures), NARROW.preprocess)))
    want = torch.sigmoid(logits / NARROW.temperature).detach().numpy()
    np.testing.assert_allclose(given["scores"], want, atol=1e-5)
    assert artifact.metadata.model == LABELS
    assert [node.op_type for node in artifact.model.graph.node][-1] == "Sigmoid"


def test_features_are_what_the_last_layer_would_take(exported: Any, pictures: Path) -> None:
    given = run_once(read_onnx(exported["features"]).data, {"image": pixels(pictures)})
    net = lively(NARROW)
    logits = net(torch.from_numpy(normalise(pixels(pictures), NARROW.preprocess))).detach().numpy()
    fc: Any = net.fc
    again = given["features"] @ fc.weight.detach().numpy().T + fc.bias.detach().numpy()
    np.testing.assert_allclose(again, logits, atol=1e-3)


def test_the_commands_take_several_labels(
    exported: Any, labels: Path, pictures: Path, cli: Cli, tmp_path: Path
) -> None:
    seen = cli("predict", exported["labels"], pictures / "0.png", "--format", "json", "--top", 2)
    assert seen.code == 0, seen.text
    answer = json.loads(seen.out)
    assert len(answer["best"]) == 2
    assert (
        cli("predict", exported["labels"], pictures / "0.png", "--threshold", 1)
        .out.split("  ", 1)[1]
        .startswith("nothing")
    )
    assert cli("verify", labels, exported["labels"], "--pictures", 2).code == 0
    rows = [f"{i}.png,{'bee;wasp' if i % 2 else 'leaf'}" for i in range(8)]
    for path in pictures.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "labels.csv").write_text("file,labels\n" + "\n".join(rows))
    measured = cli("eval", exported["labels"], "--data", tmp_path, "--format", "json")
    assert measured.code == 0, measured.text
    found = json.loads(measured.out)
    assert 0 < found["map"] <= 1
    assert found["classes"]["bee"]["present"] == 4
    assert "mAP" in cli("eval", exported["labels"], "--data", tmp_path).out
    wrong = cli("verify", exported["labels"], exported["features"], "--pictures", 2)
    assert wrong.code == 2
    assert "different tasks" in wrong.err


def test_the_commands_take_features(exported: Any, features: Path, pictures: Path, cli: Cli, tmp_path: Path) -> None:
    seen = cli("predict", exported["features"], pictures / "0.png", "--format", "json")
    assert len(json.loads(seen.out)["features"]) == 128
    assert "128 features of norm" in cli("predict", exported["features"], pictures / "0.png").out
    assert cli("verify", features, exported["features"], "--pictures", 2).code == 0
    unlabelled = cli("eval", exported["features"], "--data", pictures)
    assert unlabelled.code == 1
    assert "neither right nor wrong" in unlabelled.err
    for i, path in enumerate(sorted(pictures.iterdir())):
        folder = tmp_path / ("a" if i % 2 else "b")
        folder.mkdir(exist_ok=True)
        (folder / path.name).write_bytes(path.read_bytes())
    measured = cli("eval", exported["features"], "--data", tmp_path, "--format", "json")
    assert measured.code == 0, measured.text
    assert json.loads(measured.out)["n"] == 8


def test_recorded_pairs_hold_scores_or_features(labels: Path, features: Path, cli: Cli, tmp_path: Path) -> None:
    x = net_input()[:4]
    net = lively(NARROW)
    with torch.no_grad():
        logits = net(x) / NARROW.temperature
    for name, path, values in (("scores", labels, logits.sigmoid()), ("features", features, None)):
        given = TorchSession(load_checkpoint(path).net(), load_checkpoint(path).spec).run({"image": x.numpy()})[name]
        if values is not None:
            np.testing.assert_allclose(given, values.numpy(), atol=1e-6)
        np.savez(tmp_path / "pairs.npz", images=x.numpy(), **{name: given})
        passed = cli("verify", path, "--expect", tmp_path / "pairs.npz")
        assert passed.code == 0, passed.text
        np.savez(tmp_path / "pairs.npz", images=x.numpy(), **{name: given[:, ::-1]})
        assert cli("verify", path, "--expect", tmp_path / "pairs.npz").code == 3
    np.savez(tmp_path / "pairs.npz", images=x.numpy(), scores=logits.numpy())
    assert "logits, whose sigmoid is the score" in cli("verify", labels, "--expect", tmp_path / "pairs.npz").err
    np.savez(tmp_path / "pairs.npz", images=x.numpy(), scores=torch.softmax(logits, 1).numpy())
    assert "a softmax" in cli("verify", labels, "--expect", tmp_path / "pairs.npz").err
    np.savez(tmp_path / "pairs.npz", images=x.numpy(), logits=logits.numpy())
    lacking = cli("verify", labels, "--expect", tmp_path / "pairs.npz")
    assert "has no scores" in lacking.err
    assert "net.eval()(x).sigmoid()" in lacking.err


def softmax(net: Any) -> Any:
    return _hooked(net, lambda x: torch.softmax(x, 1))


def left_out(net: Any) -> Any:
    return net


def hard(net: Any) -> Any:
    return _hooked(net, torch.nn.functional.hardsigmoid)


def _hooked(net: Any, close: Callable[[Any], Any]) -> Any:
    net = copy.deepcopy(net)
    net.register_forward_hook(lambda module, given, output: close(output))
    return net


@pytest.mark.parametrize("defect", [softmax, left_out, hard])
def test_a_wrong_end_of_the_graph_is_caught(
    defect: Any, labels: Path, pictures: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(to_onnx, "with_sigmoid", defect)
    outcome = cli("export", labels, "--data", pictures, "--out", tmp_path, "--pictures", 4)
    assert outcome.code == 3, outcome.text
    assert "onnx" in outcome.err.split("FAILED", 1)[0].splitlines()[-1]
    assert (tmp_path / "labels.onnx.rejected").exists()


@pytest.mark.slow
def test_int8_of_both_is_within_its_limits(labels: Path, features: Path, cli: Cli, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    folder = tmp_path / "many"
    folder.mkdir()
    for i in range(40):  # different ones: what calibration wants
        noise = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((96, 72), Image.Resampling.BICUBIC).save(folder / f"{i}.png")
    for path, output in ((labels, "scores"), (features, "features")):
        outcome = cli(
            "export",
            path,
            "--data",
            folder,
            "--out",
            tmp_path,
            "--pictures",
            4,
            "--precision",
            "int8",
            "--calibrate",
            36,
        )
        assert outcome.code in (0, 3), outcome.text
        report = json.loads((tmp_path / f"{path.stem}.int8-x86.verify.json").read_text())
        assert report["stages"][0]["problems"] == [] or outcome.code == 3
        made = onnx.load(next(tmp_path.glob(f"{path.stem}.int8-x86.onnx*")))
        assert [value.name for value in made.graph.output] == [output]
        assert any(node.op_type == "QuantizeLinear" for node in made.graph.node)
        with open_predictor(next(tmp_path.glob(f"{path.stem}.onnx"))) as predictor:
            assert predictor.spec.outputs[0].name == output
