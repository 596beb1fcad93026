"""Times of several graphs in one paired run: A B C A B C ..., one picture at a time, ratios to the first.

    python benchmarks/peers/latency.py --threads 2 --pictures imagenet-250/labels.csv \
        fp32=onnxruntime:fp32.onnx int8=onnxruntime:int8-x86.onnx ov=openvino:int8-x86.onnx --json RESULT.json

A ratio is the median over rounds of (first / this one) within the same round, so that what else the machine does
weighs on both alike; its spread is in the result. One session at a time runs; idle threads do not spin.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from importlib import metadata
from pathlib import Path

import numpy as np

from edgekit.artifacts.onnx_file import read_onnx
from edgekit.backends import open_session
from edgekit.data import load_dataset, sample_evenly
from edgekit.metrics.percentiles import enough, percentile
from edgekit.vision.preprocess import preprocess

sys.path.insert(0, str(Path(__file__).parent))
from quantize import processor

WARM = 10
RUNS = 3  # of each session in its turn; the first pays for what another left in the caches and is not counted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("graphs", nargs="+", help="NAME=BACKEND:FILE; the first, an exported file, is compared with")
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if args.rounds < enough(90):
        parser.error(f"--rounds: {enough(90)} or more")
    sessions, spec = {}, None
    for graph in args.graphs:
        name, _, rest = graph.partition("=")
        backend, _, path = rest.partition(":")
        data = Path(path).read_bytes()
        spec = spec or read_onnx(Path(path)).metadata.model.preprocess
        sessions[name] = open_session(data, backend, threads=args.threads)
    pixels = [preprocess(s.read(), spec)[None] for s in sample_evenly(load_dataset(args.pictures, None), 32)]
    times: dict[str, list[float]] = {name: [] for name in sessions}
    load = [os.getloadavg()[0]]
    for turn in range(args.rounds + WARM):
        for name, session in sessions.items():
            took = []
            for _ in range(RUNS):
                start = time.perf_counter()
                session.run({"image": pixels[turn % len(pixels)]})
                took.append(time.perf_counter() - start)
            if turn >= WARM:
                times[name].append(float(np.mean(took[1:])) * 1e3)
    load.append(os.getloadavg()[0])
    first = np.array(next(iter(times.values())))
    rows = []
    print("| graph | p10 ms | p50 ms | p90 ms | times faster, median | p25 to p75 | by p10 |")
    print("|---|---|---|---|---|---|---|")
    for name, values in times.items():
        ratio = first / np.array(values)
        p10, p50, p90 = (percentile(values, q) for q in (10, 50, 90))
        low, high = percentile(ratio, 25), percentile(ratio, 75)
        by_p10 = percentile(first, 10) / p10
        rows.append(
            {
                "graph": name,
                "p10_ms": p10,
                "p50_ms": p50,
                "p90_ms": p90,
                "ratio": float(np.median(ratio)),
                "ratio_p25": low,
                "ratio_p75": high,
                "ratio_by_p10": by_p10,
            }
        )
        print(
            f"| {name} | {p10:.2f} | {p50:.2f} | {p90:.2f} | {np.median(ratio):.2f} | {low:.2f} to {high:.2f} "
            f"| {by_p10:.2f} |"
        )
    print(f"load average {load[0]:.1f} before, {load[1]:.1f} after, {os.cpu_count()} cores, {args.threads} threads")
    if args.json:
        about = {
            "threads": args.threads,
            "rounds": args.rounds,
            "load_average": load,
            "machine": {"processor": processor(), "cores": os.cpu_count()},
            "versions": {name: metadata.version(name) for name in ("onnxruntime", "openvino", "edgekit")},
        }
        args.json.write_text(json.dumps({**about, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
