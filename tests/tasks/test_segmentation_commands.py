"""A segmentation model's file goes through every command, and the data set that is asked for has masks."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

import edgekit
from edgekit.benchmark.quality.robustness import robustness
from edgekit.data import load_dataset
from tests.conftest import Cli
from tests.tasks import painter as painting
from tests.tasks.painter import CLASSES, COLOURS, SIZE, opened, painter, scene, scenes, sealed, spec_of

TIMES = ("--iterations", 3, "--turns", 2, "--warmup", 0, "--no-cold")


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sealed(tmp_path_factory.mktemp("net") / "painter.onnx", painter())


@pytest.fixture(scope="module")
def worse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It takes cars for trees, and is off by half a small pixel."""
    colours = np.array(list(COLOURS.values()), np.float32)
    colours[3] += 60
    return sealed(tmp_path_factory.mktemp("net") / "worse.onnx", painter(resize="asymmetric", weights=0.04 * colours))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pictures of twice the net's size, with masks whose corner is void."""
    folder = tmp_path_factory.mktemp("data")
    for name in ("images", "masks"):
        (folder / name).mkdir()
    for i in range(6):
        frame, mask = scene(i, (2 * SIZE[0], 2 * SIZE[1]))
        stored = mask.astype(np.uint8)
        stored[:9, :9] = 255
        Image.fromarray(frame[..., ::-1]).save(folder / "images" / f"{i}.png")
        Image.fromarray(stored).save(folder / "masks" / f"{i}.png")
    (folder / "classes.txt").write_text("\n".join(CLASSES))
    return folder


