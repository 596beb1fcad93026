"""Two models' logits, picture by picture: are they equal within the limits, and is the first class the same?"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.tasks.protocols import GateLimits
from edgekit.tasks.stage import Stage

# Logits nearer than this are a tie, whatever a precision's limit allows: with int8's, every flip would be one.
TIE = 1e-3


@np.errstate(invalid="ignore")  # infinity minus infinity: the NaN is what fails
def compare_logits(name: str, reference: NDArray[Any], candidate: NDArray[Any], limits: GateLimits) -> Stage:
    """Compares two float32 [N, C] arrays of logits, row by row, against `limits`."""
    if reference.shape != candidate.shape:
        problem = f"logits {list(candidate.shape)} instead of {list(reference.shape)}"
        return Stage(name, False, float("inf"), float("inf"), 0.0, 0, len(reference), (problem,))
    difference = np.abs(candidate.astype(np.float64) - reference)
    finite = bool(np.isfinite(difference).all())
    max_abs = float(difference.max(initial=0.0)) if finite else float("nan")
    peak = float(np.abs(reference).max(initial=0.0))
    rows = np.arange(len(reference))
    first, other = reference.argmax(1), np.nan_to_num(candidate, nan=-np.inf).argmax(1)
    same = first == other
    margin = reference[rows, first] - reference[rows, other]
    tie = ~same & (margin <= min(limits.max_abs, TIE))
    agreement = float((same | tie).mean()) if len(rows) else 0.0
    problems = []
    if not finite:
        problems.append("logits that are NaN or infinite")
    elif max_abs > limits.max_abs:
        problems.append(f"max|d logits| {max_abs:.3g} > {limits.max_abs:g}")
    if agreement < limits.top1_agreement:
        problems.append(f"top-1 agreement {agreement:.2%} < {limits.top1_agreement:.2%}")
    if not len(rows):
        problems.append("no pictures")
    return Stage(
        name,
        not problems,
        max_abs,
        max_abs / peak if peak else max_abs,
        agreement,
        int(tie.sum()),
        len(rows),
        tuple(problems),
    )
