"""What both processors run, made on this one: a classifier and a detector in fp32 and int8-arm, pictures, a clip."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edgekit import read_picture
from edgekit.artifacts.onnx_file import read_onnx
from edgekit.config.target import load_target
from edgekit.data import HIVE_CLASSES, PATTERNS, HiveClip, load_dataset, made_pictures, sample_evenly
from edgekit.gate.compare import Gate
from edgekit.loading import model_path
from edgekit.pipeline.precision import make
from edgekit.pipeline.verdict import Basis
from edgekit.predictor import Predictor
from edgekit.vision.image import encode_picture
from edgekit.vision.preprocess import preprocess

HERE = Path(__file__).parent
DETECTOR, SCHEME = "centernet-tiny", "int8-arm"
LEARNT, CALIBRATE = 240, 60
FPS, SIZE = 20, (360, 640)

Edgekit = Callable[..., object]


@dataclass(frozen=True)
class Subject:
    """One model in two precisions, and labelled pictures for it."""

    name: str
    files: tuple[Path, Path]
    data: Path

    @property
    def pictures(self) -> Path:
        """The folder of those that are held out."""
        return next((folder for name in ("val/images", "val") if (folder := self.data / name).is_dir()), self.data)


def classifier(out: Path, pictures: int, real: Path | None, edgekit: Edgekit) -> Subject:
    """EfficientNet-Lite0 on ImageNet's pictures where they are, else a narrow ResNet that learns made patterns."""
    name, data = ("lite0", out / "imagenet") if real else ("patterns", out / "patterns")
    files = (out / f"{name}.onnx", out / f"{name}.{SCHEME}.onnx")
    if all(file.exists() for file in files):
        return Subject(name, files, data)
    if real:
        checkpoint, source = real / "weights" / "tf_efficientnet_lite0.pth", real / "imagenet-250"
        choose(source, data, pictures)
        told: list[object] = ["--arch", "timm:tf_efficientnet_lite0"]
    else:
        for split, count, seed in (("train", LEARNT, 11), ("val", pictures, 12)):
            for i, sample in enumerate(made_pictures(count, seed)):
                keep(data / split / PATTERNS[sample.label or 0] / f"{i:04d}.jpg", encode_picture(sample.read(), ".jpg"))
        shutil.rmtree(out / "training", ignore_errors=True)
        edgekit("train", HERE / "classifier.toml", "--data", data, "--out", out / "training")
        checkpoint, source, told = out / "training" / "best.pt", data, []
    kept = out / f"{name}{checkpoint.suffix}"
    shutil.copyfile(checkpoint, kept)
    words = ("export", kept, "--data", source, "--target", "arm-cpu", "--precision", "int8", "--out", out, "--force")
    edgekit(*words, *told)
    return Subject(name, files, data)


def choose(source: Path, data: Path, pictures: int) -> None:
    """A part of ImageNet's pictures, spread evenly, with its table of labels."""
    chosen = sample_evenly(load_dataset(source), pictures)
    rows = ["file,class_index"]
    for sample in chosen:
        assert sample.path is not None
        keep(data / sample.path.name, sample.path.read_bytes())
        rows.append(f"{sample.path.name},{sample.label}")
    keep(data / "labels.csv", "\n".join([*rows, ""]).encode())


def detector(out: Path, pictures: int, say: Callable[[str], None]) -> Subject:
    """The detector that comes with edgekit, and its int8 within the target's limits of it, on the made hive."""
    data, made = out / "hive", out / f"{DETECTOR}.{SCHEME}.onnx"
    subject = Subject(DETECTOR, (out / f"{DETECTOR}.onnx", made), data)
    if made.exists():
        return subject
    shutil.copyfile(model_path(Path(DETECTOR)), subject.files[0])
    shipped, target = read_onnx(subject.files[0]), load_target("arm-cpu")
    for split in ("train", "val"):
        write_hive(data / split, split, pictures)
    keep(data / "data.yaml", f"train: train/images\nval: val/images\nnames: [{', '.join(HIVE_CLASSES)}]\n".encode())
    spec = shipped.metadata.model
    gate = Gate(load_dataset(data, spec.classes, "val"), target.limits(SCHEME), spec, say)
    gate.pixels = [preprocess(sample.read(), spec.preprocess) for sample in gate.dataset]
    with Predictor.from_artifact(shipped) as predictor:
        gate.reference = predictor.answers(gate.pixels, batch=1)
    learnt = load_dataset(data, spec.classes, "train")
    basis = Basis(f"{DETECTOR} as it comes with edgekit", "its own file", spec.arch)
    done = make(shipped, gate, target, SCHEME, made, learnt, basis, max_drop=None, say=say)
    if not gate.passed:
        raise SystemExit(f"{SCHEME} of {DETECTOR} did not pass: {gate.stages[-1].problems}")
    keep(made, done.artifact.data)
    return subject


def write_hive(folder: Path, split: str, pictures: int) -> None:
    """A split of the made hive as JPEG, with its boxes as YOLO has them."""
    height, width = SIZE
    hive = f"synthetic://hive?n={CALIBRATE}&val={pictures}&seed=0&height={height}&width={width}"
    for i, sample in enumerate(load_dataset(hive, None, split)):
        truth, lines = sample.ground_truth(), ""
        for (x1, y1, x2, y2), label in zip(truth.boxes.tolist(), truth.labels.tolist(), strict=True):
            middle = (x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height
            lines += f"{label} " + " ".join(f"{v:.6f}" for v in middle) + "\n"
        keep(folder / "images" / f"{i:04d}.jpg", encode_picture(sample.read(), ".jpg"))
        keep(folder / "labels" / f"{i:04d}.txt", lines.encode())


def clip(out: Path, frames: int) -> Path:
    """A made hive as a camera films it; MPEG-4, so that decoding is the same arithmetic everywhere."""
    path = out / "clip.mp4"
    if not path.exists():
        hive = HiveClip(seed=2, fps=FPS, height=SIZE[0], width=SIZE[1], length=frames)
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), FPS, SIZE[::-1])
        for i in range(frames):
            writer.write(hive.frame(i).frame)
        writer.release()
    return path


def pairs(subject: Subject, file: Path, out: Path) -> Path:
    """What this processor answers to a classifier's pictures, for `edgekit verify --expect` on the other one."""
    path = out / f"{file.stem}.pairs.npz"
    with Predictor.open(file) as predictor:
        spec = predictor.spec.preprocess
        pixels = np.stack([preprocess(read_picture(p), spec) for p in sorted(subject.pictures.rglob("*.[jJ][pP]*g"))])
        np.savez(path, images=pixels, logits=predictor.answers(list(pixels), batch=1)["logits"])
    return path


def keep(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def real_data() -> Path | None:
    """EDGEKIT_DATA, where the classifier's weights and pictures are in it."""
    root = Path(os.environ.get("EDGEKIT_DATA") or "nowhere")
    return (
        root
        if (root / "weights" / "tf_efficientnet_lite0.pth").is_file() and (root / "imagenet-250").is_dir()
        else None
    )
