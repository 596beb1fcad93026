"""A detector that is described by settings: which output holds what, how a box is written, how a score comes about.

`edgekit.graph.decoders.description` reads the settings from a person's file; DETR's, SSD's and the like are such
descriptions with a way to recognise them. A setting that is left out has the value of `DEFAULTS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.graph.builder import Builder
from edgekit.graph.decoders.arithmetic import around, corners, part, reshaped
from edgekit.graph.decoders.base import Arrays, Reading, Seen, Size, shape_of, sigmoid
from edgekit.graph.decoders.detector import Detector, Found, centred
from edgekit.graph.decoders.grids import anchors_of
from edgekit.graph.decoders.select import Places

DEFAULTS: Mapping[str, Any] = {
    "format": "cxcywh",  # or xyxy, yxyx, xywh; ltrb from a cell's middle; offsets of a cell; deltas of an anchor
    "unit": "pixels",  # or picture, 0 to 1 of its sides; or cells
    "box_columns": None,  # first and end of the four numbers in what a place has; None: all
    "box_axis": "last",  # where a place's numbers stand: [N, P, numbers], or "first": [N, numbers, P] or a map
    "strides": (),  # of the grids that the places are cells of
    "anchors": (),  # of each grid [width, height] in pixels, one after the other in a cell; none: one place a cell
    "offset": 0.5,  # of a cell's middle from its left and top, in cells
    "bins": 1,  # of a distance's distribution over 0, 1, .. before its softmax; the mean counts (GFL, sec. 3.2)
    "variances": (0.1, 0.2),  # of deltas: of the centre and of the size (Liu et al. 2016, SSD, sec. 2.2 and its code)
    "score_columns": None,
    "score_axis": "last",
    "activation": "none",  # that is still to be done: or sigmoid, softmax
    "background": "none",  # or first, last: a column that is no class
    "every": False,  # whether a place may give a box for each of its classes
    "objectness_columns": None,
    "objectness_activation": "none",
    "powers": (1.0, 1.0),  # of objectness and of the class's score
    "label_columns": None,
    "first_label": 0,  # the number that the first class has
}


class Described(Detector):
    """As its settings say; it recognises nothing."""

    name = "described"
    expects = "what its settings name"

    def read(self, seen: Seen, task: str) -> list[Reading]:
        return []

    def places(self, b: Builder, reading: Reading, seen: Seen) -> Places:
        how = {**DEFAULTS, **reading.settings}
        first = how["score_axis"] == "first"
        scores = _taken(b, reading, seen, "scores", how["score_axis"], how["score_columns"])
        rows = _taken(b, reading, seen, "boxes", how["box_axis"], how["box_columns"])
        if how["box_axis"] != how["score_axis"]:
            rows = b.add("Transpose", rows, perm=[0, 2, 1])
        if how["activation"] == "softmax":
            scores = b.add("Softmax", scores, axis=1 if first else 2)
        skipped = int(how["background"] == "first")
        if how["background"] != "none":
            scores = part(b, scores, 1 if first else 2, skipped, skipped + reading.classes)
        objectness = labels = ""
        late = how["activation"] == "sigmoid"
        if "objectness" in reading.roles:
            objectness = _taken(b, reading, seen, "objectness", how["score_axis"], how["objectness_columns"])
            if late != (how["objectness_activation"] == "sigmoid"):
                objectness, scores = (b.add("Sigmoid", objectness), scores) if not late else (
                    objectness, b.add("Sigmoid", scores))  # fmt: skip
                late = False
        if "labels" in reading.roles:
            labels = b.add("Flatten", _taken(b, reading, seen, "labels", "last", how["label_columns"]), axis=1)
            if how["first_label"]:
                labels = b.add("Sub", labels, b.constant([how["first_label"]]))
        fixed: dict[str, NDArray[Any]] = {}
        if how["strides"]:
            fixed = anchors_of(seen.size, how["strides"], how["anchors"], how["offset"])
        count = _count(reading, seen, how["score_axis"])

        def boxes(b: Builder, rows: str, fixed: Mapping[str, str]) -> str:
            return _boxes(b, rows, fixed, how, seen.size)

        classes = 1 if labels else reading.classes
        every = bool(how["every"]) and not labels
        powers = tuple(how["powers"])
        return Places(
            scores, rows, count, classes, boxes, fixed, objectness, labels, late, powers, every, first, 4 * how["bins"]
        )

    def found(self, reading: Reading, size: Size, outputs: Arrays) -> Found:
        how = {**DEFAULTS, **reading.settings}
        raw = _columns(reading, outputs, "scores", how["score_axis"], how["score_columns"])
        scores = _activated(raw, how["activation"])
        if how["background"] == "first":
            scores = scores[..., 1:]
        elif how["background"] == "last":
            scores = scores[..., :-1]
        if "objectness" in reading.roles:
            column = _columns(reading, outputs, "objectness", how["score_axis"], how["objectness_columns"])
            objectness = _activated(column, how["objectness_activation"])
            scores = scores ** how["powers"][1] * objectness ** how["powers"][0]
        labels = None
        if "labels" in reading.roles:
            labels = _columns(reading, outputs, "labels", "last", how["label_columns"])[..., 0].astype(np.int32)
            labels -= how["first_label"]
        boxes = _xyxy(_columns(reading, outputs, "boxes", how["box_axis"], how["box_columns"]), how, size)
        every = bool(how["every"]) and labels is None
        return Found(boxes, scores, labels, every, class_by_class=how["score_axis"] == "first")


def _names(reading: Reading, role: str) -> list[str]:
    """One output, or those of several grids: `boxes`, or `boxes/0`, `boxes/1` .. in the order of the strides."""
    if role in reading.roles:
        return [reading.roles[role]]
    count = sum(name.startswith(f"{role}/") for name in reading.roles)
    return [reading.roles[f"{role}/{i}"] for i in range(count)]


def _taken(b: Builder, reading: Reading, seen: Seen, role: str, axis: str, columns: Any) -> str:
    """float32 [N, P, numbers] or [N, numbers, P] of a role's outputs."""
    parts = []
    for name in _names(reading, role):
        rank = len(shape_of(seen, name))
        if rank == 4:
            name = reshaped(b, name, 0, -1)
        elif rank == 2:  # one number a place
            name = b.add("Unsqueeze", name, b.constant([1 if axis == "first" else 2], np.int64))
        parts.append(b.cast(name, np.float32) if role == "labels" else name)
    at = 1 if axis == "first" else 2
    whole = parts[0] if len(parts) == 1 else b.add("Concat", *parts, axis=3 - at)
    return whole if columns is None else part(b, whole, at, *columns)


