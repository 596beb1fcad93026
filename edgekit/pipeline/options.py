"""What an export is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.artifacts.opening import NOTHING_TOLD, CheckpointOptions
from edgekit.config.target import Target, load_target
from edgekit.errors import UsageError, VerificationError
from edgekit.pipeline.precision import precision_name, require_drop

if TYPE_CHECKING:
    from edgekit.checkpoints.checkpoint import Checkpoint
    from edgekit.checkpoints.quantization import Quantization

PICTURES = 64
CALIBRATE = 96
LOST = 0.005  # AP50, top-1: more is what training with the rounding was to win back


@dataclass(frozen=True)
class ExportOptions:
    """What decides an export, beside the checkpoint and the folder; `edgekit.export` takes the same one by one.

    Attributes:
        target: the board; `resolved` has it read.
        told: what a foreign checkpoint does not say of itself.
    """

    target: str | Target = "x86-cpu"
    data: Path | None = None
    pictures: int = PICTURES
    input_kind: str = "uint8"
    batch: int | None = None
    raw_heads: bool = False
    compact: bool = False
    precision: str = "fp32"
    calibrate: int = CALIBRATE
    max_drop: float | None = None
    told: CheckpointOptions = NOTHING_TOLD
    expect: Path | None = None
    force: bool = False

    def require_possible(self) -> Target:
        """The target, read. Raises UsageError for options that make no sense, alone or together."""
        target = self.target if isinstance(self.target, Target) else load_target(self.target)
        if self.batch is not None and self.batch < 1:
            raise UsageError(
                "A batch has at least one picture.",
                got=f"--batch {self.batch}",
                expected="1 or more; leave it out for a batch of any size",
            )
        require_makeable(target, self.input_kind, self.precision, self.max_drop, self.data)
        return target


def require_makeable(
    target: Target, input_kind: str, precision: str, max_drop: float | None, data: Path | None
) -> None:
    """Raises UsageError unless a file of this input and precision can be made for a target, from these pictures."""
    if input_kind not in ("uint8", "float"):
        raise UsageError(
            "There is no such kind of input.",
            got=f"--input {input_kind}",
            expected="uint8 (preprocessing in the graph) or float (normalized NCHW)",
        )
    require_drop(max_drop, precision)
    precision_name(target, precision)
    if precision != "fp32" and data is None:
        raise UsageError(
            "Ranges of numbers come from real pictures.",
            got=f"--precision {precision} without --data",
            expected="pictures of what the camera will see",
            fix="--data DIR",
        )


def trained_rounding(
    loaded: Checkpoint, name: str, max_drop: float | None, input_kind: str, say: Callable[[str], None]
) -> Quantization | None:
    """What a checkpoint's net was trained with, where that is what is asked for; None: ranges are to be measured.

    Raises:
        UsageError: options that contradict it.
        VerificationError: the rounded net is worse than the float32 net that it came from by more than `LOST`. The gate
            compares the file with the rounded net, and would not see it.
    """
    held = loaded.quantization
    if held is None or not name.startswith("int8"):
        return None
    if held.scheme != name:
        say(f"the net was trained with the rounding of {held.scheme}; {name} is measured as of any other net")
        return None
    for option, wrong in (("--max-drop", max_drop is not None), ("--input float", input_kind != "uint8")):
        if wrong:
            raise UsageError(
                f"{option} does not go with a net that was trained quantized.",
                got=option,
                expected="the int8 graph that it was trained with",
                fix=f"leave {option} out",
            )
    _require_kept(held, loaded.metrics, say)
    return held


def _require_kept(held: Quantization, metrics: Mapping[str, Any], say: Callable[[str], None]) -> None:
    if held.before is None:
        say("WARNING: what the net reached in float32 was not measured, so nobody knows what the rounding costs")
        return
    name, before = held.before
    now = metrics.get(name)
    if now is None or not now >= before - LOST:
        raise VerificationError(
            "The rounded net is worse than the float32 net that it was trained from.",
            got=f"{name} {'not measured' if now is None else f'{now:.4f}'}, {before:.4f} before",
            expected=f"at most {LOST:g} less",
            fix="train it longer or otherwise, or export the float32 checkpoint with --max-drop 1",
        )
