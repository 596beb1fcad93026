"""How dangerous so many hornets at once are for one hive, in beekeepers' words: page and deliveries ask here."""

from __future__ import annotations

from collections.abc import Mapping

# At least so many at once, and the level's name, the worst first. 12.6 is where foraging stopped in the studies that
# vespCV and VespaVelutina-Impact cite.
LEVELS: tuple[tuple[float, str], ...] = ((12.6, "paralysis"), (10, "high"), (5, "risk"), (1, "present"), (0, "none"))
NAMES = tuple(name for _, name in reversed(LEVELS))  # from none to paralysis

_HORNETS = ("hornet", "vespa", "velutina", "crabro", "frelon", "hornisse", "avisp", "calabron")


def pressure(most: float) -> str:
    """The level of so many hornets at once: none, present (1), risk (5), high (10), paralysis (12.6)."""
    return next(name for least, name in LEVELS if most >= least)


def level_of(label: str, most: float) -> str | None:
    """`pressure` of a label that names hornets; None for others: a hundred bees are no danger."""
    return pressure(most) if is_hornet(label) else None


def level_of_all(counts: Mapping[str, float]) -> str:
    """The level of all that is seen at once, by label: hornets of two kinds add up, and no hornet is `none`."""
    return pressure(sum(count for label, count in counts.items() if is_hornet(label)))


def is_hornet(label: str) -> bool:
    """Whether a class name means hornets, in the languages that data sets have."""
    return any(name in label.lower() for name in _HORNETS)


def at_least(level: str, least: str) -> bool:
    """Whether a level is `least` or worse. Raises ValueError for a word that is no level."""
    return NAMES.index(level) >= NAMES.index(least)
