"""What one would use instead, for a ResNet-18 checkpoint: every way takes turns with edgekit in the same process.

    python benchmarks/peers/classify.py resnet18.pth edgekit.onnx [edgekit.int8-x86.onnx ...]

Ways: torch eager; torch.compile (--compile); torch.onnx.export + onnxruntime with its defaults; edgekit's files. The
input is one normalized picture 1x3x224x224, ready, for the peers, and the same picture as bytes for edgekit, whose
preprocessing is in the graph. Printed are medians and the ratio to the first way, turn by turn.
"""

from __future__ import annotations

import argparse
import io
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from edgekit.checkpoints.checkpoint import load_checkpoint
from edgekit.checkpoints.reference import reference_net
from edgekit.data import made_pictures
from edgekit.loading import open_predictor
from edgekit.metrics.statistics import paired_ratio
from edgekit.vision.preprocess import normalise, preprocess

Run = Callable[[], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--backend", action="append", help="of edgekit's files; repeatable (onnxruntime)")
    parser.add_argument("--compile", action="store_true", help="also torch.compile, which takes a minute")
    parser.add_argument("--turns", type=int, default=8)
    parser.add_argument("--runs", type=int, default=20, help="in each turn")
    args = parser.parse_args()
    loaded = load_checkpoint(args.checkpoint)
    net = reference_net(loaded)
    assert net is not None
    pixels = preprocess(made_pictures(1).samples[0].read(), loaded.spec.preprocess)[None]
    ready = normalise(pixels, loaded.spec.preprocess)
    tensor = torch.from_numpy(ready)
    ways: dict[str, Run] = {"torch.onnx.export + onnxruntime defaults": exported(net, tensor, ready)}
    ways["torch eager"] = lambda: infer(net, tensor)
    if args.compile:
        compiled = torch.compile(net)
        ways["torch.compile"] = lambda: infer(compiled, tensor)
    for file in args.files:
        for backend in args.backend or ["onnxruntime"]:
            session = open_predictor(file, backend=backend).session
            feed = {"image": pixels if session.inputs[0].dtype == "uint8" else ready}
            ways[f"edgekit {file.name} {backend}"] = lambda session=session, feed=feed: session.run(feed)
    medians = turns(ways, args.turns, args.runs)
    first = next(iter(ways))
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs, {args.turns} turns of {args.runs}, batch 1")
    print("| way | p50 ms | times as fast as the first, turn by turn |\n|---|---|---|")
    for name, found in medians.items():
        ratio = paired_ratio(medians[first], found)
        told = "1" if name == first else f"{ratio.value:.2f} [{ratio.low:.2f}, {ratio.high:.2f}]"
        print(f"| {name} | {np.median(found):.2f} | {told} |")


def turns(ways: dict[str, Run], count: int, runs: int) -> dict[str, list[float]]:
    """The median of each way in each turn, in ms; one more turn warms up."""
    medians: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(count + 1):
        for name, run in ways.items():
            run()
            times = []
            for _ in range(runs):
                start = time.perf_counter()
                run()
                times.append(time.perf_counter() - start)
            if turn:
                medians[name].append(float(np.median(times)) * 1e3)
    return medians


def infer(net: Callable[[torch.Tensor], torch.Tensor], tensor: torch.Tensor) -> object:
    with torch.inference_mode():
        return net(tensor)


def exported(net: torch.nn.Module, tensor: torch.Tensor, ready: np.ndarray) -> Run:
    """The exporter's and the runtime's defaults, nothing set."""
    import onnxruntime

    program = torch.onnx.export(net, (tensor,), dynamo=True, verbose=False)
    assert program is not None
    stream = io.BytesIO(program.model_proto.SerializeToString())
    session = onnxruntime.InferenceSession(stream.getvalue(), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda: session.run(None, {name: ready})


if __name__ == "__main__":
    main()
