"""The actions of somebody who only corrects proposals are counted one by one."""

import runpy
from collections import Counter
from pathlib import Path

from edgekit.labels.proposals.base import Proposal
from edgekit.metrics.ground_truth import GroundTruth

replay = runpy.run_path(str(Path(__file__).parents[3] / "benchmarks" / "labelling.py"))["replay"]
TRUTH = GroundTruth([[0, 0, 10, 10], [20, 20, 40, 40], [50, 0, 60, 10]], [0, 1, 0])
RIGHT, HORNET = Proposal((0, 0, 10, 10), "bee", 0.9), Proposal((20, 20, 40, 38), "hornet", 0.8)
LAST, NOWHERE = Proposal((50, 0, 60, 9), "bee", 0.6), Proposal((80, 80, 90, 90), "bee", 0.7)


def actions(*rows: tuple[Proposal, ...]) -> list[Counter[str]]:
    return replay(rows, [TRUTH] * len(rows), ("bee", "hornet"), 0.7)


def test_without_proposals_each_object_is_drawn_and_a_class_is_a_key_where_it_changes() -> None:
    assert actions((), ()) == [Counter(go_on=1, draw=3, **{"class": 1})] * 2
    assert replay([()], [GroundTruth([[0, 0, 9, 9]], [0])], ("bee", "hornet"), 0.7) == [Counter(go_on=1, draw=1)]


def test_right_ones_are_taken_with_the_key_that_goes_on() -> None:
    assert actions((RIGHT, HORNET, LAST)) == [Counter(go_on=1)]


def test_wrong_ones_cost_a_key_for_each_up_to_the_last_or_for_the_right_ones_before() -> None:
    assert actions((RIGHT, HORNET, NOWHERE, LAST)) == [Counter(go_on=1, answer=3)]
    assert actions((RIGHT, NOWHERE)) == [Counter(go_on=1, answer=1, draw=2, **{"class": 1})]
    assert actions((NOWHERE,)) == [Counter(go_on=1, draw=3, **{"class": 1})]


def test_loose_ones_are_drawn_and_go_away() -> None:
    loose = Proposal((20, 20, 40, 33), "hornet", 0.95)
    assert actions((loose, RIGHT, LAST)) == [Counter(go_on=1, draw=1, **{"class": 1})]


def test_a_wrong_class_is_a_click_and_a_key() -> None:
    wrong = Proposal((50, 0, 60, 9), "hornet", 0.6)
    assert actions((RIGHT, HORNET, wrong)) == [Counter(go_on=1, select=1, **{"class": 1})]
