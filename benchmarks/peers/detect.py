"""A detector from elsewhere as its authors run it, with nothing of edgekit: the AP that the adopted file must meet.

    python benchmarks/peers/detect.py yolox yolox_nano.onnx --coco coco128/annotations/instances_train2017.json
    python benchmarks/peers/detect.py fastestdet fastestdet.onnx --coco ... --adopted adopted/fastestdet.onnx

Pictures are read and resized by OpenCV, the net runs in onnxruntime, decoding and suppression are numpy, and
pycocotools counts. `--adopted` also runs the file that `edgekit adopt` wrote, bare: the same resized picture as bytes
in, its boxes, scores and labels out, no other suppression, the same counting. Both must agree to 1e-3.

Sources: YOLOX, demo/ONNXRuntime/onnx_inference.py with yolox/data/data_augment.py (preproc) and
yolox/utils/demo_utils.py; FastestDet, test.py with utils/tool.py (handle_preds). YOLOX evaluates at a score of 0.01 and
suppresses within a class; FastestDet at 0.001. Both resize by OpenCV's INTER_LINEAR; `--resize area` shows what another
one changes.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
import onnxruntime

LIMIT = 1e-3
Found = tuple[np.ndarray, np.ndarray, np.ndarray]  # boxes x1y1x2y2 of the net's input, scores, class numbers


@dataclass
class Letter:
    """A picture in the net's input, and the way back to the picture's pixels."""

    pixels: np.ndarray  # uint8 [h, w, 3], BGR
    scale: tuple[float, float]  # x, y: input pixels to a picture's

    def back(self, boxes: np.ndarray) -> np.ndarray:
        return boxes / np.array([self.scale[0], self.scale[1]] * 2)


def corner(picture: np.ndarray, h: int, w: int, kernel: int) -> Letter:
    """YOLOX: the whole picture at the top left, its size cut to whole pixels, the rest grey."""
    ratio = min(h / picture.shape[0], w / picture.shape[1])
    size = int(picture.shape[1] * ratio), int(picture.shape[0] * ratio)
    pixels = np.full((h, w, 3), 114, np.uint8)
    pixels[: size[1], : size[0]] = cv2.resize(picture, size, interpolation=kernel)
    return Letter(pixels, (ratio, ratio))


def stretched(picture: np.ndarray, h: int, w: int, kernel: int) -> Letter:
    pixels = cv2.resize(picture, (w, h), interpolation=kernel)
    return Letter(pixels, (w / picture.shape[1], h / picture.shape[0]))


def yolox(outputs: list[np.ndarray], h: int, w: int) -> Found:
    """[1, P, 5 + C]: offsets in cells, logarithms of sizes in cells, objectness and class scores after a sigmoid."""
    raw = outputs[0][0].astype(np.float64)
    centres, sizes = [], []
    for stride in (8, 16, 32):
        ys, xs = np.mgrid[: h // stride, : w // stride]
        centres.append(np.stack([xs.ravel(), ys.ravel()], 1))
        sizes.append(np.full(xs.size, stride))
    stride = np.concatenate(sizes)[:, None]
    middle = (raw[:, :2] + np.concatenate(centres)) * stride
    half = np.exp(raw[:, 2:4]) * stride / 2
    scores = raw[:, 4:5] * raw[:, 5:]
    return np.hstack([middle - half, middle + half]), scores.max(1), scores.argmax(1)


def fastestdet(outputs: list[np.ndarray], h: int, w: int) -> Found:
    """[1, 5 + C, H, W]: objectness, centre (tanh, from the cell's corner), size (sigmoid, of the picture), classes."""
    raw = outputs[0][0].astype(np.float64)
    rows, columns = raw.shape[1:]
    ys, xs = np.mgrid[:rows, :columns]
    x, y = (np.tanh(raw[1]) + xs) / columns * w, (np.tanh(raw[2]) + ys) / rows * h
    half_w, half_h = w / (1 + np.exp(-raw[3])) / 2, h / (1 + np.exp(-raw[4])) / 2
    boxes = np.stack([x - half_w, y - half_h, x + half_w, y + half_h], -1).reshape(-1, 4)
    scores = (raw[0] ** 0.6 * raw[5:].max(0) ** 0.4).ravel()
    return boxes, scores, raw[5:].argmax(0).ravel()


@dataclass(frozen=True)
class Way:
    resize: Callable[[np.ndarray, int, int, int], Letter]
    scale: float  # of the bytes, before the net
    decode: Callable[[list[np.ndarray], int, int], Found]
    score: float  # boxes below it are not looked at


WAYS = {"yolox": Way(corner, 1.0, yolox, 0.01), "fastestdet": Way(stretched, 1 / 255, fastestdet, 0.001)}


def suppressed(boxes: np.ndarray, scores: np.ndarray, iou: float) -> list[int]:
    """Greedy: the best box stays, what overlaps it by more than `iou` goes, and so on."""
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    left = np.argsort(-scores, kind="stable")
    kept = []
    while len(left):
        best, left = left[0], left[1:]
        kept.append(int(best))
        low, high = np.maximum(boxes[best, :2], boxes[left, :2]), np.minimum(boxes[best, 2:], boxes[left, 2:])
        inner = np.prod(np.clip(high - low, 0, None), axis=1)
        left = left[inner <= iou * (area[best] + area[left] - inner)]
    return kept


def by_class(found: Found, score: float, iou: float) -> Found:
    boxes, scores, labels = (part[found[1] > score] for part in found)
    kept: list[int] = []
    for label in np.unique(labels):
        mine = np.flatnonzero(labels == label)
        kept.extend(mine[suppressed(boxes[mine], scores[mine], iou)])
    kept.sort(key=lambda i: -scores[i])
    return boxes[kept], scores[kept], labels[kept]


def counted(annotations: Path, rows: list[dict[str, object]]) -> dict[str, float]:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(annotations))
        result = COCOeval(truth, truth.loadRes(rows), "bbox")
        result.evaluate()
        result.accumulate()
        result.summarize()
    return {"AP": float(result.stats[0]), "AP50": float(result.stats[1]), "AP75": float(result.stats[2])}


