"""The actions of somebody who only corrects proposals are counted one by one."""

import runpy
from collections import Counter
from pathlib import Path

from edgekit.labels.proposals.base import Proposal
from edgekit.metrics.ground_truth import GroundTruth

replay = runpy.run_path(str(Path(__file__).parents[3] / "benchmarks" / "labelling.py"))["replay"]
TRUTH = GroundTruth([[0, 0, 10, 10], [20, 20, 40, 40], [50, 0, 60, 10]], [0, 1, 0])


def actions(*proposals: Proposal) -> Counter[str]:
    return Counter(replay(proposals, TRUTH, ("bee", "hornet"), 0.7))


def test_without_proposals_each_object_is_drawn_and_classed() -> None:
    assert actions() == Counter(go_on=1, draw=3, **{"class": 3})


def test_right_loose_wrong_and_missed_ones_cost_what_they_cost() -> None:
    right, loose = Proposal((0, 0, 10, 10), "bee", 0.9), Proposal((20, 20, 40, 32), "hornet", 0.8)
    wrong_class, nowhere = Proposal((50, 0, 60, 9), "hornet", 0.7), Proposal((80, 80, 90, 90), "bee", 0.6)
    assert actions(right) == Counter(go_on=1, accept=1, draw=2, **{"class": 2})
    assert actions(right, loose, wrong_class, nowhere) == Counter(go_on=1, accept=3, move=1, reject=1, **{"class": 1})
