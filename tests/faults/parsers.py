"""Everything that edgekit reads from files: an input that is right, a way to damage it, and the reader.

A reader gets an empty folder and the bytes, writes them under the name that they are read by, and reads.
"""

# ruff: noqa: E501 - tables

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from PIL import Image

from edgekit import nets
from edgekit.artifacts.deployment import read_deployment
from edgekit.artifacts.engine import Card, changes, differences, read_engine, write_engine
from edgekit.artifacts.engine_key import Batch, BuildOptions, Place
from edgekit.artifacts.metadata import Lineage, Metadata
from edgekit.artifacts.onnx_file import KEY, embed, graph_digest, read_onnx
from edgekit.benchmark.report_file import read_report
from edgekit.benchmark.suite import load_suite
from edgekit.camera.config import StoreConfig, load_config
from edgekit.camera.source.disk.video import VideoGrabber
from edgekit.camera.source.grabber import Ended
from edgekit.camera.source.http.mjpeg import MjpegGrabber
from edgekit.camera.store.avi import AviWriter, read_avi
from edgekit.camera.store.reader import Reader
from edgekit.camera.store.store import Store
from edgekit.checkpoints.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from edgekit.cli.shared.options import read_classes, read_preprocess
from edgekit.config.recipe import load_recipe
from edgekit.config.target import load_target
from edgekit.data import load_dataset
from edgekit.data.looks import picture_hash
from edgekit.data.sample import Sample
from edgekit.errors import PictureError, SourceError
from edgekit.pipeline.expected import read_pairs
from edgekit.quantize.calibration import Calibration, Key, load_calibration, save_calibration
from edgekit.quantize.observers import Histogram
from edgekit.quantize.search import Measured, _Memory
from edgekit.spec import ModelSpec, PreprocessSpec, digest
from edgekit.training.loop.state import Progress, load_state, save_state
from edgekit.vision.image import picture_problem, read_picture
from tests.benchmark.conftest import made_report, made_row
from tests.faults.mutations import Mutate, blind, json_like, lines, protobuf, zipped

ROOT = Path(__file__).parents[2]
CLASSES = ("bee", "hornet")
SPEC = ModelSpec("resnet18", CLASSES, PreprocessSpec(16, 16, shorter_side=16), {"norm": "batch", "width": 0.05})
PLACE = Place("tensorrt", "10.3.0", "8.7", "Orin", "12.6", "36.4.3", "JetPack 6.2")
KEYS = Key("graph", "data", "preprocess")


@dataclass(frozen=True)
class Parser:
    """One kind of file.

    Attributes:
        seeds: makes inputs that are right.
        read: writes the bytes into the folder and reads them; EdgekitError is all that it may raise.
        mutate: how they are damaged.
        weight: how many of the inputs it gets; those that are slow to read fewer.
    """

    name: str
    seeds: Callable[[], list[bytes]]
    read: Callable[[Path, bytes], object]
    mutate: Mutate = blind
    weight: int = 10


def put(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


@lru_cache(maxsize=1)
def picture(kind: str = "PNG", mode: str = "RGB", size: tuple[int, int] = (24, 16)) -> bytes:
    rng = np.random.default_rng(1)
    stream = io.BytesIO()
    image = Image.fromarray(rng.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)).convert(mode)
    image.save(stream, kind)
    return stream.getvalue()


# --- checkpoints


@lru_cache(maxsize=1)
def _state() -> dict[str, torch.Tensor]:
    """A ResNet-18 of 40 KB."""
    return dict(nets.build(SPEC).state_dict())


def _saved(content: Any, **how: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream, **how)
    return stream.getvalue()


def _checkpoints() -> list[bytes]:
    stream = Path(_scratch(), "seed.pt")
    save_checkpoint(stream, Checkpoint(SPEC, _state(), metrics={"top1": [0.5]}, recipe={"name": "x"}), overwrite=True)
    wrapped = {"state_dict": _state(), "epoch": 3, "arch": "resnet18", "classes": ["bee", "hornet"]}
    return [stream.read_bytes(), _saved(wrapped), _saved(_state())]