def test_predict_draws_and_writes_masks_that_are_read_again(cli: Cli, net: Path, data: Path, tmp_path: Path) -> None:
    seen = cli("predict", net, data / "images", "--out", tmp_path / "out")
    assert seen.code == 0, seen.text
    assert "sky" in seen.out.splitlines()[0]
    assert len(list((tmp_path / "out").glob("*.jpg"))) == 6
    with edgekit.load(net) as model:
        wanted = model(data / "images" / "3.png").mask
    with Image.open(tmp_path / "out" / "3.mask.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), wanted)
    again = tmp_path / "again"
    again.mkdir()
    (again / "images").symlink_to(data / "images")
    (again / "masks").mkdir()
    for file in (tmp_path / "out").glob("*.mask.png"):
        (again / "masks" / file.name).write_bytes(file.read_bytes())
    measured = cli("eval", net, "--data", again, "--format", "json")
    assert measured.code == 0, measured.text
    assert json.loads(measured.out)["miou"] == 1, "a model is right by its own masks"


def test_predict_gives_json_and_keeps_its_hands_off_pictures(cli: Cli, net: Path, data: Path, tmp_path: Path) -> None:
    (line,) = cli("predict", net, data / "images" / "0.png", "--format", "json").out.splitlines()
    told = json.loads(line)
    assert told["size"] == [96, 128]
    assert sum(area["share"] for area in told["areas"]) == pytest.approx(1, abs=1e-4)
    Image.open(data / "images" / "0.png").save(tmp_path / "a.mask.png")
    Image.open(data / "images" / "0.png").save(tmp_path / "a.png")
    held = (tmp_path / "a.mask.png").read_bytes()
    for _ in range(2):  # with what the first call left behind too
        assert cli("predict", net, tmp_path / "a.png", tmp_path / "a.mask.png", "--out", tmp_path, "--force").code == 1
        assert (tmp_path / "a.mask.png").read_bytes() == held


def test_eval_prints_miou_with_its_interval_and_each_class(cli: Cli, net: Path, data: Path) -> None:
    text = cli("eval", net, "--data", data)
    assert text.code == 0, text.text
    assert "painter.onnx on 6 pictures with" in text.out
    assert "(0.7% are void)" in text.out
    assert "mIoU" in text.out and "boundary F" in text.out and "  car" in text.out  # noqa: PT018
    assert f"{data / 'images'}" in text.err.splitlines()[-1], "the next command takes no masks for pictures"
    found = json.loads(cli("eval", net, "--data", data, "--format", "json").out)
    low, high = found["miou_interval"]
    assert 0.7 < low < found["miou"] < high < 1
    assert set(found["classes"]) == set(CLASSES)
    by_hand = by_numpy(net, data)
    assert found["miou"] == pytest.approx(by_hand, abs=1e-9)
    assert edgekit.evaluate(net, data).main == found["miou"]


def by_numpy(net: Path, data: Path) -> float:
    """mIoU in a few lines that share nothing with the metrics."""
    both = dict.fromkeys(range(4), 0)
    either = dict.fromkeys(range(4), 0)
    with edgekit.load(net) as model:
        for i in range(6):
            truth = np.asarray(Image.open(data / "masks" / f"{i}.png")).astype(int)
            told, known = model(data / "images" / f"{i}.png").mask, truth != 255
            for label in range(4):
                both[label] += int(((truth == label) & (told == label))[known].sum())
                either[label] += int(((truth == label) | (told == label))[known].sum())
    return float(np.mean([both[label] / either[label] for label in range(4)]))


def test_eval_asks_for_masks(cli: Cli, net: Path, data: Path) -> None:
    outcome = cli("eval", net, "--data", data / "images")
    assert outcome.code == 1
    assert "has no masks that are read" in outcome.err


def test_verify_compares_and_names_what_differs(cli: Cli, net: Path, worse: Path, data: Path) -> None:
    same = cli("verify", net, net, "--pictures", 4)
    assert same.code == 0, same.text
    assert "equal to painter.onnx" in same.out
    assert "pixels 100.0000% away from edges 100.0000% worst IoU 1.0000" in same.out
    other = cli("verify", net, worse, "--data", data)
    assert other.code == 3
    assert "equal pixels" in other.text


def test_bench_shows_miou_beside_latency(cli: Cli, net: Path, worse: Path, data: Path, tmp_path: Path) -> None:
    done = cli("bench", net, worse, "--data", data, "--out", tmp_path / "bench", *TIMES)
    assert done.code == 0, done.text
    first, second = json.loads((tmp_path / "bench" / "bench.json").read_text())["rows"]
    assert first["accuracy"]["task"] == "segmentation"
    assert first["accuracy"]["metrics"]["miou"]["value"] == pytest.approx(by_numpy(net, data), abs=1e-9)
    assert set(first["accuracy"]["metrics"]) == {"miou", "pixel_accuracy", "boundary_f"}
    assert second["agreement"]["verdict"] == "worse"
    assert second["agreement"]["share"]["value"] < 0.999
    assert len(second["agreement"]["worst"]) == 6
    assert second["agreement"]["worst"][0]["jpeg"]
    page = (tmp_path / "bench" / "bench.html").read_text()
    assert "mIoU against latency" in page
    assert "miou 8" in (tmp_path / "bench" / "bench.md").read_text()
    assert "miou," in (tmp_path / "bench" / "bench.csv").read_text()


@pytest.mark.slow
def test_bench_without_masks_measures_no_accuracy(cli: Cli, net: Path, tmp_path: Path) -> None:
    done = cli("bench", net, "--out", tmp_path / "bench", "--pictures", 4, *TIMES)
    assert done.code == 0, done.text
    (row,) = json.loads((tmp_path / "bench" / "bench.json").read_text())["rows"]
    assert row["accuracy"] is None
    assert row["timing"]["stages"]["post"]["p50"] > 0


def test_bad_pictures_cost_miou() -> None:
    with opened(painter()) as model:
        found = robustness(model, scenes(3), kinds=("fog",))
    assert found.metric == "miou"
    assert found.clean > found.corruptions["fog"][-1] > 0


def test_the_camera_follows_what_a_mask_shows(cli: Cli, net: Path, tmp_path: Path) -> None:
    """A car, as a hive's insect would, crosses the picture; the road and the sky are around it."""
    frames = tmp_path / "frames"
    frames.mkdir()
    for i in range(12):
        frame = np.empty((96, 128, 3), np.uint8)
        frame[:48], frame[48:] = COLOURS["sky"], COLOURS["road"]
        frame[56:80, 8 + 6 * i : 32 + 6 * i] = COLOURS["car"]
        Image.fromarray(frame[..., ::-1]).save(frames / f"{i:03}.png")
    call = ("camera", "--source", frames, "--model", net, "--json-lines", "--set", f"store.folder={tmp_path / 'kept'}")
    refused = cli(*call)
    assert refused.code != 0
    assert "model.absent must say which of them are no insects" in refused.err
    outcome = cli(*call, "--set", 'model.absent=["sky", "road", "tree"]')
    assert outcome.code == 0, outcome.text
    events = [json.loads(line) for line in outcome.out.splitlines()]
    assert {event["label"] for event in events} == {"car"}
    assert max(event["count_max"] for event in events) == 1
    x1, y1, x2, y2 = events[-1]["box"]
    assert (x2 - x1, y2 - y1) == pytest.approx((24 / 128, 24 / 96), abs=0.04)  # of the picture's sides
    told = [event["area"] for event in events if event["type"] != "end"]
    assert told == pytest.approx([24 * 24 / (96 * 128)] * len(told), abs=0.005)
    assert events[-1]["area"] == 0
    assert events[-1]["area_max"] >= max(event["area"] for event in events)  # events are told of now and then
    assert events[-1]["area_max"] == pytest.approx(24 * 24 / (96 * 128), abs=0.005)


@pytest.mark.parametrize("key", ["model.crops=true", "model.tiles=[2, 2]"])
def test_the_camera_says_what_it_does_not_do_with_masks(cli: Cli, net: Path, tmp_path: Path, key: str) -> None:
    scene_ = "synthetic://hive?seed=1&frames=2"
    more = ("--set", key, "--set", 'model.absent=["sky"]', "--set", f"store.folder={tmp_path}")
    outcome = cli("camera", "--source", scene_, "--model", net, *more)
    assert outcome.code != 0
    assert "model.crops and model.tiles are not for masks" in outcome.err


def plain_maps(path: Path) -> Path:
    """What people export: float NCHW in, logits at a quarter of the size out, nothing said about either."""
    made = painter()
    nodes = [node for node in made.graph.node if node.op_type in ("AveragePool", "Conv")]
    h, w = SIZE
    graph = helper.make_graph(
        nodes,
        "plain",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, h, w])],
        [helper.make_tensor_value_info("near", TensorProto.FLOAT, [1, len(CLASSES), h // 4, w // 4])],
        [one for one in made.graph.initializer if one.name in ("kernel", "bias")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def test_an_adopted_file_is_measured_as_our_own(cli: Cli, net: Path, data: Path, tmp_path: Path) -> None:
    """Behind raw pictures and a stretch the plain maps are the painter's, so their figure is too."""
    out = tmp_path / "adopted"
    how = ("--task", "segmentation", "--classes", data / "classes.txt", "--pictures", 4)
    prepared = "raw,color=bgr,resize=stretch,interpolation=nearest"
    adopted = cli("adopt", plain_maps(tmp_path / "plain.onnx"), *how, "--preprocess", prepared, "--out", out)
    assert adopted.code == 0, adopted.text
    assert "verified: equal to this ONNX" in adopted.text
    figures = [
        json.loads(cli("eval", file, "--data", data, "--format", "json").out) for file in (net, out / "plain.onnx")
    ]
    assert figures[1]["miou"] == pytest.approx(figures[0]["miou"], abs=1e-6)
    assert "pixels 100.0000% away from edges 100.0000%" in cli("verify", net, out / "plain.onnx", "--data", data).out


@pytest.mark.slow
def test_camvid_is_measured_with_real_masks(cli: Cli, tmp_path: Path) -> None:
    """A net that knows mean colours alone is bad, and its figure is that of a few lines of numpy."""
    if not os.environ.get("EDGEKIT_DATA"):
        pytest.skip("EDGEKIT_DATA is not set: no real data")
    names = ("sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist")
    data = load_dataset(Path(os.environ["EDGEKIT_DATA"]) / "camvid", names)
    few = [(sample.read(), sample.read_mask()) for sample in data.samples[::10]]
    means = [np.mean([f[m == i].mean(0) for f, m in few if (m == i).any()], axis=0) for i in range(len(names))]
    size = (360, 480)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(painting, "COLOURS", dict(zip(names, means, strict=True)))
        file = sealed(tmp_path / "means.onnx", painter(size, order=names), spec_of(size, names))
    measured = edgekit.evaluate(file, Path(os.environ["EDGEKIT_DATA"]) / "camvid")
    plain: dict[str, Any] = measured.to_dict()
    assert plain["n"] == 101
    assert 0.01 < plain["void"] < 0.06
    assert 0.1 < plain["miou"] < 0.3
    assert plain["classes"]["sky"]["iou"] > 0.5
