"""The cheapest assignment of tracks to detections. In numpy, because a device has no scipy
(scipy.optimize.linear_sum_assignment does the same)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def assign(costs: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Pairs (row, column) of [N, M], each row and column once: as many pairs of finite cost as can be had at the
    smallest sum, where a pair that can be had is worth more than any detour.

    Hungarian method with potentials and shortest augmenting paths (Jonker and Volgenant 1987), O(n^2 m).
    """
    if not costs.size:
        return []
    finite = np.isfinite(costs)
    forbidden = 1.0 + 2 * min(costs.shape) * (float(costs[finite].max(initial=0.0)) + 1)
    table = np.where(finite, costs, forbidden)
    turned = table.shape[0] > table.shape[1]
    if turned:
        table = table.T
    nearest = table.argmin(axis=1)
    alone = len(set(nearest.tolist())) == len(nearest)  # every row has its own nearest column, so this is the cheapest
    pairs = list(enumerate(nearest.tolist())) if alone else _rows_assigned(table)
    if turned:
        pairs = [(j, i) for i, j in pairs]
    return sorted((i, j) for i, j in pairs if finite[i, j])


def _rows_assigned(table: NDArray[np.float64]) -> list[tuple[int, int]]:
    """A column for every row of [n, m], n <= m."""
    n, m = table.shape
    row_price, column_price = np.zeros(n), np.zeros(m)
    owner = np.full(m, -1)
    for row in range(n):
        slack, came_from = np.full(m, np.inf), np.full(m, -1)
        done = np.zeros(m, np.bool_)
        column, current = -1, row
        while True:
            reduced = table[current] - row_price[current] - column_price
            better = ~done & (reduced < slack)
            slack[better], came_from[better] = reduced[better], column
            nearest = int(np.where(done, np.inf, slack).argmin())
            step = slack[nearest]
            # prices so that the tree of rows reached stays tight
            row_price[row] += step
            row_price[owner[done]] += step
            column_price[done] -= step
            slack[~done] -= step
            done[nearest] = True
            column = nearest
            if owner[column] < 0:
                break
            current = int(owner[column])
        while column >= 0:
            before = int(came_from[column])
            owner[column] = row if before < 0 else owner[before]
            column = before
    return [(int(owner[j]), j) for j in range(m) if owner[j] >= 0]