def _old_checkpoints() -> list[bytes]:
    return [_saved(_state(), _use_new_zipfile_serialization=False)]


@lru_cache(maxsize=1)
def _safetensors() -> list[bytes]:
    from safetensors.torch import save

    return [save(_state(), {"format": "pt", "classes": '["bee", "hornet"]'})]


def _read_checkpoint(name: str) -> Callable[[Path, bytes], object]:
    return lambda folder, data: load_checkpoint(put(folder, name, data), classes=CLASSES)


@lru_cache(maxsize=1)
def _plain() -> bytes:
    """A whole ResNet-18's keys and shapes, each tensor one number repeated: 30 KB, and 0.1 s to read."""
    whole = nets.build(ModelSpec("resnet18", CLASSES, SPEC.preprocess)).state_dict()
    return _saved({k: torch.ones((), dtype=v.dtype).expand(v.shape) for k, v in whole.items()})


BESIDE = json.dumps(
    {"architecture": "resnet18", "num_classes": 2, "label_names": ["bee", "hornet"], "id2label": {"0": "bee", "1": "hornet"},
     "pretrained_cfg": {"input_size": [3, 64, 64], "mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2], "crop_pct": 0.875,
                        "interpolation": "bilinear"}}
).encode()  # fmt: skip


def _read_beside(folder: Path, data: bytes) -> object:
    put(folder, "config.json", data)
    return load_checkpoint(put(folder, "pytorch_model.bin", _plain()))


def _states() -> list[bytes]:
    path = Path(_scratch(), "last.state.pt")
    progress = Progress(step=3, rows=[{"epoch": 1.0, "loss": 0.5}], best=[0.1, 0.2])
    save_state(path, {"recipe": {"data": {"path": "x"}}, "digest": "d", "net": _state()}, progress)
    return [path.read_bytes()]


def _read_state(folder: Path, data: bytes) -> object:
    return load_state(put(folder, "last.state.pt", data), {"data": {"path": "x"}}, "d")


# --- exported files


def _metadata() -> Metadata:
    return Metadata(SPEC, Lineage("a" * 64, "b" * 64), "uint8", "fp32", "x86-cpu", {"onnx": "1"}, {"passed": True})


def _graph() -> onnx.ModelProto:
    h = onnx.helper
    weight = onnx.numpy_helper.from_array(np.ones((2, 3), np.float32), "w")
    inner = h.make_graph([h.make_node("Identity", ["y"], ["z"])], "inner", [], [h.make_tensor_value_info("z", 1, None)])
    nodes = [
        h.make_node("Gemm", ["x", "w"], ["y"], transB=1, alpha=1.0),
        h.make_node("Constant", [], ["c"], value=onnx.numpy_helper.from_array(np.array([1, 2]), "c")),
        h.make_node("If", ["b"], ["logits"], then_branch=inner, else_branch=inner),
    ]
    inputs = [h.make_tensor_value_info("x", 1, ["N", 3]), h.make_tensor_value_info("b", 9, [])]
    graph = h.make_graph(nodes, "net", inputs, [h.make_tensor_value_info("logits", 1, ["N", 2])], [weight])
    return h.make_model(graph, opset_imports=[h.make_opsetid("", 20)], producer_name="edgekit")


@lru_cache(maxsize=1)
def onnx_bytes() -> bytes:
    model = _graph()
    embed(model, _metadata())
    return bytes(model.SerializeToString())


def _read_onnx(folder: Path, data: bytes) -> object:
    artifact = read_onnx(put(folder, "net.onnx", data))
    artifact.metadata.to_dict()
    return artifact.metadata.model.outputs, artifact.metadata.model.preprocess.describe()


def _read_resigned(folder: Path, data: bytes) -> object:
    """An ONNX of which someone has computed the hash of its graph anew, as anybody can."""
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
        content = {**_metadata().to_dict(), "lineage": {"checkpoint": "a", "folded": "b", "graph": graph_digest(model)}}
        del model.metadata_props[:]
        onnx.helper.set_model_props(model, {KEY: json.dumps({**content, "digest": digest(content)})})
        data = model.SerializeToString()
    except Exception:  # noqa: BLE001 - then as it is
        pass
    return _read_onnx(folder, data)


