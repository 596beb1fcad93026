"""Makes docs/backbones.md: usual backbones of torchvision and timm through the real export, each proven or refused.

    EDGEKIT_DATA=data python benchmarks/backbones.py [--out backbones] [--jobs 2] [--only NAME ...]

Each net has random weights, shaken so that they show what an export gets wrong: BatchNorm statistics are measured on
pictures and then moved, gains that start at 0 or 1e-6 are opened, and the last layer is scaled until the logits of a
class differ by 1 from picture to picture, a thousand times the gate's limit. Two defects are planted in each net,
another eps in all norms and channels of a middle layer off by one, and measured by the same limit. Nets run in
processes of their own, and a row that is there is not made again. Pictures are those of imagenet-250, or made ones
without EDGEKIT_DATA.
"""

from __future__ import annotations

import argparse
import copy
import json
import multiprocessing
import os
import platform
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
CLASSES = tuple(f"class {i}" for i in range(20))
PICTURES, SPREAD, SEED = 16, 1.0, 0
LONGEST = 1800  # seconds for one net
WORKERS = multiprocessing.get_context("forkserver")
LIBRARIES = ["torch", "torchvision", "timm", "onnxruntime", "onnxscript", "torch.onnx", "edgekit.pipeline"]
# family -> nets, as NAME or NAME@SIDE; a side of pixels that the net's constructor must know comes with `!`
NETS = {
    "ResNet": "torchvision:resnet18@96 timm:resnet50d@64 timm:resnetblur18@64 timm:seresnet18@64 timm:ecaresnet26t@64"
    " torchvision:wide_resnet50_2@64 timm:res2net50_14w_8s@64 timm:resnest14d@64 timm:skresnet18@64",
    "ResNeXt, RegNet": "torchvision:resnext50_32x4d@64 timm:resnext26ts@64 torchvision:regnet_x_400mf@64"
    " timm:regnety_002@64 timm:regnetz_005@64",
    "ResNetV2, BiT, NFNet": "timm:resnetv2_18@64 timm:resnetv2_50x1_bit@64 timm:nfnet_l0@64 timm:eca_nfnet_l0@64",
    "VGG, DenseNet, Inception": "torchvision:vgg11_bn@64 torchvision:densenet121@64 torchvision:googlenet@96"
    " torchvision:inception_v3@299",
    "MobileNet": "timm:mobilenetv1_100@64 torchvision:mobilenet_v2@64 torchvision:mobilenet_v3_small@96"
    " timm:mobilenetv3_small_050@64 timm:mobilenetv4_conv_small@96 timm:mobilenetv4_hybrid_medium@128",
    "EfficientNet": "torchvision:efficientnet_b0@96 timm:tf_efficientnet_lite0@96 timm:efficientnet_b0@64"
    " timm:tf_efficientnetv2_b0@64 torchvision:efficientnet_v2_s@64 timm:mixnet_s@64",
    "small CNN": "torchvision:squeezenet1_1@96 torchvision:shufflenet_v2_x0_5@96 torchvision:mnasnet0_5@96"
    " timm:ghostnet_050@64 timm:ghostnetv2_100@64 timm:lcnet_050@64 timm:rexnet_100@64 timm:starnet_s1@96",
    "DLA, HRNet, CSP": "timm:dla34@64 timm:hrnet_w18_small@64 timm:cspresnet50@64 timm:cspdarknet53@64"
    " timm:hgnetv2_b0@64",
    "re-parameterised": "timm:repvgg_a0@64 timm:mobileone_s0@64 timm:repghostnet_050@64 timm:repvit_m0_9@64"
    " timm:fastvit_t8@128 timm:fastvit_mci0@128",
    "ConvNeXt": "torchvision:convnext_tiny@64 timm:convnext_atto@64 timm:convnextv2_atto@64"
    " timm:inception_next_atto@64 timm:edgenext_xx_small@96",
    "ViT": "torchvision:vit_b_32@224 timm:vit_tiny_patch16_224@96! timm:deit_tiny_patch16_224@96!"
    " timm:deit3_small_patch16_224@96! timm:beit_base_patch16_224@64! timm:eva02_tiny_patch14_224@112!"
    " timm:vit_small_patch14_dinov2@112! timm:cait_xxs24_224@96! timm:xcit_nano_12_p16_224@96",
    "Swin, MaxViT": "torchvision:swin_t@64 timm:swin_tiny_patch4_window7_224@224 timm:swinv2_tiny_window8_256@128!"
    " timm:maxvit_tiny_tf_224@224 timm:coatnet_nano_rw_224@224",
    "hybrid": "timm:levit_128s@224 timm:efficientformer_l1@224 timm:efficientvit_b0@96 timm:efficientvit_m0@224"
    " timm:mobilevit_xxs@128 timm:mobilevitv2_050@128 timm:pvt_v2_b0@64 timm:poolformer_s12@64 timm:caformer_s18@64"
    " timm:convformer_s18@64 timm:tiny_vit_5m_224@224 timm:nextvit_small@64",
    "MLP": "timm:mixer_s32_224@224 timm:resmlp_12_224@224 timm:gmlp_ti16_224@224",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("backbones"), help="folder of the rows, one JSON a net")
    parser.add_argument("--jobs", type=int, default=1, help="nets at once")
    parser.add_argument("--only", nargs="*", help="these nets, as they are listed")
    parser.add_argument("--table", type=Path, default=ROOT / "docs" / "backbones.md")
    parser.add_argument("--only-table", action="store_true", help="write the table of the rows that are there")
    args = parser.parse_args()
    if args.only_table:
        args.table.write_text(document(args.out))
        return 0
    args.out.mkdir(parents=True, exist_ok=True)
    asked = [net for nets in NETS.values() for net in nets.split() if not args.only or net in args.only]
    WORKERS.set_forkserver_preload(LIBRARIES)
    with ThreadPoolExecutor(args.jobs) as pool:
        list(pool.map(lambda net: run(net, args.out), asked))
    if not args.only:
        args.table.write_text(document(args.out))
    rows = [json.loads(place(net, args.out).read_text()) for net in asked]
    return 0 if all(one["verified"] or one["reason"] for one in rows) else 1


