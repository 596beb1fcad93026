"""Is `edgekit bench` telling the truth? Its session p50 against a bare loop, in turns within one process.

    python benchmarks/truth.py resnet18.onnx [--backend onnxruntime] [--turns 8]

The bare loop is what anybody would write in ten lines with the runtime itself; no edgekit session is in it. With
--backend openvino it uses the runtime's own infer request.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edgekit.artifact import read_onnx
from edgekit.bench.measure import Subject
from edgekit.bench.stats import paired_ratio
from edgekit.data import Sample, made_pictures
from edgekit.predictor import Predictor
from edgekit.vision.preprocess import normalise, preprocess


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--backend", default="onnxruntime", choices=["onnxruntime", "openvino"])
    parser.add_argument("--turns", type=int, default=8)
    parser.add_argument("--runs", type=int, default=40, help="in each turn")
    args = parser.parse_args()
    artifact = read_onnx(args.model)
    spec = artifact.metadata.model.preprocess
    frames = [s.read() for s in made_pictures(8)]
    feeds = [preprocess(frame, spec)[None] for frame in frames]
    if artifact.metadata.input == "float":
        feeds = [normalise(feed, spec) for feed in feeds]
    bare = {"onnxruntime": bare_onnxruntime, "openvino": bare_openvino}[args.backend](artifact.data)
    samples = [Sample(None, frame, None) for frame in frames]
    ours, theirs = [], []
    with Predictor.from_artifact(artifact, args.backend) as predictor:
        subject = Subject(predictor, samples)
        for turn in range(args.turns + 1):  # the first warms up
            a = loop(bare, feeds, args.runs)
            marks: list[float] = []
            for _ in range(args.runs):
                subject.answer(marks, [])
            times = np.asarray(marks).reshape(-1, 5)
            b = float(np.median(times[:, 3] - times[:, 2])) * 1e3
            if turn:
                theirs.append(a)
                ours.append(b)
    ratio = paired_ratio(ours, theirs)
    mine, bare_p50 = np.median(ours), np.median(theirs)
    print(f"{args.model.name} {args.backend}: edgekit's session p50 {mine:.2f} ms, bare {bare_p50:.2f} ms")
    load = os.getloadavg()[0]
    print(f"ratio {ratio.value:.3f} [{ratio.low:.3f}, {ratio.high:.3f}] over {args.turns} turns, load {load:.1f}")


def loop(run: Callable[[np.ndarray], object], feeds: list[np.ndarray], runs: int) -> float:
    """p50 in milliseconds."""
    times = []
    for i in range(runs):
        start = time.perf_counter()
        run(feeds[i % len(feeds)])
        times.append(time.perf_counter() - start)
    return float(np.median(times)) * 1e3


def bare_onnxruntime(model: bytes) -> Callable[[np.ndarray], object]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # as edgekit runs it
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda feed: session.run(None, {"image": feed})


def bare_openvino(model: bytes) -> Callable[[np.ndarray], object]:
    import openvino

    core = openvino.Core()
    settings = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    request = core.compile_model(core.read_model(model), "CPU", settings).create_infer_request()
    return lambda feed: request.infer({"image": feed})


if __name__ == "__main__":
    main()
