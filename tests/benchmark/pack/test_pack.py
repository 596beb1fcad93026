"""A bench pack gives back what was packed, to the bit; a hostile or broken one is refused before it is used."""

from __future__ import annotations

import json
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgekit.benchmark.pack.manifest import MANIFEST, Answers
from edgekit.benchmark.pack.read import open_pack
from edgekit.benchmark.pack.write import PackedModel, PackedSet, write_pack
from edgekit.benchmark.suite import Matrix, Suite
from edgekit.config.target import Limits
from edgekit.data import Dataset, Sample
from edgekit.errors import ArtifactError

OUTPUTS = {"logits": np.arange(6, dtype=np.float32).reshape(2, 3)}


@pytest.fixture
def files(tmp_path: Path) -> Dataset:
    """Three pictures with everything that a layout may know of one."""
    rng = np.random.default_rng(0)
    samples = []
    for i in range(3):
        path = tmp_path / "hive" / f"a {i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(path)
        boxes = np.array([[0.1, 1, 9.7, 12], [2, 3, 4, 5]], np.float32)[: i % 3]
        samples.append(Sample(
            path, None, None, f"day/a {i}.png", boxes, np.arange(len(boxes)), np.full(len(boxes), 7, np.float32),
            np.array([[1, 1, 2, 2]], np.float32) if i else None, np.array([1]) if i else None,
            mask=rng.integers(-1, 2, (20, 30)).astype(np.int16),
        ))  # fmt: skip
    return Dataset(tuple(samples), ("bee", "hornet"), "yolo")


@pytest.fixture
def made(files: Dataset, tmp_path: Path) -> Path:
    """A pack of a model's bytes, the pictures, and two answers."""
    model, pack = tmp_path / "m.onnx", tmp_path / "p.zip"
    model.write_bytes(b"a model")
    limits = Limits(max_abs=0.1, top1_agreement=1)
    answers = Answers(by="onnxruntime 1 on a machine", pictures=(0, 2), limits=limits)
    suite = Suite(title="t", matrix=(Matrix(models=("m.onnx",)),))
    write_pack(
        pack, suite, [PackedSet("hive", "detection", files, 3)], {"m.onnx": PackedModel(model, 0, answers, OUTPUTS)}
    )
    return pack


def test_what_was_packed_comes_back_to_the_bit(made: Path, files: Dataset, tmp_path: Path) -> None:
    there = open_pack(made).unpack(tmp_path / "board")
    assert (there.models / "m.onnx").read_bytes() == b"a model"
    assert {name: values.tolist() for name, values in there.answers("m.onnx").items()} == {
        name: values.tolist() for name, values in OUTPUTS.items()
    }
    given = there.dataset("m.onnx")
    assert given.digest == files.digest, "names, pictures, boxes, masks and classes"
    assert (given.classes, given.layout, [s.name for s in given]) == (files.classes, "yolo", [s.name for s in files])


def test_frames_made_in_code_come_back_as_frames(tmp_path: Path) -> None:
    frame = np.random.default_rng(1).integers(0, 256, (8, 9, 3), dtype=np.uint8)
    dataset = Dataset((Sample(None, frame, 1, "one", labels=(0, 1), unknown_labels=(2,)),), None, "made")
    model = tmp_path / "m.onnx"
    model.write_bytes(b"x")
    answers = Answers(by="x", pictures=(0,), limits=Limits(max_abs=1, top1_agreement=1))
    suite = Suite(title="t", matrix=(Matrix(models=("m.onnx",)),))
    write_pack(tmp_path / "p.zip", suite, [PackedSet("made", "classification", dataset, 9)],
               {"m.onnx": PackedModel(model, 0, answers, OUTPUTS)})  # fmt: skip
    given = open_pack(tmp_path / "p.zip").unpack(tmp_path / "board").dataset("m.onnx")
    assert given.digest == dataset.digest
    assert given.notes == ("1 of 9 pictures, as the pack has them",)


def rewritten(pack: Path, change: Callable[[dict[str, Any]], None] = lambda m: None, **more: bytes) -> Path:
    """The pack with its manifest changed, and files added or replaced."""
    with zipfile.ZipFile(pack) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(held[MANIFEST])
    change(manifest)
    held |= {MANIFEST: json.dumps(manifest).encode(), **more}
    with zipfile.ZipFile(pack, "w") as archive:
        for name, data in held.items():
            archive.writestr(name, data)
    return pack