def place(net: str, out: Path) -> Path:
    return out / (net.replace(":", "-").replace("@", "-").rstrip("!") + ".json")


def run(net: str, out: Path) -> None:
    """One net in a process of its own, forked from one that has the libraries loaded, unless its row is there."""
    path = place(net, out)
    if path.exists():
        return
    process = WORKERS.Process(target=write, args=(net, path))
    process.start()
    process.join(LONGEST)
    if not path.exists():
        process.kill()
        reason = f"no answer in {LONGEST} s" if process.exitcode is None else f"ended with {process.exitcode}"
        path.write_text(json.dumps({"net": net, "verified": False, "reason": reason}) + "\n")
    found = json.loads(path.read_text())
    print(f"{net}: {'verified' if found['verified'] else found['reason']}", file=sys.stderr, flush=True)


def write(net: str, path: Path) -> None:
    try:
        found = row(net)
    except Exception as error:  # noqa: BLE001 - what is no refusal of edgekit's is a defect, and is shown as one
        found = {"net": net, "verified": False, "reason": f"{type(error).__name__}: {error}"[:2000]}
    path.write_text(json.dumps(found, indent=1) + "\n")


def row(entry: str) -> dict[str, Any]:
    """What the table says of one net."""
    import torch

    from edgekit.checkpoints.checkpoint import Checkpoint, save_checkpoint
    from edgekit.config.target import load_target
    from edgekit.errors import EdgekitError
    from edgekit.pipeline import ExportOptions, run_export

    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    started = time.monotonic()
    spec, net, heads = named(entry)
    inputs, data = pictures(spec)
    shake(net, inputs, heads)
    found: dict[str, Any] = {
        "net": spec.arch,
        "side": spec.preprocess.height,
        "parameters": sum(p.numel() for p in net.parameters()),
    }
    limit = load_target("x86-cpu").gate["fp32"].max_abs
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "net.pt"
            save_checkpoint(path, Checkpoint(spec, net.state_dict()))
            result = run_export(path, None, ExportOptions(data=data, pictures=PICTURES))
            fold = result.content.get("fold", {})
            found |= {
                "verified": result.passed,
                "reason": "" if result.passed else str(result.stages[-1]),
                "max_abs": max(stage.max_abs for stage in result.stages),
                "top1": min(stage.top1_agreement for stage in result.stages),
                "folded": len(fold.get("layers", ())),
                "left": len(fold.get("left", ())),
                "fused": len(fold.get("fused", ())),
                "operators": operators(result.model),
                "mib": round(result.model.stat().st_size / 2**20, 1) if result.model else 0,
            }
    except EdgekitError as error:
        found |= {"verified": False, "reason": str(error)}
    found |= {"seconds": round(time.monotonic() - started, 1), **proofs(net, inputs, limit)}
    normed = any(isinstance(getattr(module, "eps", None), float) for module in net.modules())
    shown = (found["spread"], found["shift"], *([found["eps"]] if normed else []))
    if found["verified"] and min(shown) <= 1:  # then equality proves little
        found |= {"verified": False, "reason": "a planted defect does not show: the shaken weights are too tame"}
    return found


