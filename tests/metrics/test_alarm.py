"""The alarm by picture: AUROC against counting pairs, thresholds against trying every one, intervals by hand."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgekit.errors import DataError
from edgekit.metrics.alarm import alarm_reports, auroc, picture_scores, point_at, roc, threshold_for
from edgekit.metrics.classification import clopper_pearson
from edgekit.metrics.ground_truth import GroundTruth, Predictions

BOX = [[0, 0, 10, 10]]
YES, NO, UNCLEAR = GroundTruth(BOX, [0]), GroundTruth([], []), GroundTruth([], [], None, BOX, [0])


def scored(score: float | None) -> Predictions:
    return Predictions([], [], []) if score is None else Predictions(BOX, [score], [0])


def report(present: list[float | None], absent: list[float | None], **more: object):  # type: ignore[no-untyped-def]
    truths = [YES] * len(present) + [NO] * len(absent)
    (only,) = alarm_reports(truths, [scored(s) for s in [*present, *absent]], ["hornet"], **more)  # type: ignore[arg-type]
    return only


SCORES = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 0.5, 0.50001, 0.9]) | st.floats(0, 1), st.booleans()), min_size=2
)


@given(SCORES)
def test_auroc_counts_pairs(pairs: list[tuple[float, bool]]) -> None:
    yes, no = [s for s, p in pairs if p], [s for s, p in pairs if not p]
    found = auroc([s for s, _ in pairs], [p for _, p in pairs])
    if not yes or not no:
        assert found is None
        return
    right = sum((a > b) + 0.5 * (a == b) for a in yes for b in no)
    assert found == pytest.approx(right / (len(yes) * len(no)))
    thresholds, false, recall = roc([s for s, _ in pairs], [p for _, p in pairs])
    assert (np.diff(thresholds) < 0).all() or len(thresholds) < 3
    assert (false[0], recall[0], false[-1], recall[-1]) == (0, 0, 1, 1)
    area = float((np.diff(false) * (recall[1:] + recall[:-1]) / 2).sum())
    assert area == pytest.approx(found)


@settings(deadline=None)
@example([(1.0, False), (5e-324, True)], 0.0)  # half of the least score is 0
@given(SCORES, st.sampled_from([0.0, 0.1, 0.34, 0.5]))
def test_thresholds_are_the_best_there_are(pairs: list[tuple[float, bool]], limit: float) -> None:
    yes, no = [s for s, p in pairs if p], [s for s, p in pairs if not p]
    if not yes or not no:
        return
    found = report(list(yes), list(no), limits=(limit,))
    # every alarm that a threshold above 0 can make
    tried = [point_at(yes + no, [True] * len(yes) + [False] * len(no), t) for t in [2.0, *yes, *no] if t > 0]
    assert found.best.threshold > 0
    assert found.best.f1 == max(p.f1 for p in tried if p.f1 is not None)
    (at,) = found.at_limits
    assert at[0] == limit
    assert at[1].false_positives.value <= limit
    assert at[1].recall.value == max(p.recall.value for p in tried if (p.false_positives.value or 0) <= limit)
    # what is reported is what the threshold does
    for point in (found.best, at[1]):
        assert point == point_at(yes + no, [True] * len(yes) + [False] * len(no), point.threshold)


def test_by_hand() -> None:
    found = report([0.9, 0.8, 0.4, None], [0.6, 0.1, None, None, None])
    assert (found.label, found.present, found.absent, found.unclear) == ("hornet", 4, 5, 0)
    # pairs: .9 and .8 beat 5, .4 beats 4, nothing found ties with 3
    assert found.auroc == pytest.approx((5 + 5 + 4 + 1.5) / 20)
    # at .4: 3 of 4 with one false alarm, f1 6/8; between .4 and .1 lies .25
    assert found.threshold == pytest.approx(0.25)
    assert found.best.f1 == pytest.approx(6 / 8)
    assert (found.best.recall.hits, found.best.recall.n, found.best.false_positives.hits) == (3, 4, 1)
    assert (found.best.recall.low, found.best.recall.high) == clopper_pearson(3, 4)
    assert (found.best.precision.hits, found.best.precision.n) == (3, 4)
    # no false alarm allowed in 5 pictures: above .6
    for limit, point in found.at_limits:
        assert limit in (1e-2, 1e-3)
        assert point.threshold == pytest.approx(0.7)
        assert (point.recall.value, point.false_positives.hits) == (0.5, 0)
        assert point.false_positives.high > limit  # five pictures cannot prove it, and the report shows that


def test_one_false_alarm_in_a_hundred_is_one_in_a_hundred() -> None:
    present, absent = [0.9] * 10 + [0.5] * 10, [0.6, *[0.3] * 99]
    (_, loose), (_, strict) = report(list(present), list(absent)).at_limits
    assert (loose.false_positives.hits, loose.recall.hits) == (1, 20)
    assert (strict.false_positives.hits, strict.recall.hits) == (0, 10)


def test_a_blind_detector_gets_no_threshold_that_always_rings() -> None:
    found = report([None, None], [None])
    assert found.auroc == 0.5
    assert found.threshold > 0
    assert found.best.recall.hits == 0


def test_pictures_of_one_kind() -> None:
    for found in (report([0.5], []), report([], [0.5])):
        assert (found.auroc, found.best, found.threshold, found.at_limits) == (None, None, None, ())
    with pytest.raises(DataError, match="one kind"):
        roc([0.5], [True])


def test_unclear_pictures_are_left_out_and_counted() -> None:
    truths, founds = [YES, NO, UNCLEAR], [scored(0.9), scored(0.1), scored(0.95)]
    (found,) = alarm_reports(truths, founds, ["hornet"])
    assert (found.present, found.absent, found.unclear) == (1, 1, 1)
    assert found.auroc == 1
    both = GroundTruth(BOX, [0], None, BOX, [0])
    assert alarm_reports([both, NO], founds[:2], ["hornet"])[0].unclear == 0


def test_the_score_of_a_picture_is_its_best_of_the_class() -> None:
    founds = [Predictions(BOX * 3, [0.2, 0.7, 0.9], [0, 0, 1]), Predictions([], [], [])]
    assert picture_scores(founds, 0).tolist() == [0.7, 0]
    assert picture_scores(founds, 1).tolist() == [0.9, 0]


def test_scores_that_are_not_there() -> None:
    for scores, present in (([], []), ([0.5], [True, False]), ([np.nan], [True])):
        with pytest.raises(DataError):
            point_at(scores, present, 0.5)


def test_the_models_own_threshold_is_told() -> None:
    found = report([0.9, 0.4], [0.6, None, None], own=(0.5,))
    assert found.own == point_at([0.9, 0.4, 0.6, 0, 0], [True, True, False, False, False], 0.5)
    assert (found.own.recall.hits, found.own.false_positives.hits) == (1, 1)
    alone = report([0.9], [], own=(0.5,))
    assert alone.best is None
    assert (alone.own.recall.hits, alone.own.false_positives.value) == (1, None)
    assert report([0.9], [0.1]).own is None


def test_the_threshold_of_a_limit_is_a_score() -> None:
    assert report([0.9, 0.8], [0.6, 0.5], limits=(0.5,)).strictest == pytest.approx(0.55)
    # every alarm would be a false one: none is raised below a full score
    assert report([0.2], [1.0], limits=(0.01,)).strictest == 1.0
    assert report([0.2], [], limits=(0.01,)).strictest is None


@given(SCORES, st.sampled_from([0.01, 0.3, 0.5, 1.0]))
def test_the_threshold_of_a_recall_is_the_highest_that_has_it(pairs: list[tuple[float, bool]], recall: float) -> None:
    scores, present = np.array([s for s, _ in pairs]), np.array([p for _, p in pairs])
    found = threshold_for(scores, present, recall)
    yes = scores[present]
    if found is None:
        assert not len(yes) or (yes > 0).mean() < recall
        return
    assert (yes >= found).mean() >= recall
    higher = scores[scores > found].min()  # the score it stands below; above that one the recall is not there
    assert (yes > higher).mean() < recall