def _sign(content: Any) -> Any:
    if isinstance(content, dict):
        content = {k: v for k, v in content.items() if k != "digest"}
        if isinstance(content.get("model"), dict) and isinstance(content["model"].get("preprocess"), dict):
            content["preprocess_digest"] = digest(content["model"]["preprocess"])
        return {**content, "digest": digest(content)}
    return content


def _metadata_seed() -> list[bytes]:
    found = _metadata().to_dict()
    found["lineage"]["graph"] = graph_digest(_graph())
    detector = ModelSpec("centernet-r18", CLASSES, SPEC.preprocess, {}, "detection", 1.0, 100, (0.2, 0.3))
    other = {**found, "model": detector.to_dict(), "preprocess_digest": detector.preprocess.digest}
    return [json.dumps(_sign(value)).encode() for value in (found, other)]


def _read_metadata(folder: Path, data: bytes) -> object:
    model = _graph()
    entry = model.metadata_props.add()
    entry.key, entry.value = KEY, data.decode("utf-8", "replace")
    return _read_onnx(folder, model.SerializeToString())


PLAN = b"a plan"


def _sidecars() -> list[bytes]:
    path = Path(_scratch(), "net.engine")
    card = Card(
        plan_sha256=hashlib.sha256(PLAN).hexdigest(), plan_bytes=len(PLAN), onnx_sha256="ab" * 32, onnx_name="net.onnx",
        target="jetson-orin-nano", built_on=PLACE, options=BuildOptions("tensorrt", ("8.7",), Batch(1, 1, 4)),
        profiles={"image": [[1, 48, 64, 3], [1, 48, 64, 3], [4, 48, 64, 3]]}, metadata=_metadata(),
        layers={"convolutions": 20}, refused=({"onnx": "a.onnx", "precision": "int8", "reason": "no kernel"},),
    )  # fmt: skip
    write_engine(path, PLAN, card, overwrite=True)
    return [Path(f"{path}.json").read_bytes()]


def _sign_sidecar(content: Any) -> Any:
    if isinstance(content, dict) and isinstance(content.get("metadata"), dict):
        content["metadata"] = {k: v for k, v in _sign(content["metadata"]).items() if k != "digest"}
    return _sign(content)


def _read_sidecar(folder: Path, data: bytes) -> object:
    put(folder, "net.engine", PLAN)
    put(folder, "net.engine.json", data)
    card = read_engine(folder / "net.engine").card
    return card.rebuild(), differences(card, PLACE), changes(card, "c" * 64, "10.4.0", card.options), card.to_dict()


def _read_deployment(folder: Path, data: bytes) -> object:
    put(folder, "net.onnx", b"model")
    return read_deployment(put(folder, "deployment.json", data))


def _deployments() -> list[bytes]:
    runtime = {"backend": "onnxruntime", "provider": "cpu", "threads": 2}
    sha256 = hashlib.sha256(b"model").hexdigest()
    return [json.dumps({"format": 1, "artifact": "net.onnx", "sha256": sha256, "runtime": runtime}).encode()]


# --- what a quantization keeps


def _calibrations() -> list[bytes]:
    path = Path(_scratch(), "c.npz")
    seen = Histogram()
    seen.add(np.linspace(-1, 2, 500, dtype=np.float32))
    save_calibration(path, Calibration(KEYS, 3, {"image": seen, "y": seen}, ("a note",)))
    return [path.read_bytes()]


def _searches() -> list[bytes]:
    path = Path(_scratch(), "s.json")
    path.unlink(missing_ok=True)
    memory = _Memory(path, "key")
    memory.costs = {"conv": 0.5}
    memory.keep(frozenset({"conv"}), Measured(**_measured()))
    return [path.read_bytes()]


def _measured() -> dict[str, Any]:
    return {f.name: 0.5 for f in fields(Measured)}


# --- labels


