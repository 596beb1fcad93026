"""The second way from a frame to numbers gives what the first gives: they share no code, so a mistake shows."""

from dataclasses import replace

import numpy as np
import pytest

from edgekit.pipeline.adopting.own_pictures import prepared
from edgekit.spec import PreprocessSpec
from edgekit.vision.preprocess import normalise, preprocess

FRAMES = [
    np.random.default_rng(i).integers(0, 256, (*s, 3), dtype=np.uint8) for i, s in enumerate([(61, 90), (120, 47)])
]
CROP = PreprocessSpec(32, 40, "crop", 45)
BOX = PreprocessSpec(32, 40, "letterbox", None, "bilinear", False)
SPECS = [
    CROP,
    replace(CROP, interpolation="bicubic", color="bgr"),
    replace(CROP, antialias=False),
    BOX,
    replace(BOX, align="corner", color="bgr", mean=(0, 0, 0), std=(1 / 255,) * 3),
    replace(BOX, antialias=True, pad=0),
    *(replace(BOX, resize="stretch", interpolation=how, antialias=how not in ("nearest", "bicubic"))
      for how in ("nearest", "area", "pyramid", "bicubic")),
]  # fmt: skip


@pytest.mark.parametrize("frame", FRAMES, ids=["wide", "high"])
@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.describe())
def test_both_ways_give_the_same_numbers(spec: PreprocessSpec, frame: np.ndarray) -> None:
    ours = normalise(preprocess(frame, spec)[None], spec)[0]
    np.testing.assert_allclose(prepared(frame, spec), ours, rtol=0, atol=1e-6 * max(1, np.abs(ours).max()))


def test_they_share_no_code() -> None:
    """What is imported of edgekit says what is shared: the spec, which is what both have to do."""
    import ast
    import inspect

    import edgekit.pipeline.adopting.own_pictures as module

    tree = ast.walk(ast.parse(inspect.getsource(module)))
    used = {
        node.module for node in tree if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("edgekit")
    }
    assert used == {"edgekit.spec"}
