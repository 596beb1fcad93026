"""A session that several threads run at once answers each of them as if it were alone."""

from __future__ import annotations

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx.parser
import pytest

from edgekit.artifacts.deployment import shipped_models
from edgekit.backends import BACKENDS, open_session
from edgekit.data import hive_pictures
from edgekit.errors import BackendError
from edgekit.loading import open_predictor

GRAPH = """<ir_version: 10, opset_import: ["": 20]>
g (float[N,64] x) => (float[N,64] y, int64[M,2] places) { y = Neg(x) p = NonZero(x) places = Transpose(p) }"""


@pytest.fixture(params=sorted(BACKENDS))
def backend(request: pytest.FixtureRequest) -> str:
    pytest.importorskip(request.param, reason=f"{request.param} is not installed")
    return str(request.param)


@pytest.mark.parametrize(("streams", "threads"), [(1, 1), (3, 3), (2, 4)])
def test_each_thread_gets_its_own_answer(backend: str, streams: int, threads: int) -> None:
    model = onnx.parser.parse_model(GRAPH).SerializeToString()
    with open_session(model, backend, streams=streams, threads=threads) as session:
        assert session.streams == streams

        def asked(i: int) -> bool:
            x = np.random.default_rng(i).integers(-1, 2, (1 + i % 3, 64)).astype(np.float32)
            given = session.run({"x": x})
            return bool((given["y"] == -x).all() and (given["places"] == np.argwhere(x)).all())

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(asked, range(400)))
    with pytest.raises(BackendError, match="closed"):
        session.run({"x": np.zeros((1, 64), np.float32)})


def test_a_session_goes_with_its_last_reference(backend: str) -> None:
    """Not with a later garbage collection: that may be in a forked process, where its threads are missing."""
    session = open_session(onnx.parser.parse_model(GRAPH).SerializeToString(), backend, streams=2, threads=2)
    session.run({"x": np.zeros((2, 64), np.float32)})
    parts = [weakref.ref(session), *(weakref.ref(lane) for lane in session._lanes)]  # type: ignore[attr-defined]
    gc.disable()
    try:
        del session
        assert [part() for part in parts] == [None] * 3
    finally:
        gc.enable()


def test_a_detector_finds_the_same_in_two_streams(backend: str) -> None:
    frames = [sample.read() for sample in hive_pictures(12, 3, 180, 240).samples]
    path = Path(shipped_models()[0])
    with open_predictor(path, backend=backend, threads=1) as alone:
        wanted = [alone.detect([frame], 0.0)[0] for frame in frames]
    with open_predictor(path, backend=backend, threads=2, streams=2) as both, ThreadPoolExecutor(3) as pool:
        given = list(pool.map(lambda frame: both.detect([frame], 0.0)[0], frames))
    for a, b in zip(wanted, given, strict=True):
        assert len(a) > 0
        np.testing.assert_allclose(a.boxes, b.boxes, atol=1e-3)
        np.testing.assert_allclose(a.scores, b.scores, atol=1e-5)
        np.testing.assert_array_equal(a.labels, b.labels)