def _folder_with(name: str, *pictures: str) -> Callable[[Path, bytes], object]:
    def read(folder: Path, data: bytes) -> object:
        for place in pictures:
            put(folder, place, picture())
        put(folder, name, data)
        dataset = load_dataset(folder)
        return dataset.notes, [s.ground_truth() for s in dataset if s.boxes is not None]

    return read


def _yolo_label(folder: Path, data: bytes) -> object:
    put(folder, "data.yaml", b"names: [bee, hornet]\nval: images\n")
    put(folder, "images/b.png", picture())
    put(folder, "labels/b.txt", b"0 0.5 0.5 0.2 0.2\n")
    return _folder_with("labels/a.txt", "images/a.png")(folder, data)


def _yolo_config(folder: Path, data: bytes) -> object:
    put(folder, "labels/a.txt", b"0 0.5 0.5 0.2 0.2\n")
    put(folder, "val/labels/b.txt", b"1 0.5 0.5 0.2 0.2\n")
    return _folder_with("data.yaml", "images/a.png", "val/images/b.png")(folder, data)


def _cocos() -> list[bytes]:
    image = {"id": 1, "file_name": "a.png", "width": 24, "height": 16}
    box = {"id": 1, "image_id": 1, "category_id": 3, "bbox": [1, 2, 5.5, 6], "area": 33.0, "iscrowd": 0,
           "segmentation": [[1, 2, 6, 2, 6, 8]]}  # fmt: skip
    crowd = {**box, "id": 2, "iscrowd": 1, "segmentation": {"size": [16, 24], "counts": [10, 20, 354]}}
    kinds = [{"id": 3, "name": "bee", "supercategory": "insect"}, {"id": 7, "name": "hornet"}]
    return [json.dumps({"images": [image], "annotations": [box, crowd], "categories": kinds}).encode()]


YAML = b"""# a set
path: .
train: images
val: [images, val/images]
nc: 2
names:
  0: bee
  1: "horn: et"
"""
YAML_FLOW = b"""---
train: &t images
val: [*t, "val/im\\x61ges"]
names: {"0": bee, ? 1 : 'horn''et',}
download: |
  print("[")
roboflow: {tags: [!!str a, >-b], url: http://a.b/c}
"""
VOC = b"""<annotation><folder>x</folder><filename>a.png</filename><size><width>24</width><height>16</height><depth>3</depth>
</size><object><name>bee</name><difficult>0</difficult><bndbox><xmin>2</xmin><ymin>3</ymin><xmax>9</xmax><ymax>12</ymax>
</bndbox></object><object><name>hornet</name><polygon><x1>1</x1><y1>2</y1><x2>9</x2><y2>3</y2><x3>4</x3><y3>9</y3>
</polygon></object></annotation>"""


# --- pictures and clips


def _pictures() -> list[bytes]:
    kinds = [("JPEG", "RGB"), ("JPEG", "CMYK"), ("PNG", "P"), ("PNG", "RGBA"), ("PNG", "I;16"), ("GIF", "P"), ("BMP", "RGB"),
             ("TIFF", "RGB"), ("WEBP", "RGB"), ("PPM", "RGB"), ("PPM", "L")]  # fmt: skip
    exif = io.BytesIO()
    Image.open(io.BytesIO(picture())).save(exif, "JPEG", exif=Image.Exif().tobytes(), progressive=True)
    return [*(picture.__wrapped__(kind, mode) for kind, mode in kinds), exif.getvalue()]


def _read_picture(folder: Path, data: bytes) -> object:
    path = put(folder, "a.png", data)
    picture_problem(path)
    try:
        read_picture(path)
    except PictureError:
        return picture_hash(Sample(path, None, None))
    return picture_hash(Sample(path, None, None))


def _clips() -> list[bytes]:
    path = Path(_scratch(), "a.avi")
    writer = AviWriter(path)
    for i in range(3):
        writer.write(picture.__wrapped__("JPEG"), i / 10)
    writer.close()
    return [path.read_bytes()]


def _read_clip(folder: Path, data: bytes) -> object:
    step, pictures = read_avi(put(folder, "a.avi", data))
    return 1 / step, [len(p) for p in pictures]


