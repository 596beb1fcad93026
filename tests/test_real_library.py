"""A real net of timm on real pictures answers as timm's own pipeline; EDGEKIT_DATA says where they are."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_data_config  # type: ignore[attr-defined]

from edgekit.checkpoints.checkpoint import load_checkpoint
from edgekit.data import load_dataset
from edgekit.loading import open_predictor
from edgekit.pipeline import export

DATA = Path(os.environ.get("EDGEKIT_DATA", "nowhere"))
WEIGHTS = DATA / "weights" / "tf_efficientnet_lite0.pth"
NET = "tf_efficientnet_lite0"
RIGHT = 224  # of 250, timm's own top-1
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not WEIGHTS.is_file(), reason="EDGEKIT_DATA is not set: no real weights and pictures of timm's"),
]


def test_every_answer_is_timms(tmp_path: Path) -> None:
    dataset = load_dataset(
        DATA / "imagenet-250" / "labels.csv", load_checkpoint(WEIGHTS, arch=f"timm:{NET}").spec.classes
    )
    net = timm.create_model(NET, checkpoint_path=str(WEIGHTS)).eval()
    transform = create_transform(**resolve_data_config(model=net), is_training=False)  # type: ignore[no-untyped-call]
    theirs = []
    with torch.inference_mode():
        for start in range(0, len(dataset), 25):
            pictures = [Image.open(s.path).convert("RGB") for s in dataset.samples[start : start + 25] if s.path]
            theirs.append(net(torch.stack([transform(one) for one in pictures])).numpy())
    want = np.concatenate(theirs)

    result = export(WEIGHTS, tmp_path, arch=f"timm:{NET}", data=DATA / "imagenet-250", pictures=16)
    assert result.model is not None, result.content
    assert f"timm's {NET} with these weights, as named by --arch" in result.content["verdict"]["text"]
    with open_predictor(result.model) as predictor:
        got = np.stack(list(predictor.stream(sample.read() for sample in dataset)))
    np.testing.assert_array_equal(got.argmax(1), want.argmax(1))
    np.testing.assert_allclose(got, want, atol=1e-3)
    assert int((want.argmax(1) == [sample.label for sample in dataset]).sum()) == RIGHT
