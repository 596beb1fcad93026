"""Small inputs that ask for much: what they are, and a process that reads each in a fork of its own and measures it.

`python -m tests.faults.bombs FOLDER [SECONDS MEGABYTES [NAME ...]]` prints one line of JSON a bomb: what happened, seconds of processor
time, and megabytes of memory above those of the process that read it. A fork that goes over a limit is ended by it.
"""

# ruff: noqa: E501 - tables

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import resource
import struct
import sys
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

MB = 10**6
Make = Callable[[Path], object]
BOMBS: dict[str, tuple[Callable[..., Any], Make]] = {}


def bomb(name: str, read: Callable[..., Any]) -> Callable[[Make], Make]:
    """Enters a maker of an input, which gets an empty folder and returns what `read` takes."""

    def enter(make: Make) -> Make:
        BOMBS[name] = (read, make)
        return make

    return enter


def put(folder: Path, name: str, data: bytes | str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def bombs_of(read: Callable[..., Any], file: str, **contents: Callable[[], bytes | str]) -> None:
    """Enters several contents of one file."""
    for name, content in contents.items():
        bomb(name.replace("_", " "), read)(lambda folder, content=content: put(folder, file, content()))  # type: ignore[misc]


# --- readers, which import what they need as late as the commands do


def deployment(path: Path) -> object:
    from edgekit.artifacts.deployment import read_deployment

    return read_deployment(path)


def dataset(path: Path) -> object:
    from edgekit.data import load_dataset

    return load_dataset(path)


def checkpoint(path: Path) -> object:
    from edgekit.checkpoints.checkpoint import load_checkpoint

    return load_checkpoint(path).net()


def exported(path: Path) -> object:
    from edgekit.artifacts.onnx_file import read_onnx

    return read_onnx(path)


def picture(path: Path) -> object:
    from edgekit.vision.image import read_picture

    return read_picture(path)


def recipe(path: Path) -> object:
    from edgekit.config.recipe import load_recipe

    return load_recipe(str(path))


def camera(path: Path) -> object:
    from edgekit.camera.config import load_config

    return load_config(path)


def suite(path: Path) -> object:
    from edgekit.benchmark.suite import load_suite

    return load_suite(path)


def report(path: Path) -> object:
    from edgekit.benchmark.report_file import read_report

    return read_report(path)


def classes(path: Path) -> object:
    from edgekit.cli.shared.options import read_classes

    return read_classes(path)


def calibration(path: Path) -> object:
    from edgekit.quantize.calibration import Key, load_calibration

    return load_calibration(path, Key("a", "b", "c"))


def sidecar(path: Path) -> object:
    from edgekit.artifacts.engine import read_engine

    return read_engine(path)


def clip(path: Path) -> object:
    from edgekit.camera.store.avi import read_avi

    return [len(part) for part in read_avi(path)[1]]


def stream(data: bytes) -> object:
    from edgekit.camera.source.http.mjpeg import MjpegGrabber
    from edgekit.errors import SourceError

    class Answer:
        held = io.BytesIO(data)

        def read1(self, size: int) -> bytes:
            return self.held.read(size)

    grabber = MjpegGrabber(Answer(), 1.0)  # type: ignore[arg-type]
    if grabber.read() is None:
        raise SourceError("No picture.")
    return None


# --- JSON

DEEP = "[" * 10**6
IMAGES = '"images": [{"id": 1, "file_name": "a.jpg"}], "categories": [{"id": 1, "name": "bee"}]'
bombs_of(
    deployment, "deployment.json",
    deployment_1000000_deep=lambda: DEEP,
    deployment_infinite_threads=lambda: '{"format": 1, "artifact": "a", "sha256": "b", "runtime": {"backend": "x", "provider": "y", "threads": 1e999}}',
    deployment_a_name_of_1_MB=lambda: json.dumps({"format": 1, "artifact": "x" * MB, "sha256": "b", "runtime": {"backend": "x", "provider": "y", "threads": 1}}),
    deployment_100_MB_of_objects=lambda: "[" + "{}," * (33 * MB) + "{}]",
)  # fmt: skip
bombs_of(
    report,
    "bench.json",
    bench_1000000_deep=lambda: '{"schema":' + DEEP,
    bench_100_MB_of_lists=lambda: "[" + "[]," * (33 * MB) + "[]]",
)


def _coco(text: str) -> Make:
    return lambda folder: (
        (put(folder, "val/a.jpg", b""), put(folder, "annotations/instances_val.json", text))[1].parent.parent
    )


bomb("COCO 1000000 nested lists", dataset)(
    _coco('{"annotations": [{"image_id": 1, "category_id": 1, "segmentation": ' + DEEP + f"}}], {IMAGES}}}")
)
bomb("COCO 60 MB of objects", dataset)(
    lambda folder: _coco('{"annotations": [' + "{}," * (20 * MB) + f"{{}}], {IMAGES}}}")(folder)
)
bomb("COCO a file name of 1 MB", dataset)(
    _coco(
        json.dumps(
            {"annotations": [], "images": [{"id": 1, "file_name": "x" * MB}], "categories": [{"id": 1, "name": "bee"}]}
        )
    )
)
bomb("COCO a box of 10**4000", dataset)(
    _coco(
        '{"annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1'
        + "0" * 4000
        + f", 1, 1, 1]}}], {IMAGES}}}"
    )
)

# --- TOML, YAML, XML and lists

bombs_of(
    recipe, "a.toml",
    TOML_100000_deep=lambda: "a = " + "[" * 10**5,
    TOML_a_key_of_100000_parts=lambda: ".".join("a" * 10**5) + " = 1",
    TOML_a_number_of_100000_digits=lambda: "a = " + "9" * 10**5,
    TOML_100_MB=lambda: "a = 1\n" + "#" * (100 * MB),
)  # fmt: skip
bombs_of(camera, "camera.toml", camera_infinite_time=lambda: "[source]\nuri = 'x.mp4'\nopen_timeout = inf\n")
bombs_of(
    suite, "suite.toml", suite_infinite_seconds=lambda: 'title = "x"\nseconds = inf\n[[matrix]]\nmodels = ["a.onnx"]\n'
)
bombs_of(
    classes,
    "classes.txt",
    class_names_900_KB=lambda: "".join(f"{i}\n" for i in range(140_000)),
    class_names_200_MB=lambda: "a\n" * 10**8,
)
bombs_of(
    dataset, "data.yaml",
    YAML_200_KB_of_blanks=lambda: "a" + " " * 200_000 + "!",
    YAML_aliases=lambda: "a: &a [x, x]\n" + "".join(
        f"{c}: &{c} [{', '.join([f'*{p}'] * 9)}]\n" for p, c in zip("abcdefghi", "bcdefghij", strict=True)
    ) + "names: *j\nval: images\n",
    YAML_aliases_as_names=lambda: "a: &a [x]\nnames: [" + "*a," * 300_000 + "]\n",
    YAML_400000_deep=lambda: "names: " + "[" * 400_000,
    YAML_300000_dashes=lambda: "- " * 300_000,
    YAML_200_MB=lambda: "names: [bee]\n" + "#" * (200 * MB),
)  # fmt: skip


def _voc(text: bytes) -> Make:
    return lambda folder: (
        (put(folder, "JPEGImages/a.jpg", b""), put(folder, "Annotations/a.xml", text))[1].parent.parent
    )


_LAUGHS = (
    b"<!DOCTYPE a [<!ENTITY a 'ha'>"
    + b"".join(b"<!ENTITY %c '%s'>" % (c, b"&%c;" % (c - 1) * 10) for c in range(ord("b"), ord("k")))
    + b"]>"
)
bomb("VOC entities", dataset)(_voc(_LAUGHS + b"<annotation><object><name>&j;</name></object></annotation>"))
bomb("VOC 1000000 deep", dataset)(_voc(b"<a>" * 10**6))
bomb("VOC 15 MB of elements", dataset)(_voc(b"<annotation>" + b"<a/>" * (15 * MB // 4) + b"</annotation>"))
bomb("CSV a name of 1 MB", dataset)(
    lambda folder: put(folder, "labels.csv", "file,class\n" + "x" * 100_000 + ",bee\n").parent
)


@bomb("a pipe as data.yaml", dataset)
def _pipe(folder: Path) -> object:
    os.mkfifo(folder / "data.yaml")
    return folder / "data.yaml"


# --- checkpoints


def _zipped(folder: Path, records: dict[str, bytes], how: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(folder / "a.pt", "w", how) as archive:
        for name, data in {"byteorder": b"little", "version": b"3\n", **records}.items():
            archive.writestr(f"archive/{name}", data)
    return folder / "a.pt"


def _number(value: int) -> bytes:
    return b"\x8a\x08" + struct.pack("<q", value)


def _tensor(stored: int, shape: int, stride: int, key: bytes = b"0") -> bytes:
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x00" + key + b"X\x03\x00\x00\x00cpu"
        + _number(stored) + b"tQK\x00" + _number(shape) + b"\x85" + _number(stride) + b"\x85\x89ccollections\nOrderedDict\n)RtR"
    )  # fmt: skip


def _dictionary(value: bytes) -> bytes:
    return b"\x80\x02}X\x01\x00\x00\x00w" + value + b"s."


def _call(name: bytes, argument: int) -> bytes:
    return _dictionary(b"c" + name + b"\n(" + _number(argument) + b"tR")


def _zeros_deflated(megabytes: int) -> tuple[bytes, int]:
    """A raw deflate stream of zeros and their CRC, without compressing them all."""
    block = bytes(MB)
    one = zlib.compressobj(9, zlib.DEFLATED, -15)
    part = one.compress(block) + one.flush(zlib.Z_FULL_FLUSH)
    crc = 0
    for _ in range(megabytes):
        crc = zlib.crc32(block, crc)
    return part * megabytes + zlib.compressobj(9, zlib.DEFLATED, -15).flush(), crc


@bomb("checkpoint 3.5 GB in 3.5 MB of zip", checkpoint)
def _zip_bomb(folder: Path) -> object:
    count = 3500
    data, crc = _zeros_deflated(count)
    path = _zipped(folder, {"data.pkl": _dictionary(_tensor(count * MB // 4, count * MB // 4, 1)), "data/0": b""})
    whole = path.read_bytes()
    name = b"archive/data/0"
    local = whole.index(b"PK\x03\x04", whole.index(name) - 40)
    head, rest = whole[:local], whole[local:]
    end = 30 + len(name)
    sizes = struct.pack("<III", crc, len(data), count * MB)
    entry = rest[:8] + b"\x08\x00" + rest[10:14] + sizes + rest[26:end] + data
    tail = rest[end:]
    directory = tail.rindex(b"PK\x01\x02", 0, tail.index(name))
    central = bytearray(tail)
    central[directory + 10 : directory + 12] = b"\x08\x00"
    central[directory + 16 : directory + 28] = sizes
    at = central.rindex(b"PK\x05\x06")
    offset = struct.unpack_from("<I", central, at + 16)[0] + len(data)
    struct.pack_into("<I", central, at + 16, offset)
    path.write_bytes(head + entry + bytes(central))
    return path


def _nested(depth: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(depth):
        found = [found] * 50
    return found


for _name, _pickle in {
    "checkpoint bytearray(10**10)": _call(b"builtins\nbytearray", 10**10),
    "checkpoint torch.Tensor(10**9)": _call(b"torch\nTensor", 10**9),
    "checkpoint a shape of 8 GB by a stride of 0": _dictionary(_tensor(4, 2 * 10**9, 0)),
    "checkpoint 40 MB of empty lists": b"\x80\x02(" + b"]" * (40 * MB) + b"t.",
    "checkpoint memo 2**31": b"\x80\x02}r\xff\xff\xff\x7f.",
    "checkpoint lists of lists of one list": pickle.dumps({"w": _nested(12)}, 2),
}.items():
    bomb(_name, checkpoint)(lambda folder, data=_pickle: _zipped(folder, {"data.pkl": data, "data/0": bytes(16)}))  # type: ignore[misc]


@bomb("checkpoint a net of 36 GB in 20 MB of names", checkpoint)
def _large_net(folder: Path) -> object:
    import torch

    from edgekit.checkpoints.checkpoint import Checkpoint, save_checkpoint
    from edgekit.spec import ModelSpec, PreprocessSpec

    spec = ModelSpec("resnet152", tuple(map(str, range(300_000))), PreprocessSpec(), {"norm": "batch", "width": 4})
    save_checkpoint(folder / "a.pt", Checkpoint(spec, {"fc.weight": torch.ones(1, 1)}))
    return folder / "a.pt"


@bomb("checkpoint of the old format that claims 40 GB", checkpoint)
def _old(folder: Path) -> object:
    data = b"".join(
        pickle.dumps(value, 2)
        for value in (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {}})
    )
    tensor = _tensor(10**10, 10**10, 1).replace(_number(10**10) + b"tQ", _number(10**10) + b"NtQ")
    return put(
        folder, "a.pth", data + _dictionary(tensor) + pickle.dumps(["0"], 2) + struct.pack("<q", 10**10) + bytes(16)
    )


@bomb("checkpoint a zip of 400000 files", checkpoint)
def _many(folder: Path) -> object:
    entry = struct.pack("<4s6H3I5H2I", b"PK\x01\x02", 20, 20, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0)
    directory = b"".join(entry + b"%07d" % i for i in range(400_000))
    return put(
        folder,
        "a.pt",
        b"PK\x03\x04" + directory + struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 65535, 65535, len(directory), 4, 0),
    )


bombs_of(
    checkpoint, "a.safetensors",
    safetensors_a_header_of_2_to_the_40=lambda: struct.pack("<Q", 2**40) + b"{}",
    safetensors_a_header_of_90_MB=lambda: struct.pack("<Q", 90 * MB) + b'{"__metadata__":{"a":"' + b"x" * (90 * MB - 25) + b'"}}',
)  # fmt: skip

# --- exported files


def _field(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    found = b""
    while value > 127:
        found += bytes([value & 127 | 128])
        value >>= 7
    return found + bytes([value])


def _onnx(**changes: Any) -> bytes:
    """A model of one node with metadata of edgekit's, its hashes right."""
    import numpy as np
    import onnx

    from edgekit.artifacts.metadata import Lineage, Metadata
    from edgekit.artifacts.onnx_file import embed
    from edgekit.spec import ModelSpec, PreprocessSpec

    h = onnx.helper
    weight = onnx.numpy_helper.from_array(np.ones(3, np.float32), "w")
    for key, value in changes.items():
        weight.ClearField(key)
        if value:
            getattr(weight, key).extend(value)
    value = h.make_tensor_value_info("x", 1, [3])
    graph = h.make_graph(
        [h.make_node("Add", ["x", "w"], ["y"])], "g", [value], [h.make_tensor_value_info("y", 1, [3])], [weight]
    )
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 20)])
    embed(
        model,
        Metadata(ModelSpec("resnet18", ("a", "b"), PreprocessSpec()), Lineage("a", "b"), "uint8", "fp32", "x86-cpu"),
    )
    return bytes(model.SerializeToString())


def _subgraphs(depth: int) -> bytes:
    graph = b""
    for _ in range(depth):
        graph = _field(1, _field(5, _field(6, graph)))
    return _field(7, graph)


bombs_of(
    exported, "a.onnx",
    ONNX_20_million_nodes_in_40_MB=lambda: _field(7, b"\x0a\x00" * (20 * MB)),
    ONNX_metadata_of_300_MB=lambda: _onnx() + _field(14, _field(1, b"edgekit") + _field(2, b'{"a":"' + b"x" * (300 * MB) + b'"}')),
    ONNX_metadata_1000000_deep=lambda: _onnx() + _field(14, _field(1, b"edgekit") + _field(2, DEEP.encode())),
    ONNX_graphs_300_deep=lambda: _subgraphs(300),
    ONNX_graphs_5000_deep=lambda: _subgraphs(5000),
    ONNX_a_weight_of_minus_3=lambda: _onnx(dims=[-3]),
    ONNX_a_weight_of_4_TB_without_numbers=lambda: _onnx(dims=[10**12], raw_data=b""),
)  # fmt: skip


@bomb("an engine with a sidecar of 200 MB", sidecar)
def _sidecar(folder: Path) -> object:
    put(folder, "a.engine.json", "[" + "1," * (100 * MB) + "1]")
    return put(folder, "a.engine", b"plan")


@bomb("calibration 3.5 GB in 3.5 MB of npz", calibration)
def _npz(folder: Path) -> object:
    import numpy as np

    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "<i8", "fortran_order": False, "shape": (3500 * MB // 8,)})
    with zipfile.ZipFile(folder / "c.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("about.npy", b"\x93NUMPY")
        with archive.open("counts.npy", "w", force_zip64=True) as out:
            out.write(head.getvalue())
            for _ in range(350):
                out.write(bytes(10 * MB))
    return folder / "c.npz"


# --- pictures and clips


def _png(width: int, height: int, data: bytes | None = None, extra: bytes = b"") -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    if data is None:
        packer = zlib.compressobj(9)
        data = b"".join(packer.compress(bytes(width * 3 + 1)) for _ in range(height)) + packer.flush()
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n"
        + head
        + (chunk(b"zTXt", extra) if extra else b"")
        + chunk(b"IDAT", data)
        + chunk(b"IEND", b"")
    )


def _jpeg(size: int, **how: Any) -> bytes:
    from PIL import Image

    made = io.BytesIO()
    Image.new("RGB", (size, size)).save(made, "JPEG", **how)
    return made.getvalue()


def _passes(size: int, count: int) -> bytes:
    data = _jpeg(size, progressive=True)
    last, end = data.rindex(b"\xff\xda"), data.rindex(b"\xff\xd9")
    return data[:end] + data[last:end] * count + data[end:]


def _webp(width: int, height: int) -> bytes:
    bits = 0x2F | (width - 1) << 8 | (height - 1) << 22
    data = struct.pack("<Q", bits)[:5] + bytes([0x00, 0x88, 0x88, 0x08])
    body = b"VP8L" + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


bombs_of(
    picture, "a.png",
    PNG_of_177_megapixels=lambda: _png(13300, 13300),
    PNG_that_claims_4_gigapixels=lambda: _png(65535, 65535, b"x"),
    PNG_with_a_note_of_1_GB=lambda: _png(1, 1, None, b"a\0\0" + zlib.compress(bytes(1000 * MB), 1)),
    JPEG_of_300_passes=lambda: _passes(9000, 300),
    WebP_of_100_megapixels_in_34_bytes=lambda: _webp(10000, 9990),
    WebP_of_268_megapixels_in_34_bytes=lambda: _webp(16383, 16383),
    PPM_that_claims_99_megapixels=lambda: b"P6 9999 9999 255\nabc",
    BMP_that_claims_1_gigapixel=lambda: b"BM" + struct.pack("<IHHIIiiHHIIiiII", 60, 0, 0, 54, 40, 32000, 32000, 1, 24, 0, 0, 0, 0, 0, 0),
)  # fmt: skip


@bomb("a pipe as a picture", picture)
def _picture_pipe(folder: Path) -> object:
    os.mkfifo(folder / "a.png")
    return folder / "a.png"


@bomb("clip a picture that claims 4 GB", clip)
def _clip(folder: Path) -> object:
    with (folder / "a.avi").open("wb") as file:
        file.write(b"RIFF".ljust(32, b"\0") + b"\x01" + b"\0" * 187 + b"movi" + b"00dc" + struct.pack("<I", 2**32 - 1))
        file.truncate(1500 * MB)  # a hole on the disk
    return folder / "a.avi"


def video(path: Path) -> object:
    from edgekit.camera.source.disk.video import VideoGrabber
    from edgekit.camera.source.grabber import Ended

    grabber = VideoGrabber(path)
    with contextlib.suppress(Ended):
        for _ in range(100):
            grabber.read()
    return grabber.length()


def _avi(folder: Path, **fields: int) -> Path:
    """A clip of three pictures in whose header a number is changed: `frames`, or `side` in pixels."""
    from edgekit.camera.store.avi import AviWriter

    writer = AviWriter(folder / "a.avi")
    for i in range(3):
        writer.write(_jpeg(64), i / 10)
    writer.close()
    data = bytearray((folder / "a.avi").read_bytes())
    if "frames" in fields:
        for at in (48, 140):
            struct.pack_into("<I", data, at, fields["frames"])
    if "side" in fields:
        struct.pack_into("<ii", data, 176, fields["side"], fields["side"])
        data[112:116] = data[188:192] = bytes(4)  # pixels as they are, whose size only the header says
    (folder / "a.avi").write_bytes(data)
    return folder / "a.avi"


bomb("video two billion frames", video)(lambda folder: _avi(folder, frames=2**31 - 2))
bomb("video frames of 900 megapixels", video)(lambda folder: _avi(folder, side=30_000))
bombs_of(video, "a.mp4", video_50_MB_of_empty_boxes=lambda: b"\0\0\0\x08free" * (50 * MB // 8))


@bomb("stream a JPEG that claims 1.06 gigapixels", stream)
def _stream(_: Path) -> object:
    data = bytearray(_jpeg(16))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", 32600, 32600)
    return b"--frame\r\n\r\n" + bytes(data) + b"\r\n--frame\r\n"


# --- the process


def measured(name: str, folder: Path, seconds: float, megabytes: float) -> dict[str, Any]:
    """Reads one bomb in a fork with limits on processor time and address space."""
    read, make = BOMBS[name]
    place = folder / "".join(c if c.isalnum() else "-" for c in name)
    place.mkdir()
    made = make(place)
    here, there = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(here)
        _limit(seconds, megabytes)
        before, began = _peak(), time.process_time()
        try:
            read(made)
            what = "read"
        except BaseException as error:  # noqa: BLE001 - what comes is the measurement
            what = f"{type(error).__name__}: {error}"[:2000]
        told = {"what": what, "seconds": time.process_time() - began, "mb": _peak() - before}
        os.write(there, json.dumps(told).encode())
        os._exit(0)
    os.close(there)
    with os.fdopen(here, "rb") as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    return {"name": name, **(json.loads(text) if text else {"what": f"ended by signal {os.WTERMSIG(status)}"})}


def _limit(seconds: float, megabytes: float) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * os.sysconf("SC_PAGE_SIZE") + int(megabytes * MB)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(
        resource.RLIMIT_CPU, (int(time.process_time() + seconds + 1), int(time.process_time() + seconds + 2))
    )
    import signal

    signal.alarm(int(4 * seconds) + 20)  # a pipe that nobody writes takes no processor time


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def main() -> None:
    import cv2  # noqa: F401 - so that no fork has to
    import onnx  # noqa: F401
    import torch
    from safetensors import torch as _  # noqa: F401

    from edgekit import training  # noqa: F401
    from edgekit.benchmark import suite as _suite  # noqa: F401
    from edgekit.data import load_dataset  # noqa: F401
    from edgekit.quantize import calibrate  # noqa: F401

    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    seconds, megabytes = (float(v) for v in (*sys.argv[2:4], *("10", "1500")[len(sys.argv[2:4]) :]))
    for name in sys.argv[4:] or BOMBS:
        print(json.dumps(measured(name, folder, seconds, megabytes)), flush=True)


if __name__ == "__main__":
    main()
