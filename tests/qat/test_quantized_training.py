"""A quantized training ends in a checkpoint whose int8 file is the very graph that learnt, and the gate can tell."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import numpy_helper

from edgekit import nets
from edgekit.api import train as training
from edgekit.backends.onnxruntime_ import run_once
from edgekit.checkpoints.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from edgekit.checkpoints.quantization import Quantization
from edgekit.data import load_dataset
from edgekit.errors import ArtifactError, CheckpointError, UsageError, VerificationError
from edgekit.graph.fold_bn import fold_bn
from edgekit.pipeline import run as pipeline
from edgekit.qat.start import measured_parameters, source_of
from edgekit.qat.training import QuantizedTraining, shortened
from edgekit.quantize.place import quantize
from edgekit.vision.preprocess import normalise, preprocess
from tests.qat.conftest import Trained
from tests.training.conftest import TINY_NET


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(nets.NETS, "resnet18", TINY_NET)


def test_it_begins_with_what_float32_reaches_and_keeps_its_figures(trained: Trained) -> None:
    assert any(line.startswith("float32: top1") and "row 0 is int8-x86 of it" in line for line in trained.said)
    checkpoint = load_checkpoint(trained.quantized)
    assert checkpoint.quantization is not None
    assert checkpoint.quantization.scheme == "int8-x86"
    rows = (trained.quantized.parent / "metrics.csv").read_text().splitlines()
    assert len(rows) == 4  # the header, row 0 and two epochs


def test_a_net_that_lost_by_its_rounding_is_not_exported(trained: Trained, tmp_path: Path) -> None:
    """Its file would be equal to the rounded net, so the gate alone lets it pass."""
    checkpoint = load_checkpoint(trained.quantized)
    held = checkpoint.quantization
    assert held is not None
    assert held.before is not None
    name, before = held.before
    assert name == "top1"
    assert Quantization.from_dict(held.to_dict()) == held
    assert Quantization.from_dict({k: v for k, v in held.to_dict().items() if k != "before"}).before is None
    worse = replace(checkpoint, metrics={**checkpoint.metrics, name: before - 0.006})
    save_checkpoint(tmp_path / "worse.pt", worse)
    with pytest.raises(VerificationError, match=rf"top1 {before - 0.006:.4f}, {before:.4f} before"):
        pipeline.export(tmp_path / "worse.pt", out=tmp_path, data=trained.data, precision="int8")
    assert not list(tmp_path.glob("*.onnx"))
    said: list[str] = []
    unknown = replace(checkpoint, quantization=replace(held, before=None))
    save_checkpoint(tmp_path / "unknown.pt", unknown)
    pipeline.export(
        tmp_path / "unknown.pt", tmp_path / "out", data=trained.data, precision="int8", pictures=8, say=said.append
    )
    assert any("nobody knows what the rounding costs" in line for line in said)
    unmeasured = {k: v for k, v in checkpoint.metrics.items() if k != name}
    save_checkpoint(tmp_path / "unmeasured.pt", replace(checkpoint, metrics=unmeasured))
    with pytest.raises(VerificationError, match="not measured"):
        pipeline.export(tmp_path / "unmeasured.pt", out=tmp_path, data=trained.data, precision="int8")


def test_the_net_answers_as_its_graph_does(trained: Trained) -> None:
    checkpoint = load_checkpoint(trained.quantized)
    held = checkpoint.quantization
    assert held is not None
    source = source_of(checkpoint)
    samples = load_dataset(trained.data, None, "val").samples[::4]
    pixels = np.stack([preprocess(s.read(), checkpoint.spec.preprocess) for s in samples])
    with torch.no_grad():
        inputs = torch.from_numpy(normalise(pixels, checkpoint.spec.preprocess))
        got = source.net(held.scheme, held.parameters)(inputs).numpy()
    graph = quantize(source.model, held.parameters, held.scheme).model
    wanted = run_once(graph.SerializeToString(), {"image": pixels})["logits"]
    plain = run_once(source.model.SerializeToString(), {"image": pixels})["logits"]
    assert np.abs(got - wanted).max() < 0.1 * np.abs(plain - wanted).max()


def test_what_was_learnt_comes_back_from_the_checkpoint(trained: Trained) -> None:
    checkpoint = load_checkpoint(trained.quantized)
    folded, _ = fold_bn(checkpoint.net(), torch.randn(2, 3, 32, 32))
    source = source_of(checkpoint)
    net = source.net("int8-x86", checkpoint.quantization.parameters)  # type: ignore[union-attr]
    assert {n for n, _ in net.named_parameters() if not n.startswith("ranges.")} == {
        n for n, _ in folded.named_parameters()
    }
    assert net.ranges_of_tensors() == dict(checkpoint.quantization.parameters)  # type: ignore[union-attr]
    with torch.no_grad():
        for value in net.parameters():
            value.add_(torch.randn_like(value) * 0.01)
    again, _ = fold_bn(replace(checkpoint, state_dict=source.stored(net)).net(), torch.randn(2, 3, 32, 32))
    state = again.state_dict()
    for name, value in net.named_parameters():
        if name in state and name != "conv1.weight":  # which has 1 / (255 std) inside
            assert torch.equal(state[name], value), name
    other = source.net("int8-x86", checkpoint.quantization.parameters)  # type: ignore[union-attr]
    with torch.no_grad():
        source.restore(other, replace(checkpoint, state_dict=source.stored(net)).net())
    for (name, value), restored in zip(net.named_parameters(), other.parameters(), strict=True):
        if name not in state:
            continue
        torch.testing.assert_close(restored, value, rtol=1e-6, atol=1e-9, msg=name)


def test_scales_are_learnt_and_zero_points_stay(trained: Trained) -> None:
    checkpoint = load_checkpoint(trained.quantized)
    held, before = checkpoint.quantization, load_checkpoint(trained.best)
    assert held is not None
    pictures = load_dataset(trained.data, None, "train")
    measured = measured_parameters(source_of(before), held.scheme, pictures)
    moved = {name for name, (scale, _) in measured.items() if scale != held.parameters[name][0]}
    assert moved == set(measured)
    assert {name: zero for name, (_, zero) in measured.items()} == {n: z for n, (_, z) in held.parameters.items()}


def test_a_run_is_drawn_as_its_best_net_answers(trained: Trained, tmp_path: Path) -> None:
    from edgekit.training.tasks import make_task

    plan = training.plan_of(trained.recipe, trained.data, tmp_path, resume_from=trained.best, quantize="int8-x86")
    task = QuantizedTraining(make_task(plan.recipe, plan.data), load_checkpoint(trained.best), "int8-x86")
    learnt = load_checkpoint(trained.quantized)
    held = learnt.quantization
    assert held is not None
    inputs = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        drawn = task.net_of(learnt)(inputs)
        wanted = source_of(learnt).net(held.scheme, held.parameters)(inputs)
        assert not torch.allclose(task.net(inputs), wanted, atol=1e-4)  # as it started
    torch.testing.assert_close(drawn, wanted, rtol=1e-4, atol=1e-4)


def test_the_int8_file_is_that_graph_and_is_compared_with_the_net_that_learnt(trained: Trained, tmp_path: Path) -> None:
    result = pipeline.export(trained.quantized, tmp_path, data=trained.data, precision="int8", pictures=8, calibrate=1)
    assert result.passed, [stage.problems for stage in result.stages]
    report = json.loads(result.report.read_text())
    assert "with the rounding that it was trained with" in report["verdict"]["text"]
    assert report["int8"]["trained"] is True
    held = load_checkpoint(trained.quantized).quantization
    assert held is not None
    from edgekit.artifacts.onnx_file import read_onnx

    assert result.model is not None
    stored = {t.name: numpy_helper.to_array(t) for t in read_onnx(result.model).model.graph.initializer}
    for tensor, (scale, zero) in held.parameters.items():
        assert stored[f"{tensor}.scale"] == np.float32(scale)
        assert stored[f"{tensor}.zero_point"] == zero


def test_a_file_with_other_weights_than_learnt_is_rejected(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgekit.quantize import place

    honest = place.quantize_weight
    monkeypatch.setattr(place, "quantize_weight", lambda *given: np.roll(honest(*given), 1, axis=1))
    result = pipeline.export(trained.quantized, tmp_path, data=trained.data, precision="int8", pictures=8)
    assert not result.passed
    assert result.stages[-1].name == "int8-x86"


def test_ranges_of_another_graph_are_refused(trained: Trained, tmp_path: Path) -> None:
    held = load_checkpoint(trained.quantized)
    assert held.quantization is not None
    parameters = dict(held.quantization.parameters)
    parameters["elsewhere"] = parameters.popitem()[1]
    save_checkpoint(tmp_path / "x.pt", replace(held, quantization=Quantization("int8-x86", parameters)))
    with pytest.raises(ArtifactError, match="another int8 graph"):
        pipeline.export(tmp_path / "x.pt", tmp_path, data=trained.data, precision="int8", pictures=8)


@pytest.mark.parametrize("options", [{"max_drop": 1.0}, {"input_kind": "float"}])
def test_options_that_contradict_it_are_refused(trained: Trained, tmp_path: Path, options: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="trained quantized"):
        pipeline.export(trained.quantized, tmp_path, data=trained.data, precision="int8", **options)  # type: ignore[arg-type]


def test_a_checkpoint_with_broken_ranges_is_refused(trained: Trained, tmp_path: Path) -> None:
    held = load_checkpoint(trained.quantized)
    save_checkpoint(tmp_path / "x.pt", replace(held, quantization=Quantization("int8-x86", {"a": (0.0, 0)})))
    with pytest.raises(CheckpointError, match="broken description"):
        load_checkpoint(tmp_path / "x.pt")


def test_one_option_alone_and_another_net_are_refused(trained: Trained, tmp_path: Path) -> None:
    for alone in ({"resume_from": trained.best}, {"quantize": "int8-x86"}):
        with pytest.raises(UsageError, match="goes on learning"):
            training.plan_of(trained.recipe, trained.data, tmp_path, **alone)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="scheme"):
        training.plan_of(trained.recipe, trained.data, tmp_path, resume_from=trained.best, quantize="int8-gpu")
    plan = training.plan_of(trained.recipe, trained.data, tmp_path, resume_from=trained.best, quantize="int8-x86")
    checkpoint: Checkpoint = load_checkpoint(trained.best)
    other = replace(checkpoint, spec=replace(checkpoint.spec, classes=("red", "green")))
    from edgekit.training.tasks import make_task

    with pytest.raises(UsageError, match="another classes"):
        QuantizedTraining(make_task(plan.recipe, plan.data), other, "int8-x86")


def test_a_recipe_becomes_a_short_fine_tuning(trained: Trained) -> None:
    from edgekit.config.recipe import load_recipe

    recipe = load_recipe("classifier")
    short = load_recipe("classifier", shortened(recipe))
    assert short.schedule.epochs == max(1, round(recipe.schedule.epochs / 10))
    assert short.schedule.lr_head == pytest.approx(recipe.schedule.lr_head / 10)
    assert not short.compete.share
    assert not short.schedule.probe_views
