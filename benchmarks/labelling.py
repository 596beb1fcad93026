"""What proposals are worth on real pictures with their boxes hidden: recall, precision, actions a picture.

    python benchmarks/labelling.py prepare --data bees-and-hornets --out hundred
    edgekit train centernet-mobile --data hundred --weights tf_efficientnet_lite0.pth --out runs/hundred
    python benchmarks/labelling.py model --data bees-and-hornets --model runs/hundred/last.pt
    python benchmarks/labelling.py folders --data bees-and-hornets --thing Hornets
    python benchmarks/labelling.py accepted --data bees-and-hornets --model runs/hundred/last.pt --out accepted

100 pictures of the training split, drawn by a seed, are the ones that somebody labelled; the boxes of the others are
hidden, and known to this script alone. `model` offers a detector's proposals on some of those at several thresholds,
and replays somebody who only corrects, with the keys and drags that the page has (`Hand`).
`folders` knows of each picture only whether it shows the thing. `accepted` writes two YOLO sets to train on: of what
would have been accepted, and of the true boxes. Pictures of one clip are on both sides, as where somebody labels a part
of their own.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.data.load import load_dataset
from edgekit.data.sample import Dataset, Sample
from edgekit.labels.proposals.base import Proposal
from edgekit.labels.proposals.detector import DetectorProposer
from edgekit.labels.proposals.folders.proposer import learn
from edgekit.labels.proposals.folders.sides import Sides
from edgekit.labels.proposals.quality import proposal_quality
from edgekit.loading import open_predictor
from edgekit.metrics.bootstrap import interval, picked
from edgekit.metrics.ground_truth import GroundTruth
from edgekit.metrics.matching import NOBODY, take_turns
from edgekit.vision.boxes import iou_matrix

LABELLED, HELD = 100, 15
GONE = 0.5  # IoU with a box from which on the page shows a proposal no more (page.js, offer)
THRESHOLDS = (0.08, 0.1, 0.12, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5)


def drawn(data: Path) -> Dataset:
    """The training split in an order by a seed: the first `LABELLED` are labelled, the others hidden."""
    whole = load_dataset(data, split="train")
    by_name = sorted(whole.samples, key=lambda one: Path(one.name).stem)
    order = np.random.default_rng(0).permutation(len(by_name))
    return replace(whole, samples=tuple(by_name[i] for i in order))


class Hand:
    """Somebody at the page who only corrects, with as few keys and drags as it allows.

    What was missed and what lies loosely (an IoU below `fine`) is drawn: a drag, and a key where the class is not the
    one drawn last; a proposal under a drawn box goes away. The others are accepted or rejected by a key each, best
    score first, up to the last wrong one (Shift+Enter takes the rest) or the last right one (Enter drops the rest). A
    wrong class is a click on its box and a key. One key goes on.
    """

    def __init__(self, classes: Sequence[str], fine: float) -> None:
        self._classes, self._fine, self._active = classes, fine, 0

    def corrects(self, proposed: Sequence[Proposal], truth: GroundTruth) -> Counter[str]:
        ranked = sorted(proposed, key=lambda one: -one.score)
        overlap = iou_matrix(np.array([one.box for one in ranked], np.float64).reshape(-1, 4), truth.boxes)
        (taken,) = take_turns(overlap, [self._fine])
        drawn = np.setdiff1d(np.arange(len(truth.boxes)), taken)
        left = np.flatnonzero(~(overlap[:, drawn] > GONE).any(axis=1))
        right = np.flatnonzero(taken[left] != NOBODY)
        wrong = np.flatnonzero(taken[left] == NOBODY)
        done: Counter[str] = Counter(go_on=1, draw=len(drawn))
        done["answer"] = min((int(rows[-1]) + 1 if len(rows) else 0) for rows in (right, wrong))
        for label in sorted({int(truth.labels[i]) for i in drawn}, key=lambda label: label != self._active):
            done["class"] += int(label != self._active)
            self._active = label
        for at in left[right]:
            label = int(truth.labels[taken[at]])
            if ranked[at].label != self._classes[label]:
                done.update(select=1, **{"class": 1})
                self._active = label
        return +done


def replay(
    proposed: Sequence[Sequence[Proposal]], truths: Sequence[GroundTruth], classes: Sequence[str], fine: float
) -> list[Counter[str]]:
    """The actions at one picture after the other."""
    hand = Hand(classes, fine)
    return [hand.corrects(row, truth) for row, truth in zip(proposed, truths, strict=True)]


def shown(actions: Sequence[Counter[str]], without: Sequence[Counter[str]]) -> dict[str, Any]:
    """Sums, and means a picture with 95 % intervals (the bootstrap over pictures), also of what was saved."""
    mine, theirs = (np.array([sum(one.values()) for one in row], np.float64) for row in (actions, without))
    drags = np.array([one["draw"] for one in actions], np.float64)
    figures = {"a_picture": mine, "drags_a_picture": drags, "saved_a_picture": theirs - mine}
    means = {
        name: interval(float(v.mean()), lambda rng, v=v: float(v[picked(rng, len(v))].mean()), 2000).to_dict()
        for name, v in figures.items()
    }
    return {**sum(actions, Counter()), **means, "median": float(np.median(mine))}


def model(asked: argparse.Namespace) -> dict[str, Any]:
    data = drawn(asked.data) if asked.split == "train" else load_dataset(asked.data, split=asked.split)
    classes = tuple(asked.names.split(",")) if asked.names else data.classes or ()
    hidden = data.samples[LABELLED:] if asked.split == "train" else data.samples
    samples = hidden[: asked.pictures]
    truths = [sample.ground_truth() for sample in samples]
    with open_predictor(asked.model, threads=1) as predictor:
        propose = DetectorProposer(predictor, min(THRESHOLDS))
        found = [propose(sample.read()) for sample in samples]
        own = dict(zip(predictor.spec.classes, predictor.spec.thresholds or (), strict=False))
    without = replay([[] for _ in truths], truths, classes, asked.fine)
    report: dict[str, Any] = {
        "pictures": len(samples), "objects": int(sum(len(t.boxes) for t in truths)),
        "names": [Path(sample.name).name for sample in samples],
        "without": shown(without, without),
    }  # fmt: skip
    for threshold in (*THRESHOLDS, *(("own",) if own else ())):
        least = own if threshold == "own" else dict.fromkeys(predictor.spec.classes, threshold)
        some = [[one for one in row if one.score >= least[one.label]] for row in found]
        quality = proposal_quality(some, truths, classes)
        print(f"threshold {threshold}: {quality}", flush=True)
        actions = replay(some, truths, classes, asked.fine)
        report[f"at {threshold}"] = {**quality.to_dict(), "actions": shown(actions, without)}
    return report


def folders(asked: argparse.Namespace) -> dict[str, Any]:
    data = drawn(asked.data)
    thing = (data.classes or ()).index(asked.thing)

    def shows(sample: Sample) -> bool:
        return bool((sample.ground_truth().labels == thing).any())

    learnt = [s for side in (True, False) for s in [s for s in data if shows(s) is side][: asked.learn]]
    names = {s.name for s in learnt}
    hidden = [s for s in data if shows(s) and s.name not in names][: asked.pictures]
    sides = Sides(asked.thing, tuple(shows(s) for s in learnt))
    propose = learn(replace(data, samples=tuple(learnt)), sides, enough=asked.learn)
    truths, found = [], []
    for sample in hidden:
        truth = sample.ground_truth()
        of = truth.labels == thing
        truths.append(GroundTruth(truth.boxes[of], np.zeros(int(of.sum()), np.int64)))
        found.append(propose(sample.read()))
    report: dict[str, Any] = {"learnt_from": len(learnt), "absent_pictures_answered": len(learnt) // 2}
    for name, iou in (("iou_0.5", 0.5), ("iou_0.25", 0.25)):
        quality = proposal_quality(found, truths, (asked.thing,), iou)
        print(quality, flush=True)
        report[name] = quality.to_dict()
    best = proposal_quality([row[:1] for row in found], truths, (asked.thing,))
    print(f"the best one of each picture: {best}", flush=True)
    actions = replay(found, truths, (asked.thing,), asked.fine)
    without = replay([[] for _ in truths], truths, (asked.thing,), asked.fine)
    return {**report, "best": best.to_dict(), "actions": shown(actions, without), "without": shown(without, without)}


def write(samples: Sequence[tuple[Sample, np.ndarray, np.ndarray]], folder: Path) -> None:
    """Pictures and YOLO rows: a picture, float [M, 4] and int [M] each."""
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for sample, boxes, labels in samples:
        assert sample.path is not None
        height, width = sample.read().shape[:2]
        scaled = np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], axis=1)
        scaled = scaled / (width, height, width, height)
        rows = [f"{label} " + " ".join(f"{v:.8f}" for v in row) for label, row in zip(labels, scaled, strict=True)]
        (folder / "images" / sample.path.name).write_bytes(sample.path.read_bytes())
        (folder / "labels" / f"{sample.path.stem}.txt").write_text("".join(f"{row}\n" for row in rows))


def prepare(asked: argparse.Namespace) -> dict[str, Any]:
    data = drawn(asked.data)
    known = [(s, s.ground_truth().boxes, s.ground_truth().labels) for s in data.samples[:LABELLED]]
    write(known[:-HELD], asked.out / "train")
    write(known[-HELD:], asked.out / "valid")
    describe(asked.out, data)
    return {"train": LABELLED - HELD, "valid": HELD}


def accepted(asked: argparse.Namespace) -> dict[str, Any]:
    """Two sets to train on: the hidden pictures with the proposals that are right, or with their true boxes.

    The labelled pictures have their boxes in both, and the same of them are held back.
    """
    data = drawn(asked.data)
    classes = list(data.classes or ())
    true = [(s, s.ground_truth().boxes, s.ground_truth().labels) for s in data.samples]
    rows, offers = true[:LABELLED], 0
    with open_predictor(asked.model, threads=1) as predictor:
        propose = DetectorProposer(predictor, asked.threshold)
        for sample in data.samples[LABELLED:]:
            truth, offered = sample.ground_truth(), propose(sample.read())
            offers += len(offered)
            boxes = np.array([one.box for one in offered], np.float64).reshape(-1, 4)
            labels = np.array([classes.index(one.label or "") for one in offered], np.int64)
            fits = np.where(labels[:, None] == truth.labels, iou_matrix(boxes, truth.boxes), -np.inf)
            (taken,) = take_turns(fits, [0.5])
            rows.append((sample, boxes[taken != NOBODY], labels[taken != NOBODY]))
    report: dict[str, Any] = {"pictures": len(rows), "offered": offers}
    for name, of in (("accepted", rows), ("true", true)):
        write(of[LABELLED - HELD : LABELLED], asked.out / name / "valid")
        write(of[: LABELLED - HELD] + of[LABELLED:], asked.out / name / "train")
        describe(asked.out / name, data)
        report[f"boxes_{name}"] = int(sum(len(boxes) for _, boxes, _ in of))
    return report


def describe(out: Path, data: Dataset) -> None:
    names = json.dumps(list(data.classes or ()))
    (out / "data.yaml").write_text(f"path: .\ntrain: train/images\nval: valid/images\nnames: {names}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("prepare", "model", "folders", "accepted"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--split", default="train", help="of another one all pictures are hidden")
    parser.add_argument("--names", help="what the model calls the data's classes, in their order: bee,hornet")
    parser.add_argument("--thing", default="Hornets")
    parser.add_argument("--pictures", type=int, default=100, help="hidden ones to measure on")
    parser.add_argument("--learn", type=int, default=100, help="pictures of each side, for folders")
    parser.add_argument("--fine", type=float, default=0.7, help="IoU from which on a proposal is left as it is")
    parser.add_argument("--threshold", type=float, default=0.2, help="of accepted proposals")
    asked = parser.parse_args()
    does = {"prepare": prepare, "model": model, "folders": folders, "accepted": accepted}[asked.what]
    print(json.dumps(does(asked), indent=1))


if __name__ == "__main__":
    main()
