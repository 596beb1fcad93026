"""The machine's own roof, measured and not looked up: multiply-adds a second in matrix products, and bytes copied."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgekit.benchmark.schema import Peak
from edgekit.cores import usable_cpus

SIDE = 1024
COPY_MB = 96
SECONDS = 0.6
LEAST = 5


def measure_peak(threads: int = 0, seconds: float = SECONDS) -> Peak:
    """The best of repeated runs: float32 by numpy and by onnxruntime, int8 (uint8 by int8) by onnxruntime where there.

    A roof is what the machine can do, so here, and only here, the best counts and not the median.
    """
    a = np.random.default_rng(0).standard_normal((SIDE, SIDE), dtype=np.float32)
    out = np.empty_like(a)
    best = {"fp32": _best(lambda: np.matmul(a, a, out=out), seconds)}
    for name, run in _runtimes(threads).items():
        best[name] = min(best.get(name, float("inf")), _best(run, seconds))
    gmacs = {name: SIDE**3 / took / 1e9 for name, took in best.items()}
    return Peak(
        gmacs=gmacs,
        copy_gb=_copy(threads or usable_cpus(), seconds),
        how=f"The roofs are a {SIDE} x {SIDE} matrix product and a copy of {COPY_MB} MB, the best of this same run.",
    )


def _runtimes(threads: int) -> dict[str, Callable[[], object]]:
    try:
        import onnxruntime
    except ImportError:
        return {}
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    rng = np.random.default_rng(0)
    runs: dict[str, Callable[[], object]] = {}
    for name, feed, weight, op, result in (
        ("fp32", rng.standard_normal((SIDE, SIDE), dtype=np.float32),
         rng.standard_normal((SIDE, SIDE), dtype=np.float32), "MatMul", TensorProto.FLOAT),
        ("int8", rng.integers(0, 127, (SIDE, SIDE), dtype=np.uint8),
         rng.integers(-63, 64, (SIDE, SIDE), dtype=np.int8), "MatMulInteger", TensorProto.INT32),
    ):  # fmt: skip
        graph = helper.make_graph(
            [helper.make_node(op, ["a", "b"], ["c"])],
            "peak",
            [helper.make_tensor_value_info("a", helper.np_dtype_to_tensor_dtype(feed.dtype), [SIDE, SIDE])],
            [helper.make_tensor_value_info("c", result, [SIDE, SIDE])],
            [numpy_helper.from_array(weight, "b")],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
        onnx.checker.check_model(model)
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        runs[name] = partial(session.run, ["c"], {"a": feed})
    return runs


def _best(run: Callable[[], object], seconds: float) -> float:
    run()
    best, until, done = float("inf"), time.perf_counter() + seconds, 0
    while time.perf_counter() < until or done < LEAST:
        done += 1
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return best


def _copy(threads: int, seconds: float) -> float:
    """1e9 bytes a second read and written, `threads` copies at once."""
    size = (COPY_MB << 20) // threads
    pairs = [(np.ones(size, np.uint8), np.zeros(size, np.uint8)) for _ in range(threads)]

    def together() -> None:
        workers = [threading.Thread(target=np.copyto, args=(b, a)) for a, b in pairs]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    return 2 * size * threads / _best(together, seconds) / 1e9
