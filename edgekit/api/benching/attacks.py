"""Attacks for `edgekit bench --robustness`: crafted by torch on the checkpoint, handed on as pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgekit.benchmark.quality.agreement import thumbnail
from edgekit.benchmark.quality.robustness import Attacked
from edgekit.data import Dataset
from edgekit.errors import DataError, PictureError
from edgekit.progress import track, working
from edgekit.spec import ModelSpec
from edgekit.vision.decode import softmax
from edgekit.vision.preprocess import preprocess

EPS = (0.5, 1.0, 2.0, 4.0, 8.0)  # 255ths
SIDES = (10, 20, 30)  # percent of the shorter side
SHOWN_EPS = 4.0


def craft(checkpoint: Path, spec: ModelSpec, dataset: Dataset) -> list[Attacked]:
    """FGSM, PGD and a patch against the checkpoint, on the pictures of `dataset`, as whole grey levels.

    The patch is made on every second picture and scored on the others.

    Raises:
        DataError: fewer than two readable pictures.
    """
    import torch

    from edgekit.checkpoints.checkpoint import load_checkpoint
    from edgekit.training import attacks

    loaded = load_checkpoint(checkpoint, fallback=spec)
    net = attacks.PixelNet(loaded.net(), loaded.spec.preprocess)
    frames, known = [], []
    for sample in track(dataset.samples, "reading pictures"):
        try:
            frames.append(preprocess(sample.read(), loaded.spec.preprocess))
            known.append(sample.label)
        except PictureError:
            continue  # the report names the pictures that cannot be read
    if len(frames) < 2:
        raise DataError("Attacks need pictures.", got=f"{len(frames)} readable", expected="2 or more")
    clean = np.stack(frames)
    labels = np.array(known, dtype=np.int64)
    x, y = attacks.from_pixels(clean, loaded.spec.preprocess), torch.from_numpy(labels)
    parts = [(x[i : i + attacks.BATCH], y[i : i + attacks.BATCH]) for i in range(0, len(x), attacks.BATCH)]
    gradients = len(parts) * (1 + len(EPS) * attacks.STEPS) + len(SIDES) * attacks.PATCH_STEPS
    with working("crafting attacks", gradients) as work:
        by_eps: dict[str, dict[str, np.ndarray]] = {"fgsm": {"0": clean}, "pgd": {"0": clean}}
        slopes = []
        for a, b in parts:
            slopes.append(attacks.gradient(net, a, b))
            work.step(1, "fgsm")
        for eps in EPS:
            quick = [attacks.fgsm(net, a, b, eps / 255, slope) for (a, b), slope in zip(parts, slopes, strict=True)]
            strong = []
            for a, b in parts:
                strong.append(attacks.pgd(net, a, b, eps / 255))
                work.step(attacks.STEPS, "pgd")
            for kind, moved in (("fgsm", quick), ("pgd", strong)):
                by_eps[kind][f"{eps:g}"] = attacks.to_pixels(torch.cat(moved), loaded.spec.preprocess)
        made = {"0": clean[1::2]}
        for percent in SIDES:
            side = max(1, round(min(x.shape[2:]) * percent / 100))
            patch = attacks.patch(net, x[::2], y[::2], side)
            corners = attacks.patch_corners(len(x[1::2]), x.shape, side, torch.Generator().manual_seed(1))
            made[str(percent)] = attacks.to_pixels(attacks.pasted(x[1::2], patch, corners), loaded.spec.preprocess)
            work.step(attacks.PATCH_STEPS, "a patch")
    found = [Attacked(kind, pixels, labels) for kind, pixels in by_eps.items()]
    examples = _examples(net, x, y, clean, by_eps["pgd"][f"{SHOWN_EPS:g}"], loaded.spec)
    found[-1] = Attacked("pgd", by_eps["pgd"], labels, examples)
    found.append(Attacked("patch", made, labels[1::2]))
    return found


def _examples(
    net: object, x: object, y: object, clean: np.ndarray, attacked: np.ndarray, spec: ModelSpec
) -> list[dict[str, str]]:
    """A picture that was right and is wrong now: itself, what was added, and the sum, with both answers."""
    import torch

    from edgekit.training.attacks import PixelNet, from_pixels

    assert isinstance(net, PixelNet)
    assert isinstance(x, torch.Tensor)
    assert isinstance(y, torch.Tensor)
    with torch.inference_mode():
        before, after = (softmax(net(v).numpy()) for v in (x, from_pixels(attacked, spec.preprocess)))
    labels = y.numpy()
    fooled = np.flatnonzero((before.argmax(axis=1) == labels) & (after.argmax(axis=1) != labels))
    if not len(fooled):
        return []
    i = int(fooled[np.argmax(after[fooled].max(axis=1))])
    change = attacked[i].astype(np.int16) - clean[i].astype(np.int16)
    strongest = max(1, int(np.abs(change).max()))
    shown = np.clip(127.5 + change * (120 / strongest), 0, 255).astype(np.uint8)
    answers = [f"{spec.classes[int(p.argmax())]} {100 * float(p.max()):.0f} %" for p in (before[i], after[i])]
    pictures = {"clean": clean[i], "perturbation": shown, "attacked": attacked[i]}
    return [
        {
            "title": f"PGD, eps {SHOWN_EPS:g}/255",
            **{name: thumbnail(picture, 240) or "" for name, picture in pictures.items()},
            "clean_text": answers[0],
            "perturbation_text": f"what was added, {120 / strongest:.0f} times as strong",
            "attacked_text": answers[1],
        }
    ]
