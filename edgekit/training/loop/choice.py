"""Which of several nets is worth it, told by pictures that none of them learnt from.

The first, which changed least, stays where the others show no more than chance would: a few dozen pictures cannot tell
95 from 97 right answers, and taking the highest of several counts takes luck for skill. So the likelihood of each
picture's label decides, which says more than right or wrong, by its mean difference on the same pictures beside that
difference's standard error (as Breiman et al. 1984, "Classification and Regression Trees", sec. 3.4.3, choose a tree:
within one error the simpler one).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.training.temperature import fit_temperature

Logits = NDArray[np.float32]
Labels = NDArray[np.int64]

# standard errors that a gain must exceed: over the first, where the best of several is luck more often, and over the
# usual one of those that do
OVER_FIRST, OVER_USUAL = 2.0, 1.0


@dataclass(frozen=True)
class Told:
    """What the held-out pictures say of one net.

    Attributes:
        name: of the way that made it.
        right: pictures whose first class is their label.
        nll: mean negative log-likelihood of the labels, nats, its temperature fitted to these pictures.
        gain: by how much `nll` is lower than the first one's.
        error: standard error of `gain` over the pictures.
    """

    name: str
    right: int
    nll: float
    gain: float
    error: float


@dataclass(frozen=True)
class Choice:
    """The nets in the order they were given, the name of the one that is worth it, and on how many pictures."""

    told: tuple[Told, ...]
    won: str
    pictures: int

    def of(self, name: str) -> Told:
        """What was told of `name`."""
        return next(one for one in self.told if one.name == name)

    def why(self) -> str:
        """The decision in one sentence, with what it rests on."""
        first, n = self.told[0], self.pictures
        best = self.of(self.won)
        if best is first:
            best = max(self.told[1:], key=lambda one: one.gain)
            ending = f"no other gains more than twice its standard error (best: {best.name}, {_figures(best, n)})"
            return f"{first.name} stays, {first.right} of {n} right: {ending}"
        return f"{best.name} wins, {_figures(best, n)}; {first.name} {first.right} of {n}"

    def to_dict(self) -> dict[str, Any]:
        """Plain data: `won`, `pictures`, and `ways`, one a net."""
        return {"won": self.won, "pictures": self.pictures, "ways": [asdict(one) for one in self.told]}


def _figures(one: Told, n: int) -> str:
    return f"{one.right} of {n} right, {one.gain:+.4f} nats a picture, standard error {one.error:.4f}"


def choose(
    labels: Labels, logits: Mapping[str, Logits], usual: str, weights: NDArray[np.float64] | None = None
) -> Choice:
    """The first, unless others gain more than twice the standard error over it, with no fewer answers right.

    Of those it is `usual`, unless another gains more than one standard error over that; where `usual` is not among them
    it is what gains most.

    Args:
        labels: int64 [N], N at least 2.
        logits: float32 [N, C] of each net by its name, the one that changed least first.
        usual: name of one that is not the first.
        weights: float64 [N], what each picture counts for; None: all the same.
    """
    share = np.ones(len(labels)) if weights is None else weights
    share = share / share.sum()
    each = {name: _nll_each(values, labels) for name, values in logits.items()}
    hits = {name: values.argmax(1) == labels for name, values in logits.items()}
    first = next(iter(logits))
    told = []
    for name in logits:
        gain, error = _gain(each[first], each[name], share)
        told.append(Told(name, int(hits[name].sum()), float((share * each[name]).sum()), gain, error))

    def better_than(than: str, errors: float) -> list[str]:
        least, won = float((share * hits[than]).sum()), []
        for name in logits:
            gain, error = _gain(each[than], each[name], share)
            if gain > errors * error and float((share * hits[name]).sum()) >= least - 1e-9:
                won.append(name)
        return won

    better = better_than(first, OVER_FIRST)
    if usual in better:
        better = [name for name in better_than(usual, OVER_USUAL) if name in better] or [usual]
    gains = {one.name: one.gain for one in told}
    return Choice(tuple(told), max(better, key=gains.__getitem__, default=first), len(labels))


def _gain(before: NDArray[np.float64], after: NDArray[np.float64], share: NDArray[np.float64]) -> tuple[float, float]:
    """By how much the mean of `after` is lower, and the standard error of that; of values [N] each."""
    gains = before - after
    mean = float((share * gains).sum())
    return mean, float(np.sqrt((share**2 * (gains - mean) ** 2).sum() * len(gains) / (len(gains) - 1)))


def _nll_each(logits: Logits, labels: Labels) -> NDArray[np.float64]:
    """float64 [N], nats, at the temperature that suits these pictures."""
    x = np.asarray(logits, np.float64) / fit_temperature(logits, labels)
    top = x.max(1)
    total = np.log(np.exp(x - top[:, None]).sum(1)) + top
    found: NDArray[np.float64] = total - x[np.arange(len(labels)), labels]
    return found