def named(entry: str, classes: tuple[str, ...] = CLASSES) -> tuple[Any, Any, tuple[str, ...]]:
    """What an entry of `NETS` names: its ModelSpec, the net itself with its library's random weights, and its heads."""
    from edgekit import nets
    from edgekit.nets.library import preprocess
    from edgekit.spec import ModelSpec, PreprocessSpec

    name, _, size = entry.partition("@")
    side = int(size.rstrip("!"))
    published = preprocess(name)
    mean, std = (published.mean, published.std) if published else ((0.5,) * 3, (0.5,) * 3)
    spec = ModelSpec(
        arch=name,
        arch_args={"img_size": side} if size.endswith("!") else {},
        classes=classes,
        preprocess=PreprocessSpec(side, side, shorter_side=side, mean=mean, std=std),
    )
    known = nets.find(name)
    return spec, known.build(len(classes), **spec.arch_args), known.heads  # type: ignore[arg-type]


def pictures(spec: Any) -> tuple[Any, Path | None]:
    """float32 [N, 3, side, side] as the gate prepares them, and the folder that they come from."""
    import numpy as np
    import torch

    from edgekit.pipeline import pictures_for_gate
    from edgekit.vision.preprocess import normalise, preprocess

    folder = Path(os.environ["EDGEKIT_DATA"]) / "imagenet-250" if "EDGEKIT_DATA" in os.environ else None
    samples = pictures_for_gate(folder, PICTURES, spec.task).samples
    pixels = np.stack([preprocess(sample.read(), spec.preprocess) for sample in samples])
    return torch.from_numpy(normalise(pixels, spec.preprocess)), folder


def shake(net: Any, inputs: Any, heads: tuple[str, ...]) -> None:
    """Weights of no trained net, and none that hides a defect: see the text above."""
    import torch

    with torch.no_grad():
        for name, parameter in net.named_parameters():
            vector = max(parameter.shape, default=1) == parameter.numel()  # also [C, 1, 1]
            if parameter.abs().max() < 1e-2 and vector:  # a bias of 0, or a gain that opens in training
                bias = name.endswith(("bias", "_b")) or "bias" in name.rpartition(".")[2]
                parameter.normal_(0, 0.05) if bias else parameter.uniform_(0.3, 0.7)
            elif parameter.ndim == 1 and parameter.std(correction=0) == 0:  # the gain of a norm
                parameter.mul_(torch.empty_like(parameter).uniform_(0.7, 1.3))
        norms = [module for module in net.modules() if getattr(module, "running_var", None) is not None]
        for norm in norms:
            norm.momentum = None  # a plain average
            norm.reset_running_stats()
        net.train()
        net(inputs)
        net.eval()
        for norm in norms:
            spread = norm.running_var.sqrt()
            norm.running_mean += 0.1 * spread * torch.randn_like(spread)
            norm.running_var *= torch.empty_like(spread).uniform_(0.7, 1.4)
            norm.momentum = 0.1
        for path in heads:
            if not net.get_submodule(path).weight.any():  # torchvision's ViTs start with a head of zeros
                net.get_submodule(path).weight.normal_(0, 0.02)
        for _ in range(2):  # a head that a ReLU follows is no linear map of its scale
            logits = net(inputs)
            off, factor = logits.mean(0), SPREAD / float((logits - logits.mean(0)).std())
            for path in heads:
                head = net.get_submodule(path)
                if head.bias is not None:
                    head.bias.copy_((head.bias - off) * factor)
                head.weight *= factor


