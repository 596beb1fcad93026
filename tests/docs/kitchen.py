"""A folder in which the names that the documentation uses exist, and a shell that runs its blocks there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from edgekit import convert_data
from edgekit.data import hive_pictures
from edgekit.vision.image import encode_picture
from tests.docs.blocks import ROOT, Block

NUMBER = re.compile(r"\d+(?:\.\d+)?(?:e-?\d+)?")
SHORT = "schedule.epochs=1 schedule.batch=4 input.size=64 input.train_size=64"
# `edgekit`, as the tests' own interpreter has it. What serves for ever is interrupted; a card's training, to which a
# reader gives hours, has one epoch of small pictures
WRAPPER = f"""#!/bin/bash
cut=()
if [ -n "$CARD" ] && [ "$1" = train ]; then
  for value in {SHORT}; do cut+=(--set $value); done
  case $2 in classifier|resnet*) cut+=(--set compete.share=0 --set input.shorter_side=64);; esac
  case " $* " in *" --data "*) ;; *) cut+=(--data 'synthetic://hive?n=8&val=4');; esac
fi
words=("${{@//n=400&val=60/n=8&val=4}}")
until="${{SERVES:+timeout --preserve-status --signal=INT $SERVES}}"
exec $until {sys.executable} -m edgekit "${{words[@]}}" "${{cut[@]}}"
"""


def stocked(folder: Path) -> Path:
    """Fills `folder` with what a reader is taken to have: a labelled set, pictures, a clip, models, a camera's keys."""
    convert_data("synthetic://hive?n=10&val=5", folder / "hornets", to="yolo")
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
        names.write_text(names.read_text().replace("bee", "Bees").replace("hornet", "asian_giant_hornet"))


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
    """uint8 [80, 96, 3]."""
    return np.clip(np.random.default_rng(seed).normal(colour, 40, (80, 96, 3)), 0, 255).astype(np.uint8)


def shell(script: str, folder: Path, *, seconds: int = 0, cards: bool = False) -> subprocess.CompletedProcess[str]:
    """What bash makes of `script` in `folder`; output and errors in one text."""
    environment = {
        **os.environ, "PATH": f"{folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HIVE_PASSWORD": "secret", "HIVE_TOKEN": "a-token-of-16-letters", "COLUMNS": "200",
        "SERVES": str(seconds) if seconds else "", "CARD": "1" if cards else "",
        "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    return subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environment, timeout=550,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True,
    )  # fmt: skip


def typed(console: str) -> list[tuple[str, list[str]]]:
    """The commands of a console, each with the lines that it is shown to print."""
    found: list[tuple[str, list[str]]] = []
    for line in console.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif line.strip() and line != "...":
            found[-1][1].append(line)
    return found


def missing(shown: list[str], printed: str) -> list[str]:
    """Lines that are shown and were not printed, in their order; numbers in them may be others, a lone one may not."""

    def alike(line: str) -> str:
        return line.strip() if line.strip().isdigit() else NUMBER.sub("#", line.rstrip())

    there = iter(alike(line) for line in printed.splitlines())
    return [line for line in shown if alike(line) not in there]


def run_shell(block: Block, folder: Path) -> None:
    """Runs a block of sh, each line of which must end well, or of a console, which must print what is shown."""
    cards = block.document.startswith("models/")
    where = f"{block.document}:{block.line}"
    if block.kind == "console":
        mark = "=-=-="
        commands = typed(block.text)
        script = "\n".join(f"{command}\n_code=$?; echo '{mark}'; (exit $_code)" for command, _ in commands)
        done = shell(script, folder, cards=cards)
        parts = done.stdout.split(mark + "\n")
        for (command, shown), printed in zip(commands, parts, strict=False):
            assert not missing(shown, printed), f"{where}: {command}\nprinted:\n{printed}"
        assert len(parts) == len(commands) + 1, f"{where}: {done.stdout}"
        return
    done = shell(f"set -e\n{block.text}", folder, seconds=block.seconds, cards=cards)
    fine = (0, 130) if block.seconds else (0,)
    assert done.returncode in fine, f"{where} ended with {done.returncode}:\n{block.text}\n{done.stdout[-4000:]}"
