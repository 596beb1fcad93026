"""The pictures that a training leaves in its folder: curves, confusion matrix, precision against recall. matplotlib."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from edgekit.artifacts.atomic import write_bytes
from edgekit.metrics.alarm import picture_scores, point_at, roc
from edgekit.metrics.average_precision.voc import voc_curves
from edgekit.metrics.ground_truth import GroundTruth, Predictions
from edgekit.screen import count_of

# Okabe and Ito 2008: apart in hue for the colour-blind, and in lightness when printed grey
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_LOSSES = ("loss", "heatmap", "box", "offset", "size", "entropy", "dice")
_SCORES = ("top1", "train_top1", "balanced", "ap50", "ap", "voc07", "miou", "pixel_accuracy", "boundary_f")


def curves(path: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Losses on the left, scores on validation on the right, over the epochs; `rows` are those of metrics.csv."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes, names, title in ((left, _LOSSES, "losses while training"), (right, _SCORES, "validation")):
        shown = [name for name in names if any(name in row for row in rows)]
        for i, name in enumerate(shown):
            points = [(row["epoch"], row[name]) for row in rows if name in row]
            x, y = zip(*points, strict=True)
            axes.plot(x, y, color=COLOURS[i % len(COLOURS)], marker="." if len(points) < 30 else "", label=name)
        axes.set(title=title, xlabel="epoch")
        axes.grid(alpha=0.3)
        if shown:
            axes.legend()
    if any(row.get("loss", 0) > 0 for row in rows):
        left.set_yscale("log")
    _write(figure, path)


def confusion_matrix(
    path: Path, table: NDArray[np.int64], rows: Sequence[str], columns: Sequence[str], *, counts: bool = True
) -> None:
    """Counts, true classes down and answers across, shaded by the share of each row; names up to 40 classes.

    Args:
        counts: write them; else the shares, where there are millions.
    """
    n, m = table.shape
    side = min(14.0, 2.5 + 0.55 * max(n, m))
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    share = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    axes.set(xlabel="answered", ylabel="true")
    if max(n, m) <= 40:
        axes.set_xticks(range(m), columns, rotation=45, ha="right")
        axes.set_yticks(range(n), rows)
    if max(n, m) <= 20:
        for i in range(n):
            for j in range(m):
                colour = "white" if share[i, j] > 0.5 else "black"
                text = str(table[i, j]) if counts else f"{share[i, j]:.0%}"
                axes.text(j, i, text, ha="center", va="center", color=colour)
    _write(figure, path)


def precision_recall(
    path: Path,
    truths: Sequence[GroundTruth],
    founds: Sequence[Predictions],
    classes: Sequence[str],
    thresholds: Sequence[float],
) -> None:
    """One curve a class at IoU 0.5, with the point of its threshold."""
    figure = Figure(figsize=(6, 5), layout="constrained")
    axes = figure.subplots()
    for i, curve in enumerate(voc_curves(truths, founds, len(classes))):
        if not curve.objects or not len(curve.scores):
            continue
        colour = COLOURS[i % len(COLOURS)]
        axes.plot(
            curve.recall, curve.precision, color=colour, label=f"{classes[i]} ({count_of(curve.objects, 'object')})"
        )
        shown = np.flatnonzero(curve.scores >= thresholds[i])
        if len(shown):
            axes.plot(curve.recall[shown[-1]], curve.precision[shown[-1]], "o", color=colour)
            where = (float(curve.recall[shown[-1]]), float(curve.precision[shown[-1]]))
            axes.annotate(f"{thresholds[i]:.2f}", where, xytext=(5, 5), textcoords="offset points")
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.02), ylim=(0, 1.02), title="boxes, IoU 0.5")
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="lower left")
    _write(figure, path)


def alarm_roc(
    path: Path,
    truths: Sequence[GroundTruth],
    founds: Sequence[Predictions],
    classes: Sequence[str],
    thresholds: Sequence[float] = (),
) -> None:
    """Is there one in the picture? One curve for each class that some pictures have and some have not, with the point
    of its threshold."""
    figure = Figure(figsize=(6, 5), layout="constrained")
    axes = figure.subplots()
    for i, name in enumerate(classes):
        present = np.array([(t.labels == i).any() for t in truths])
        if present.all() or not present.any():
            continue
        _, false, recall = roc(picture_scores(founds, i), present)
        colour = COLOURS[i % len(COLOURS)]
        axes.step(false, recall, where="post", color=colour, label=name)
        if thresholds:
            at = point_at(picture_scores(founds, i), present, thresholds[i])
            axes.plot([at.false_positives.value or 0.0], [at.recall.value or 0.0], "o", color=colour)
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle=":")
    axes.set(xlabel="false alarms, share of pictures without", ylabel="recall, share of pictures with")
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), title="alarm: is there one in the picture?")
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="lower right")
    _write(figure, path)


def _write(figure: Any, path: Path) -> None:
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=110)
    write_bytes(path, data.getvalue(), overwrite=True)