def _count(reading: Reading, seen: Seen, axis: str) -> int:
    total = 0
    for name in _names(reading, "scores"):
        sides = [int(side) for side in shape_of(seen, name)[1:]]
        total += int(np.prod(sides[1:])) if axis == "first" and len(sides) > 1 else sides[0]
    return total


def _boxes(b: Builder, rows: str, fixed: Mapping[str, str], how: Mapping[str, Any], size: Size) -> str:
    kind = how["format"]
    if kind in ("xyxy", "yxyx", "xywh", "cxcywh"):
        return corners(b, rows, kind, (size[1], size[0]) if how["unit"] == "picture" else (1, 1))
    if how["bins"] > 1:
        apart = b.add("Softmax", reshaped(b, rows, 0, 4, how["bins"]), axis=3)
        mean = b.add("Mul", apart, b.constant(np.arange(how["bins"])))
        rows = b.add("ReduceSum", mean, b.constant([3], np.int64), keepdims=0)
    first, second = part(b, rows, 2, 0, 2), part(b, rows, 2, 2, 4)
    if kind == "ltrb":
        if how["unit"] == "cells":
            first, second = b.add("Mul", first, fixed["stride"]), b.add("Mul", second, fixed["stride"])
        return b.add("Concat", b.add("Sub", fixed["middle"], first), b.add("Add", fixed["middle"], second), axis=-1)
    if kind == "offsets":
        centre = b.add("Add", fixed["corner"], b.add("Mul", first, fixed["stride"]))
        return around(b, centre, b.add("Mul", b.add("Exp", second), fixed["stride"]))
    of_centre, of_size = how["variances"]
    move = b.add("Mul", b.add("Mul", first, b.constant([of_centre])), fixed["anchor"])
    grow = b.add("Exp", b.add("Mul", second, b.constant([of_size])))
    return around(b, b.add("Add", fixed["middle"], move), b.add("Mul", grow, fixed["anchor"]))


