"""What a resize costs and what it changes: agreement with the training's own transforms, on real pictures.

    python benchmarks/resize.py resnet18.pth PICTURES/labels.csv

The reference is torchvision alone (PIL picture, Resize, CenterCrop, ToTensor, Normalize, its own net); every other row
uses edgekit's PreprocessSpec with the interpolation named. Times are of `preprocess` only, the rows taking turns
within each picture.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from torchvision.transforms import v2

from edgekit.checkpoints.checkpoint import load_checkpoint
from edgekit.checkpoints.reference import reference_net
from edgekit.data import load_dataset
from edgekit.spec import PreprocessSpec
from edgekit.vision.image import read_picture
from edgekit.vision.preprocess import normalise, preprocess

BASE = PreprocessSpec()
VARIANTS = {
    "bilinear, antialiased (default)": BASE,
    "area (OpenCV)": replace(BASE, interpolation="area"),
    "bilinear (OpenCV)": replace(BASE, antialias=False),
    "bicubic, antialiased": replace(BASE, interpolation="bicubic"),
    "bicubic (OpenCV)": replace(BASE, interpolation="bicubic", antialias=False),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="also write the rows there")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    checkpoint = load_checkpoint(args.weights)
    net = reference_net(checkpoint)
    assert net is not None
    dataset = load_dataset(args.data, checkpoint.spec.classes)
    labels = np.array([sample.label for sample in dataset])
    steps = [v2.Resize(256), v2.CenterCrop(224), v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True)]
    training = v2.Compose([*steps, v2.Normalize(BASE.mean, BASE.std)])

    def logits(batches: list[torch.Tensor]) -> np.ndarray:
        with torch.inference_mode():
            return torch.cat([net(batch) for batch in batches]).numpy()

    pictures = [Image.open(s.path).convert("RGB") for s in dataset if s.path]
    reference = logits(list(torch.stack([training(p) for p in pictures]).split(16)))
    frames = [read_picture(s.path) for s in dataset if s.path]
    times: dict[str, list[float]] = {name: [] for name in VARIANTS}
    pixels: dict[str, list[np.ndarray]] = {name: [] for name in VARIANTS}
    for turn in range(args.rounds + 1):  # the first round warms up and keeps the pixels
        for frame in frames:
            for name, spec in VARIANTS.items():
                start = time.perf_counter()
                pixel = preprocess(frame, spec)
                if turn:
                    times[name].append((time.perf_counter() - start) * 1e3)
                else:
                    pixels[name].append(pixel)

    rows = [{"resize": "torchvision's transforms", "top1": float((reference.argmax(1) == labels).mean())}]
    for name, spec in VARIANTS.items():
        inputs = torch.from_numpy(normalise(np.stack(pixels[name]), spec))
        answers = logits(list(inputs.split(16)))
        rows.append(
            {
                "resize": name,
                "top1": float((answers.argmax(1) == labels).mean()),
                "agreement": float((answers.argmax(1) == reference.argmax(1)).mean()),
                "max_abs": float(np.abs(answers - reference).max()),
                "p50_ms": float(np.median(times[name])),
            }
        )
    print("| resize | top-1 | agreement | max abs d logits | p50 ms |\n|---|---|---|---|---|")
    for row in rows:
        rest = f"{row['agreement']:.1%} | {row['max_abs']:.2g} | {row['p50_ms']:.2f}" if "agreement" in row else "| |"
        print(f"| {row['resize']} | {row['top1']:.1%} | {rest} |")
    if args.json:
        about = {"pictures": len(frames), "machine": platform.machine(), "opencv": cv2.__version__}
        args.json.write_text(json.dumps({**about, "torch": str(torch.__version__), "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
