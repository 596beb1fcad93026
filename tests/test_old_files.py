"""Files written before names changed go on loading: a checkpoint, an exported file, a recipe.

`tests/golden/written-before-13.*` were made by commit 21ce2b4: a CenterNet of width 0.0625 with the head then called
`c22` and its number of detections then called `keep`.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from edgekit.artifacts.onnx_file import read_onnx
from edgekit.checkpoints.checkpoint import load_checkpoint
from edgekit.config.recipe import parse_recipe
from edgekit.data import hive_pictures
from edgekit.errors import InputError
from edgekit.loading import open_predictor
from edgekit.spec import ModelSpec
from edgekit.vision.preprocess import preprocess

GOLDEN = Path(__file__).parent / "golden"
CHECKPOINT, EXPORTED = GOLDEN / "written-before-13.pt", GOLDEN / "written-before-13.onnx"


def test_the_files_hold_the_old_names() -> None:
    (text,) = (p.value for p in onnx.load(EXPORTED).metadata_props)
    model = json.loads(text)["model"]
    assert (model["keep"], model["arch_args"]["head"]) == (10, "c22")
    assert b"keep" in CHECKPOINT.read_bytes()
    assert b"max_detections" not in CHECKPOINT.read_bytes()


def test_checkpoint_and_exported_file_load_and_agree() -> None:
    loaded, artifact = load_checkpoint(CHECKPOINT), read_onnx(EXPORTED)
    assert loaded.spec == artifact.metadata.model
    assert loaded.spec.alarm_thresholds == ()
    assert (loaded.spec.max_detections, dict(loaded.spec.arch_args or {})["head"]) == (10, "offset_size")
    frames = [preprocess(sample.read(), loaded.spec.preprocess) for sample in hive_pictures(3, seed=2)]
    with open_predictor(CHECKPOINT) as ours, open_predictor(EXPORTED) as theirs:
        a, b = ours.answers(frames), theirs.answers(frames)
    assert a["scores"].max() > 0.05
    np.testing.assert_allclose(a["scores"], b["scores"], atol=1e-5)
    real = a["scores"] > 0  # where there is nothing, boxes mean nothing
    np.testing.assert_allclose(a["boxes"][real], b["boxes"][real], atol=1e-2)


def test_written_again_it_has_the_names_of_today() -> None:
    spec = read_onnx(EXPORTED).metadata.model
    assert "keep" not in spec.to_dict()
    assert ModelSpec.from_dict(spec.to_dict()) == spec


def test_a_recipe_with_the_old_names() -> None:
    net = '[net]\narch = "centernet-resnet18"\nhead = "c22"\nkeep = 7\n'
    sizes = '[input]\nresize = "letterbox"\nsize = 64\ntrain_size = 64\n'
    old = parse_recipe(f'name = "old"\ntask = "detection"\n{net}{sizes}', "old.toml")
    assert (old.net.head, old.net.max_detections) == ("offset_size", 7)


def test_both_names_at_once_are_refused() -> None:
    with pytest.raises(InputError):
        ModelSpec.from_dict({**read_onnx(EXPORTED).metadata.model.to_dict(), "keep": 11})