def _columns(reading: Reading, outputs: Arrays, role: str, axis: str, columns: Any) -> NDArray[np.float64]:
    """float64 [N, P, numbers]."""
    whole = []
    for name in _names(reading, role):
        raw = outputs[name].astype(np.float64)
        if raw.ndim == 2:
            raw = raw[:, :, None]
        elif axis == "first":
            raw = raw.reshape(*raw.shape[:2], -1).swapaxes(1, 2)
        whole.append(raw)
    found = np.concatenate(whole, axis=1)
    return found if columns is None else found[..., columns[0] : columns[1]]


def _activated(raw: NDArray[np.float64], how: str) -> NDArray[np.float64]:
    if how == "sigmoid":
        return sigmoid(raw)
    if how == "softmax":
        power = np.exp(raw - raw.max(axis=-1, keepdims=True))
        return np.asarray(power / power.sum(axis=-1, keepdims=True))
    return raw


def _xyxy(raw: NDArray[np.float64], how: Mapping[str, Any], size: Size) -> NDArray[np.float64]:
    kind = how["format"]
    if how["unit"] == "picture":
        raw = raw * np.array([size[0], size[1]] * 2 if kind == "yxyx" else [size[1], size[0]] * 2)
    if how["bins"] > 1:
        shares = _activated(raw.reshape(*raw.shape[:-1], 4, how["bins"]), "softmax")
        raw = (shares * np.arange(how["bins"])).sum(axis=-1)
    one, two, three, four = (raw[..., i] for i in range(4))
    if kind == "cxcywh":
        return centred(one, two, three, four)
    if kind == "xywh":
        return np.stack([one, two, one + np.maximum(three, 0), two + np.maximum(four, 0)], axis=-1)
    if kind == "yxyx":
        return np.stack([two, one, four, three], axis=-1)
    if kind == "xyxy":
        return raw
    left, top, stride, width, height = _cells(size, how["strides"], how["anchors"]).T
    x, y = left + how["offset"] * stride, top + how["offset"] * stride
    if kind == "ltrb":
        unit = stride if how["unit"] == "cells" else np.ones_like(stride)
        return np.stack([x - one * unit, y - two * unit, x + three * unit, y + four * unit], axis=-1)
    if kind == "offsets":
        return centred(left + one * stride, top + two * stride, np.exp(three) * stride, np.exp(four) * stride)
    a, s = how["variances"]
    return centred(x + one * a * width, y + two * a * height, width * np.exp(three * s), height * np.exp(four * s))


def _cells(size: Size, strides: Any, anchors: Any) -> NDArray[np.float64]:
    """[P, 5]: left and top of each place's cell, its stride, and its anchor's width and height, all in pixels."""
    rows = []
    for number, stride in enumerate(strides):
        for y in range(-(-size[0] // stride)):
            for x in range(-(-size[1] // stride)):
                for width, height in anchors[number] if anchors else [(stride, stride)]:
                    rows.append((x * stride, y * stride, stride, width, height))
    return np.array(rows, dtype=np.float64)


DESCRIBED = Described()
