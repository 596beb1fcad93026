"""Two processors' answers to the same pictures: what is equal, what differs, by how much, and where first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edgekit.config.target import Limits
from edgekit.vision.boxes import iou_matrix

Arrays = Mapping[str, NDArray[Any]]
Boxes = NDArray[np.float64]  # [N, 6]: label, score, x1, y1, x2, y2


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        what: was compared.
        n, equal: how many, and how many to the last digit.
        differs: how the others do; empty where none does.
        problem: why this is too much; empty where it is within the limits, or there is none.
    """

    what: str
    n: int
    equal: int
    differs: str = ""
    problem: str = ""

    def line(self) -> str:
        told = f"{self.equal} of {self.n} equal" + (f"; {self.differs}" if self.differs else "")
        return f"{self.what:<44} {told}" + (f"   TOO MUCH: {self.problem}" if self.problem else "")


def labels(what: str, ours: Sequence[Mapping[str, Any]], theirs: Sequence[Mapping[str, Any]], limits: Limits) -> Row:
    """A classifier's lines of `edgekit predict --format json`, one a picture."""
    equal, same, worst = 0, 0, 0.0
    for a, b in zip(ours, theirs, strict=True):
        equal += a["top"] == b["top"]
        same += a["top"][0]["label"] == b["top"][0]["label"]
        other = {one["label"]: one["score"] for one in b["top"]}
        worst = max([worst, *(abs(one["score"] - other[one["label"]]) for one in a["top"] if one["label"] in other)])
    share = same / len(ours)
    problem = "" if share >= limits.top1_agreement else f"at least {limits.top1_agreement:.1%} of first classes"
    return Row(what, len(ours), equal, f"first class of {same}, a score by {worst:.2g} at most", problem)


def detections(
    what: str, ours: Sequence[Boxes], theirs: Sequence[Boxes], least: Sequence[float], limits: Limits
) -> Row:
    """Boxes of each picture: those that one of them shows need a partner of the same class in the other.

    Args:
        least: of each class, the score from which a box is shown.
        limits: `boxes_matched` at `box_iou`, and `score_shift`, hold.
    """
    equal = shown = matched = 0
    score = corner = 0.0
    for a, b in zip(ours, theirs, strict=True):
        equal += a.shape == b.shape and bool((a == b).all())
        for one, other in ((a, b), (b, a)):
            one = one[[row[1] >= least[int(row[0])] for row in one]]
            shown += len(one)
            if not len(one) or not len(other):
                continue
            overlaps = iou_matrix(one[:, 2:].astype(np.float32), other[:, 2:].astype(np.float32))
            overlaps[one[:, :1] != other[None, :, 0]] = 0
            best = overlaps.argmax(1)
            good = overlaps.max(1) >= limits.box_iou
            matched += int(good.sum())
            partners = other[best[good]]
            score = max(score, np.abs(one[good, 1] - partners[:, 1]).max(initial=0))
            corner = max(corner, np.abs(one[good, 2:] - partners[:, 2:]).max(initial=0))
    problem = f"a score by at most {limits.score_shift}" if score > limits.score_shift else ""
    if matched < limits.boxes_matched * shown:
        problem = f"at least {limits.boxes_matched:.1%} of the boxes shown, at an IoU of {limits.box_iou}"
    differs = (
        f"{matched} of {shown} boxes shown have a partner, a score by {score:.2g}, a corner by {corner:.2g} px at most"
    )
    return Row(what, len(ours), equal, differs, problem)


def boxes_of(lines: Iterable[Mapping[str, Any]]) -> list[Boxes]:
    """Of a detector's lines of `edgekit predict --format json`."""
    return [
        np.array([[o["index"], o["score"], *o["box"]] for o in line["objects"]], np.float64).reshape(-1, 6)
        for line in lines
    ]


def figures(what: str, ours: Any, theirs: Any) -> Row:
    """Two JSON values: every number and text in them."""
    a, b = dict(leaves(ours)), dict(leaves(theirs))
    off = [name for name in a if a[name] != b.get(name)]
    numbers = [abs(a[n] - b[n]) for n in off if isinstance(a[n], (int, float)) and isinstance(b.get(n), (int, float))]
    differs = f"a figure by {max(numbers):.2g} at most" if numbers else ""
    odd = len(off) - len(numbers)
    return Row(
        what, len(a), len(a) - len(off), differs, f"{odd} that are no numbers: {', '.join(off[:5])}" if odd else ""
    )