class _Answer:
    def __init__(self, data: bytes) -> None:
        self._stream = io.BytesIO(data)

    def read1(self, size: int) -> bytes:
        return self._stream.read(min(size, 1500))

    def close(self) -> None:
        pass


def _streams() -> list[bytes]:
    jpeg = picture.__wrapped__("JPEG")
    part = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n"
    return [part % (len(jpeg), jpeg) * 3 + b"--frame\r\n"]


def _read_stream(_: Path, data: bytes) -> object:
    grabber = MjpegGrabber(_Answer(data), 1.0)  # type: ignore[arg-type]
    frames = 0
    try:
        while True:
            frames += grabber.read() is not None
    except SourceError:
        return frames


def _videos() -> list[bytes]:
    import cv2

    found = _clips()
    for name, codec in (("a.mp4", "mp4v"), ("b.mkv", "mp4v")):
        path = Path(_scratch(), name)
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 10.0, (64, 48))
        for i in range(4):
            writer.write(np.full((48, 64, 3), 60 * i, np.uint8))
        writer.release()
        found.append(path.read_bytes())
    return found


def _read_video(folder: Path, data: bytes) -> object:
    video = VideoGrabber(put(folder, "a.bin", data))
    try:
        frames = 0
        with contextlib.suppress(Ended):
            while frames < 100:
                frames += video.read() is not None
        return frames, video.length(), video.cut
    finally:
        video.close()


PLAIN = ModelSpec("resnet18", CLASSES, PreprocessSpec(8, 8, shorter_side=8))


def _pairs() -> list[bytes]:
    found = []
    for images in (np.zeros((2, 3, 8, 8), np.float32), np.zeros((2, 8, 8, 3), np.uint8)):
        stream = io.BytesIO()
        np.savez(stream, images=images, logits=np.zeros((2, 2), np.float32), color=np.array("rgb"))
        found.append(stream.getvalue())
    return found


# --- rows of the store


def _rows() -> list[bytes]:
    event = {"id": "0000018c-0000-0000-0000-000000000000", "type": "end", "seq": 3, "label": "hornet", "count": 0,
             "start": "2026-05-01T10:00:00+00:00", "last_seen": "2026-05-01T10:00:09+00:00", "end": None,
             "snapshot": {"path": "snapshots/a.jpg", "sha256": "ab", "bytes": 3}, "clip": None}  # fmt: skip
    return [json.dumps(event).encode()]


def _read_row(folder: Path, data: bytes) -> object:
    store = Store(folder / "visits", StoreConfig(folder=folder / "visits", reserve_mb=0, quota_mb=1))
    store.add(json.loads(_rows()[0]))
    store.close()
    with closing(sqlite3.connect(folder / "visits/visits.db")) as db, db:
        db.execute("UPDATE visits SET event = CAST(? AS TEXT), ended = 0", (data,))
        db.execute("UPDATE events SET event = CAST(? AS TEXT)", (data,))
    reader = Reader(folder / "visits")
    found = reader.visits(), reader.visit(json.loads(_rows()[0])["id"]), reader.days(0, 1e10)
    store = Store(folder / "visits", StoreConfig(folder=folder / "visits", reserve_mb=0, quota_mb=1))
    try:
        return found, store.unfinished(), store.tidy(force=True), store.sweep()
    finally:
        store.close()


# --- tables of settings


def _toml_files(*places: str) -> Callable[[], list[bytes]]:
    return lambda: [file.read_bytes() for place in places for file in sorted(ROOT.glob(place))]


CAMERA = b"""camera = "hive-1"
[source]
uri = "rtsp://192.168.1.20/stream"
open_timeout = 2.0
[model]
path = "hornets.onnx"
[store]
folder = "visits"
quota_mb = 1000
"""
SUITE = b"""title = "ours"
seconds = 2.0
turns = 3
[[matrix]]
models = ["a.onnx", "b.onnx"]
backends = ["onnxruntime", "openvino"]
threads = [0, 1]
"""
PREPROCESS = (
    b'height = 48\nwidth = 64\nresize = "crop"\nshorter_side = 72\nmean = [0.5, 0.5, 0.5]\nstd = [0.2, 0.2, 0.2]\n'
)