def proofs(net: Any, inputs: Any, limit: float) -> dict[str, float]:
    """How far apart the logits of two pictures are, and what two planted defects change; in multiples of the limit."""
    import torch

    with torch.no_grad():
        logits = net(inputs)
        return {
            "spread": float((logits - logits.mean(0)).abs().mean() / limit),
            "eps": float((other_eps(net)(inputs) - logits).abs().max() / limit),
            "shift": float((other_channels(net)(inputs) - logits).abs().max() / limit),
        }


def other_eps(net: Any) -> Any:
    """A copy in which all norms have a hundred times their eps, at least 1e-3: what a port to another library gets."""
    other = copy.deepcopy(net)
    for module in other.modules():
        if isinstance(getattr(module, "eps", None), float):
            module.eps = max(100 * module.eps, 1e-3)
    return other


def other_channels(net: Any) -> Any:
    """A copy in which one layer in the middle gives each output on the next one's channel."""
    import torch

    other = copy.deepcopy(net)
    layers = [m for m in other.modules() if isinstance(m, (torch.nn.Conv2d, torch.nn.Linear)) and len(m.weight) > 1]
    layer = layers[len(layers) // 2]
    layer.weight.data = layer.weight.data.roll(1, 0)
    return other


def operators(model: Path | None) -> dict[str, int]:
    """Operators of the graph that the table or its tests speak of."""
    import onnx

    kinds = [node.op_type for node in onnx.load(model).graph.node] if model else []
    return {kind: kinds.count(kind) for kind in ("BatchNormalization", "LayerNormalization", "Gelu", "Pad", "Shape")}


def document(out: Path) -> str:
    """docs/backbones.md."""
    entries = [net for nets in NETS.values() for net in nets.split()]
    rows = {net: json.loads(place(net, out).read_text()) for net in entries if place(net, out).exists()}
    verified = sum(one["verified"] for one in rows.values())
    refused = {net: one for net, one in rows.items() if not one["verified"]}
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "torchvision", "timm", "onnx", "onnxruntime"))
    lines = [
        "# Backbones that were exported and verified",
        "",
        f"{len(rows)} nets of torchvision and timm were tried: {verified} went through `edgekit export`, verified in",
        "fp32, max|d| <= 1e-3 and the same first class on every picture, against the library's own net. Made by",
        f"`benchmarks/backbones.py` on {time.strftime('%Y-%m-%d')}: {packages}, Python {platform.python_version()},",
        f"{PICTURES} pictures of imagenet-250, {platform.machine()}.",
        "",
        "Weights are random, with BatchNorm statistics that were measured and then moved, and a last layer scaled so",
        "that the logits of a class differ by about 1 from picture to picture, a thousand times the limit. *eps* and",
        "*shift* are what two planted defects do to the logits, in multiples of the limit: a hundredfold eps in all",
        "norms, and the channels of a middle layer off by one. A defect below 1 would pass.",
        "",
        "*Side* is small to keep the script quick. *Folded* are BatchNorms that went into a layer, *left* those that",
        "stay nodes of their own, *fused* blocks of several branches that became one convolution, and convolutions",
        "that computed their weight.",
        "",
        "| net | family | side | parameters | folded | left | fused | max\\|d\\| | top-1 | eps | shift | MiB |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for family, nets in NETS.items():
        for net in nets.split():
            one = rows.get(net)
            if one is not None and one["verified"]:
                eps = f"{one['eps']:.0f}" if one["eps"] else "no norm"
                lines.append(
                    f"| `{one['net']}` | {family} | {one['side']} | {one['parameters'] / 1e6:.1f} M | {one['folded']} |"
                    f" {one['left']} | {one['fused']} | {one['max_abs']:.1e} | {one['top1']:.0%} | {eps} |"
                    f" {one['shift']:.0f} | {one['mib']} |"
                )
    if refused:
        lines += ["", "## Refused", ""]
        lines += [f"- `{net}`: {' '.join(one['reason'].split())}" for net, one in refused.items()]
    if missing := [net for net in entries if net not in rows]:
        lines += ["", "## Not run yet", "", ", ".join(f"`{net}`" for net in missing)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    raise SystemExit(main())