def session(path: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("model", type=Path)
    parser.add_argument("--coco", type=Path, required=True, help="instances JSON; pictures lie beside its folder")
    parser.add_argument("--pictures", type=Path, help="where they lie, if not in a folder named as the JSON's end")
    parser.add_argument("--iou", type=float, default=0.45)
    parser.add_argument("--resize", choices=("linear", "area"), default="linear", help="OpenCV's; theirs is linear")
    parser.add_argument("--adopted", type=Path, action="append", default=[], help="repeatable")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    data = json.loads(args.coco.read_text())
    folder = args.pictures or args.coco.parents[1] / args.coco.stem.rpartition("_")[2]
    ids = sorted(category["id"] for category in data["categories"])
    way, net = WAYS[args.way], session(args.model)
    h, w = net.get_inputs()[0].shape[2:]
    kernel = {"linear": cv2.INTER_LINEAR, "area": cv2.INTER_AREA}[args.resize]
    adopted = {path: session(path) for path in args.adopted}
    rows: dict[str, list[dict[str, object]]] = {"original": [], **{str(path): [] for path in adopted}}
    for image in data["images"]:
        letter = way.resize(cv2.imread(str(folder / image["file_name"])), h, w, kernel)
        ready = (letter.pixels.transpose(2, 0, 1)[None] * np.float32(way.scale)).astype(np.float32)
        raw = net.run(None, {net.get_inputs()[0].name: ready})
        answers = {"original": by_class(way.decode(raw, h, w), way.score, args.iou)}
        for path, other in adopted.items():
            boxes, scores, labels = (
                part[0] for part in other.run(["boxes", "scores", "labels"], {"image": letter.pixels[None]})
            )
            there = scores > way.score
            answers[str(path)] = boxes[there], scores[there], labels[there]
        for name, (boxes, scores, labels) in answers.items():
            for box, score, label in zip(letter.back(boxes).tolist(), scores, labels, strict=True):
                x1, y1, x2, y2 = box
                row = {"image_id": image["id"], "category_id": ids[int(label)], "score": float(score)}
                rows[name].append({**row, "bbox": [x1, y1, x2 - x1, y2 - y1]})
    found = {name: counted(args.coco, these) for name, these in rows.items()}
    how = f"{args.resize} resize, score > {way.score}, suppression IoU {args.iou}"
    print(f"{args.model.name}, {len(data['images'])} pictures, {how}")
    print("| file | boxes | AP | AP50 | AP75 |\n|---|--:|--:|--:|--:|")
    for name, ap in found.items():
        print(f"| {name} | {len(rows[name])} | {ap['AP']:.4f} | {ap['AP50']:.4f} | {ap['AP75']:.4f} |")
    if args.json:
        libraries = {name: version(name) for name in ("numpy", "onnxruntime", "pycocotools")}
        where = {"opencv": cv2.__version__, **libraries, "machine": platform.machine(), "cpus": os.cpu_count()}
        told = {
            "way": args.way,
            "resize": args.resize,
            "score": way.score,
            "iou": args.iou,
            "pictures": len(data["images"]),
        }
        named = {Path(name).name if name != "original" else name: ap for name, ap in found.items()}
        args.json.write_text(json.dumps({**told, "found": named, "with": where}, indent=1) + "\n")
    worst = max((abs(ap["AP50"] - found["original"]["AP50"]) for ap in found.values()), default=0.0)
    return 0 if worst <= LIMIT else 1


if __name__ == "__main__":
    raise SystemExit(main())
