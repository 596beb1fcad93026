"""What the verdict of an adopted file says: equal to this ONNX, with preprocessing and decoding as stated, by whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgekit.gate.compare import Gate
from edgekit.pipeline.verdict import Basis


@dataclass(frozen=True)
class AdoptedBasis(Basis):
    """As `Basis`, of a graph that nobody trained here.

    Attributes:
        stated: `preprocessing`, `decoding`, `class names` -> what they are and who says so.
        assumed: what nobody said, a sentence each with the way to state it.
        half: whether the original computes in float16: a file that computes in float32 is within limits of it then.
    """

    stated: tuple[tuple[str, str], ...] = ()
    assumed: tuple[str, ...] = ()
    half: bool = False

    @property
    def equal_to(self) -> tuple[str, ...]:
        return (self.reference,)

    @property
    def guessed(self) -> tuple[str, ...]:
        return self.assumed

    def verdict(self, gate: Gate, precision: str) -> dict[str, Any]:
        known = "fp16" if self.half and precision == "fp32" else precision
        return {**super().verdict(gate, known), "stated": dict(self.stated)}


def reference_of(name: str, sha256: str) -> str:
    """The original in words; its hash tells it from another file of this name."""
    return f"this ONNX ({name}, sha256 {sha256[:12]}) run by onnxruntime, with preprocessing and decoding as stated"