def renamed(name: str) -> Callable[[dict[str, Any]], None]:
    """A picture that is called so, in the manifest and the list of files."""

    def change(manifest: dict[str, Any]) -> None:
        picture = manifest["sets"][0]["pictures"][0]
        manifest["files"][name] = manifest["files"].pop(picture["file"])
        picture["file"] = name

    return change


def of(manifest: dict[str, Any], *keys: Any) -> Any:
    for key in keys:
        manifest = manifest[key]
    return manifest


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (renamed("../../etc/x.png"), "a file called"),
        (renamed("/tmp/x.png"), "a file called"),
        (renamed("pictures/hive/..png"), "a file called"),
        (renamed("pictures\\hive\\00000.png"), "a file called"),
        (lambda m: m["files"].pop("models/m.onnx"), "named only"),
        (lambda m: of(m, "models", "m.onnx").update(set=4), "pictures of set 4"),
        (lambda m: of(m, "models", "m.onnx", "answers").update(pictures=[7]), "not there"),
        (lambda m: of(m, "suite", "matrix", 0).update(models=["other.onnx"]), "not among the models"),
        (lambda m: m.update(version=2), "version 2"),
        (lambda m: m.update(schema="x"), "schema 'x'"),
        (lambda m: m.update(more=1), "more"),
        (lambda m: of(m, "files", "models/m.onnx").update(bytes=9), "7 bytes and not 9"),
    ],
)  # fmt: skip
def test_a_manifest_that_is_wrong_is_refused(made: Path, change: Any, why: str) -> None:
    with pytest.raises(ArtifactError) as caught:
        open_pack(rewritten(made, change))
    assert why in str(caught.value)


def test_a_file_that_no_manifest_names_is_refused(made: Path) -> None:
    with pytest.raises(ArtifactError, match="only in the zip"):
        open_pack(rewritten(made, **{"../x.sh": b"#!"}))


def test_other_bytes_than_the_manifest_has_are_refused_and_removed(made: Path, tmp_path: Path) -> None:
    pack = open_pack(rewritten(made, **{"models/m.onnx": b"another"}))
    with pytest.raises(ArtifactError, match="models/m.onnx in .* is not what its manifest says"):
        pack.unpack(tmp_path / "board")
    assert not (tmp_path / "board" / "models" / "m.onnx").exists()


def entry(pack: Path, name: str, data: bytes, mode: int = 0, method: int = zipfile.ZIP_STORED) -> None:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    with zipfile.ZipFile(pack, "a") as archive:
        archive.writestr(info, data, method)


@pytest.mark.parametrize(
    ("mode", "method", "why"),
    [
        (stat.S_IFLNK | 0o777, zipfile.ZIP_STORED, "no plain file"),
        (stat.S_IFIFO | 0o666, zipfile.ZIP_STORED, "no plain file"),
        (0, zipfile.ZIP_DEFLATED, "compressed or encrypted"),
    ],
)
def test_links_pipes_and_compressed_files_are_refused(made: Path, mode: int, method: int, why: str) -> None:
    entry(made, "pictures/hive/00009.png", b"/etc/passwd" * 99, mode, method)
    with pytest.raises(ArtifactError, match=why):
        open_pack(made)


def test_a_bomb_is_refused_by_its_directory(made: Path) -> None:
    data = bytearray(made.read_bytes())
    place = data.rindex(b"PK\x01\x02")
    data[place + 24 : place + 28] = struct.pack("<I", 2**32 - 2)  # the last file's unpacked size
    made.write_bytes(data)
    with pytest.raises(ArtifactError):
        open_pack(made)


@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.99])
def test_a_truncated_pack_is_refused(made: Path, keep: float) -> None:
    data = made.read_bytes()
    made.write_bytes(data[: int(keep * len(data)) if keep < 1 else int(keep)])
    with pytest.raises(ArtifactError, match="no bench pack, or a broken one"):
        open_pack(made)


def test_boxes_that_are_none_are_refused(made: Path, tmp_path: Path) -> None:
    there = open_pack(made).unpack(tmp_path / "board")
    np.savez(there.folder / "truth" / "hive.npz", boxes_0=np.zeros((0, 4)), box_labels_0=np.zeros(0, np.int64))
    with pytest.raises(ArtifactError, match="truth/hive.npz"):
        there.dataset("m.onnx")
