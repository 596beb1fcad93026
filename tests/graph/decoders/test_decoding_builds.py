"""TensorRT-RTX builds every decoder, suppression included, for a dynamic batch and without a warning."""

import importlib.util

import numpy as np
import pytest

from edgekit.artifacts.engine_key import Batch, BuildOptions
from edgekit.backends.trt.build import build
from edgekit.backends.trt.library import load_library
from edgekit.graph import decoders
from edgekit.vision.spec import Suppression
from tests.graph.decoders.raw import given
from tests.graph.decoders.test_decoders import CASES, SIZE, of

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt-rtx is not installed: nothing was built"
)


QUICK = ("yolox", "centernet", "mask-logits")


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in CASES])
def test_it_builds(name: str) -> None:
    raw = CASES[name](np.random.default_rng(0), 2)
    model = given({key: value.astype(np.int32) if value.dtype == np.int64 else value for key, value in raw.items()})
    decoders.append(model, of(name, raw), SIZE, 200, 60, Suppression(0.5))
    read = {name for node in model.graph.node for name in node.input}
    for value in [value for value in model.graph.input if value.name not in read]:
        model.graph.input.remove(value)
    options = BuildOptions("tensorrt_rtx", ("8.9",), Batch(1, 2, 8))
    built = build(model.SerializeToString(), options, load_library("tensorrt_rtx"))
    assert built.warnings == ()
