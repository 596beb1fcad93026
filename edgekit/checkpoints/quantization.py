"""What a net trained with the rounding of its int8 graph rounds to, as its checkpoint keeps it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Quantization:
    """What an int8 graph rounds to, as a net was trained with it.

    Attributes:
        scheme: a name of `edgekit.config.schemes`.
        parameters: tensor -> its scale and zero point.
        before: the metric that counts, by name, and what the float32 net reached in it on the same validation pictures;
            None where nothing could be measured.
    """

    scheme: str
    parameters: Mapping[str, tuple[float, int]]
    before: tuple[str, float] | None = None

    def to_dict(self) -> dict[str, Any]:
        parameters = {k: list(v) for k, v in self.parameters.items()}
        return {"scheme": self.scheme, "parameters": parameters, "before": self.before and list(self.before)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Quantization:
        """Raises KeyError, TypeError or ValueError for something else."""
        pairs = {str(k): (float(scale), int(zero)) for k, (scale, zero) in content["parameters"].items()}
        if not all(math.isfinite(scale) and scale > 0 for scale, _ in pairs.values()):
            raise ValueError("a scale that is not above 0")
        name, value = content.get("before") or ("", 0)
        return cls(str(content["scheme"]), pairs, (str(name), float(value)) if name else None)
