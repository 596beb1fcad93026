"""A folder in which the names that the documentation uses exist."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from edgekit import convert_data
from edgekit.data import hive_pictures
from edgekit.vision.image import encode_picture
from tests.docs.blocks import ROOT
from tests.docs.running import in_process

# `edgekit`, as the tests' own interpreter has it; what serves for ever is interrupted
WRAPPER = f"""#!/bin/bash
exec ${{SERVES:+timeout --preserve-status --signal=INT $SERVES}} {sys.executable} -m edgekit "$@"
"""


def stocked(folder: Path) -> Path:
    """Fills `folder` with what a reader is taken to have: a labelled set, pictures, a clip, models, a camera's keys."""
    convert_data("synthetic://hive?n=40&val=6", folder / "hornets", to="yolo")
    (folder / "pictures").mkdir()
    frames = [sample.read() for sample in hive_pictures(4, seed=9).samples]
    for number, frame in enumerate(frames):
        (folder / "pictures" / f"{number}.jpg").write_bytes(encode_picture(frame, ".jpg"))
    for name in ("hive.jpg", "picture.jpg"):
        shutil.copyfile(folder / "pictures" / "0.jpg", folder / name)
    clip = cv2.VideoWriter(str(folder / "clip.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 5, frames[0].shape[1::-1])
    for frame in frames * 4:
        clip.write(frame)
    clip.release()
    for name in ("hornets.onnx", "hornet.onnx"):
        shutil.copyfile(ROOT / "models" / "hornet-mobile.onnx", folder / name)
    toml = (ROOT / "export/deploy/hive.toml").read_text()  # of a hive that is there, in a folder that may be written to
    toml = re.sub(r'^uri = ".*"', 'uri = "synthetic://hive?seed=1"', toml, flags=re.MULTILINE)
    (folder / "hive.toml").write_text(re.sub(r'^folder = ".*"', 'folder = "visits"', toml, flags=re.MULTILINE))
    (folder / "bin").mkdir()
    (folder / "bin" / "edgekit").write_text(WRAPPER)
    (folder / "bin" / "edgekit").chmod(0o755)
    line = "edgekit train demo --data hornets --out runs/hornets --set schedule.epochs=1"
    code, printed = in_process(line.split(), folder)
    assert code == 0, printed
    return folder


def stock_for(document: str, folder: Path) -> None:
    """What one document's blocks need besides: weights, which are random ones, and sets under its own names."""
    text = (ROOT / document).read_text()
    for file, net in WEIGHTS.items():
        if file in text:
            torch.save(build_library(net).state_dict(), folder / file)
    if document.startswith("models/"):
        classes = "finetune" in document or "classifier" in document
        make = class_folders if classes else masks if "unet" in document else None
        for name in ("DIR", "hornets-yolo", "camvid"):
            if make:
                make(folder / name)
            else:
                (folder / name).symlink_to("hornets")
    if document == "docs/data.md":  # other names than the model's
        shutil.rmtree(folder / "pictures")
        shutil.copytree(folder / "hornets", folder / "pictures")
        names = folder / "pictures" / "data.yaml"
        told = re.sub(
            r"^nc:.*", "names: [Bees, asian_giant_hornet, drones, wasp]\n", names.read_text(), flags=re.S | re.M
        )
        names.write_text(told)


WEIGHTS = {
    "resnet18.pth": "torchvision:resnet18",
    "resnet34.pth": "torchvision:resnet34",
    "tf_efficientnet_lite0.pth": "timm:tf_efficientnet_lite0",
    "mobilenetv4.pth": "timm:mobilenetv4_conv_small",
}


def build_library(name: str) -> torch.nn.Module:
    """torchvision's or timm's net, with the weights that it is made with."""
    library, _, arch = name.partition(":")
    torch.manual_seed(0)
    if library == "timm":
        import timm

        return timm.create_model(arch)
    import torchvision

    net: torch.nn.Module = torchvision.models.get_model(arch)
    return net


def class_folders(folder: Path) -> None:
    """Two classes of eight plain pictures each, with a split."""
    for split, count in (("train", 8), ("val", 4)):
        for name, colour in (("absent", (40, 90, 40)), ("present", (150, 110, 40))):
            (folder / split / name).mkdir(parents=True)
            for i in range(count):
                Image.fromarray(noise(i, colour)).save(folder / split / name / f"{i}.png")


def masks(folder: Path) -> None:
    """Noise with a square of another colour, and its mask: 36 pictures to learn from, 4 to be judged by."""
    for split, count in (("train", 36), ("val", 4)):
        (folder / "images" / split).mkdir(parents=True)
        (folder / "masks" / split).mkdir(parents=True)
        for i in range(count):
            picture, mask = noise(i, (40, 90, 40)), np.zeros((80, 96), np.uint8)
            here = np.s_[10 + i : 40 + i, 20 + i : 50 + i]
            picture[here], mask[here] = noise(i, (150, 110, 40))[here], 1
            Image.fromarray(picture).save(folder / "images" / split / f"{i}.png")
            Image.fromarray(mask).save(folder / "masks" / split / f"{i}.png")
    (folder / "classes.txt").write_text("background\ninsect\n")


def noise(seed: int, colour: tuple[int, int, int]) -> np.ndarray:
    """A cloudy picture, uint8 [80, 96, 3]."""
    coarse = np.random.default_rng(seed).normal(colour, 40, (10, 12, 3)).astype(np.float32)
    return np.clip(cv2.resize(coarse, (96, 80), interpolation=cv2.INTER_CUBIC), 0, 255).astype(np.uint8)