def events(what: str, ours: list[str], theirs: list[str]) -> Row:
    """A camera's events in their order, as `probe.py` writes them.

    The same visits begin, go on and end; how many insects a frame shows may differ by one, where a score lies at the
    threshold.
    """
    (a, counts_a), (b, counts_b) = (tuple(zip(*map(_event, told), strict=True)) for told in (ours, theirs))
    same = sum(x == y for x, y in zip(ours, theirs, strict=False))
    if a != b:
        return Row(what, len(a), same, "", f"other visits: {len(set(a) ^ set(b))} events of one alone")
    worst = int(np.abs(np.array(counts_a) - counts_b).max())
    differs = f"the same visits and times, a count by {worst} at most" if worst else ""
    return Row(what, len(a), same, differs, f"a count by {worst}" if worst > 1 else "")


def _event(told: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Kind, label and times, and the two counts behind them."""
    *words, count, most = told.split()
    return tuple(words), (int(count), int(most))


def leaves(value: Any, name: str = "") -> Iterable[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from leaves(inner, f"{name}.{key}")
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from leaves(inner, f"{name}.{i}")
    else:
        yield name, value


def steps(ours: Arrays, theirs: Arrays) -> list[Row]:
    """Pictures on their way to a model and from it: `probe.py`'s arrays, by what made them."""
    found: dict[str, list[tuple[NDArray[Any], NDArray[Any]]]] = defaultdict(list)
    for name, value in ours.items():
        kind = name.partition("|")[0]
        if kind not in ("tensor", "operators", "machine", "events", "camera"):
            found[kind].append((value, theirs[name]))
    rows = []
    for kind, both in found.items():
        off = [(a, b) for a, b in both if not np.array_equal(a, b)]
        if any(a.shape != b.shape for a, b in off):
            rows.append(Row(kind, len(both), len(both) - len(off), "other sizes"))
            continue
        gaps = [np.abs(a.astype(int) - b) for a, b in off]
        share = sum((gap > 0).sum() for gap in gaps) / max(1, sum(gap.size for gap in gaps))
        differs = (
            f"of the others {share:.2%} of the values, by {max(gap.max() for gap in gaps)} at most" if gaps else ""
        )
        rows.append(Row(kind, len(both), len(both) - len(off), differs))
    return rows


@dataclass
class Nodes:
    """All nodes of one kind in a model: how many ran, on how many pictures each, and what differed."""

    runs: int = 0
    off: int = 0
    values: int = 0
    worst: float = 0.0
    largest: float = 0.0
    where: list[str] = field(default_factory=list)


def nodes(graph: Path, model: str, ours: Arrays, theirs: Arrays) -> list[Row]:
    """The kinds of nodes that give other values on the same tensors; one row for all that do not.

    Args:
        graph: the other processor's, by whose names the tensors go.
        ours, theirs: `ours` are each node's outputs alone, `theirs` what it was given.
    """
    kinds: dict[str, Nodes] = defaultdict(Nodes)
    made = {name: node.op_type for node in onnx.load(graph).graph.node for name in node.output}
    for key, value in ours.items():
        kind, _, rest = key.partition("|")
        if kind != "tensor" or not rest.startswith(f"{model}|"):
            continue
        name = rest.split("|", 2)[2]
        found, other = kinds[made[name]], theirs[key]
        found.runs += 1
        if not np.array_equal(value, other):
            gap = np.abs(value.astype(np.float64) - other)
            found.off += 1
            found.values += int((gap > 0).sum())
            found.worst = max(found.worst, float(gap.max()))
            found.largest = max(found.largest, float(np.abs(other.astype(np.float64)).max()))
            found.where.append(name)
    same = sorted(kind for kind, found in kinds.items() if not found.off)
    rows = [Row(f"{model}: {len(same)} kinds of nodes", n := sum(kinds[k].runs for k in same), n, ", ".join(same))]
    for kind, found in sorted(kinds.items()):
        if found.off:
            by = f"{found.worst:.2g} at most, of up to {found.largest:.3g}"
            differs = f"{found.values} values by {by}; first {found.where[0]}"
            rows.append(Row(f"{model}: {kind}", found.runs, found.runs - found.off, differs))
    return rows
