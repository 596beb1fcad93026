from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.metrics.percentiles import enough, percentile, percentile_if_enough


@pytest.mark.parametrize(("percent", "least"), [(90, 10), (95, 20), (99, 100), (99.9, 1000), (10, 10), (1, 100)])
def test_a_percentile_is_told_of_so_many_that_it_is_not_the_largest(percent: float, least: int) -> None:
    assert enough(percent) == least
    assert percentile_if_enough(range(least), percent) == percentile(range(least), percent)
    assert percentile_if_enough(range(least - 1), percent) is None
    if percent > 50:
        assert percentile(range(least), percent) < least - 1
        assert percentile(range(least - 1), percent) == least - 2  # which is why


def test_the_median_is_told_of_one() -> None:
    assert percentile_if_enough([3], 50) == 3
    assert percentile_if_enough([], 50) is None


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=300), st.sampled_from([1, 25, 50, 75, 90, 95, 99, 99.9]))
def test_it_is_one_of_the_values_and_so_many_do_not_exceed_it(values: list[float], percent: float) -> None:
    found = percentile(values, percent)
    assert found in values
    assert sum(v <= found for v in values) >= percent / 100 * len(values) - 1e-6
    assert sum(v < found for v in values) < percent / 100 * len(values) + 1e-6