_SCRATCH: list[str] = []


def _scratch() -> str:
    import tempfile

    if not _SCRATCH:
        _SCRATCH.append(tempfile.mkdtemp())
    return _SCRATCH[0]


_PT = zipped({"data.pkl": blind})
PARSERS = (
    Parser("checkpoint", _checkpoints, _read_checkpoint("a.pt"), _PT, 8),
    Parser("checkpoint-old", _old_checkpoints, _read_checkpoint("a.pth"), blind, 6),
    Parser("safetensors", _safetensors, _read_checkpoint("a.safetensors"), blind, 6),
    Parser("beside", lambda: [BESIDE], _read_beside, json_like(), 1),
    Parser("training-state", _states, _read_state, _PT, 4),
    Parser("onnx", lambda: [onnx_bytes()], _read_onnx, protobuf, 8),
    Parser("onnx-resigned", lambda: [onnx_bytes()], _read_resigned, protobuf, 12),
    Parser("metadata", _metadata_seed, _read_metadata, json_like(_sign), 14),
    Parser("sidecar", _sidecars, _read_sidecar, json_like(_sign_sidecar), 14),
    Parser("deployment", _deployments, _read_deployment, json_like(), 8),
    Parser("calibration", _calibrations, lambda f, d: load_calibration(put(f, "c.npz", d), KEYS), zipped({}), 4),
    Parser("search", _searches, lambda f, d: _Memory(put(f, "s.json", d), "key"), json_like(), 8),
    Parser("bench", lambda: [_report()], lambda f, d: read_report(put(f, "bench.json", d)), json_like(), 8),
    Parser("coco", _cocos, _folder_with("annotations/instances_val.json", "val/a.png"), json_like(), 14),
    Parser("yolo-config", lambda: [YAML, YAML_FLOW], _yolo_config, lines, 10),
    Parser("yolo-label", lambda: [b"0 0.5 0.5 0.2 0.2\n1 0.1 0.1 0.4 0.1 0.3 0.3\n"], _yolo_label, lines, 10),
    Parser("voc", lambda: [VOC], _folder_with("Annotations/a.xml", "JPEGImages/a.png"), blind, 10),
    Parser(
        "csv",
        lambda: [b"file,class\na.png,bee\nb.png,hornet\n"],
        _folder_with("labels.csv", "a.png", "b.png"),
        lines,
        10,
    ),
    Parser("picture", _pictures, _read_picture, blind, 20),
    Parser("clip", _clips, _read_clip, blind, 8),
    Parser("stream", _streams, _read_stream, blind, 8),
    Parser("video", _videos, _read_video, blind, 3),
    Parser("pairs", _pairs, lambda f, d: read_pairs(put(f, "p.npz", d), PLAIN), zipped({}), 4),
    Parser("recipe", _toml_files("models/*.toml"), lambda f, d: load_recipe(str(put(f, "r.toml", d))), lines, 8),
    Parser(
        "target", _toml_files("export/targets/*.toml"), lambda f, d: load_target(str(put(f, "t.toml", d))), lines, 8
    ),
    Parser("camera", lambda: [CAMERA], lambda f, d: load_config(put(f, "c.toml", d)), lines, 8),
    Parser("suite", lambda: [SUITE], lambda f, d: load_suite(put(f, "s.toml", d)), lines, 8),
    Parser("preprocess", lambda: [PREPROCESS], lambda f, d: read_preprocess(put(f, "p.toml", d)), lines, 8),
    Parser("row", _rows, _read_row, json_like(), 2),
    Parser("classes", lambda: [b"bee\nhornet\n"], lambda f, d: read_classes(put(f, "c.txt", d)), lines, 3),
)


def _report() -> bytes:
    rng = np.random.default_rng(0)
    row = made_row("a", [rng.lognormal(2, 0.1, 20) for _ in range(3)])
    return made_report(row).to_json().encode()
