"""OpenVINO loads every decoder, suppression included, and gives the boxes that onnxruntime does where no scores tie."""

import importlib.util

import numpy as np
import pytest

from edgekit.backends import open_session
from edgekit.graph import decoders
from edgekit.vision.spec import Suppression
from tests.graph.decoders.raw import given
from tests.graph.decoders.test_decoders import CASES, SIZE, of, rows

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="openvino is not installed: nothing was run"
)


QUICK = ("yolox", "yolov8", "centernet", "detr", "mask-logits")


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in CASES])
def test_it_gives_what_onnxruntime_does(name: str) -> None:
    rng = np.random.default_rng(0)
    raw = CASES[name](rng, 2)
    raw = {
        k: v + rng.uniform(0, 1e-3, v.shape).astype(np.float32) if v.dtype == np.float32 else v for k, v in raw.items()
    }
    model = given(raw)
    decoders.append(model, of(name, raw), SIZE, 20, 40, Suppression(0.45))
    read = {tensor for node in model.graph.node for tensor in node.input}
    for value in [value for value in model.graph.input if value.name not in read]:
        model.graph.input.remove(value)
    feeds = {f"to/{key}": value for key, value in raw.items() if f"to/{key}" in read}
    answers = []
    for backend in ("onnxruntime", "openvino"):
        with open_session(model.SerializeToString(), backend) as session:
            answers.append(session.run(feeds))
    if "boxes" in answers[0]:
        wanted, found = map(rows, answers)
    else:
        wanted, found = (list(answer.values()) for answer in answers)
    for one, other in zip(wanted, found, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-3)
