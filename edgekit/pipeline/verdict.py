"""What a verdict says: equal to what, who says that this is the net that was trained, and how to prove what is guessed.

fp16 and int8 are within limits of what the float32 file equals, never equal to it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from edgekit.config.target import COMPACT
from edgekit.gate.compare import Gate
from edgekit.screen import count_of

if TYPE_CHECKING:
    from edgekit.checkpoints.checkpoint import Checkpoint

# of each thing that is guessed, how it is stated or proven
WAYS = {
    "the net": "its keys and shapes fit a {arch}, and other nets have them too: --arch {arch} states it, "
    "--expect PAIRS.npz proves it",
    "preprocessing": "{pictures}, where nothing is said: --preprocess FILE states it",
    "class names": "ImageNet's: --classes FILE states them",
}
ROUNDED = "large weights rounded to float16"


@dataclass(frozen=True)
class Basis:
    """What the files of one export are compared with.

    Attributes:
        reference: the net whose answers are right, such as `torchvision's resnet18 with these weights`.
        named_by: who says that it is the net: `its own checkpoint`, `--arch`, `the file (args.model)`; empty: nobody.
        arch: the net's name.
        guesses: what nobody said: keys of `WAYS`.
        pictures: whose preprocessing is taken where nothing is said.
        pairs: how many recorded pairs of input and output the net answered as recorded; 0 where none were given.
    """

    reference: str
    named_by: str
    arch: str
    guesses: tuple[str, ...] = ()
    pictures: str = "torchvision's"
    pairs: int = 0

    def proven(self, pairs: int) -> Basis:
        """The same after `pairs` recorded pairs were met: the net is no guess any more."""
        return replace(self, pairs=pairs, guesses=tuple(g for g in self.guesses if g != "the net"))

    @property
    def equal_to(self) -> tuple[str, ...]:
        named = f", as named by {self.named_by}" if self.named_by and self.named_by != "its own checkpoint" else ""
        pairs = (f"{self.pairs} recorded pairs of input and output",) if self.pairs else ()
        return (f"{self.reference}{named}", *pairs)

    @property
    def guessed(self) -> tuple[str, ...]:
        """One line for each guess, with the way to state or prove it."""
        return tuple(f"{guess}: {WAYS[guess].format(arch=self.arch, pictures=self.pictures)}" for guess in self.guesses)

    def verdict(self, gate: Gate, precision: str) -> dict[str, Any]:
        """What is said, in the report and inside the file: `text` is the whole of it in a sentence.

        Args:
            gate: the comparisons so far.
            precision: `fp32`, or another, which is within limits.
        """
        exact = precision == "fp32"
        figures = "" if exact or not gate.stages else f" ({gate.task.against(gate.stages[-1], gate.limits)})"
        failed = next((stage.name for stage in gate.stages if not stage.passed), "")
        compared = self.equal_to[-1:] if failed.startswith("expect") else self.equal_to[: 1 if failed else None]
        said = f"{'equal to' if exact else f'within the limits{figures} of'} {' and '.join(compared)}"
        said = f"not {said}" if failed else said
        said += f", with {ROUNDED}" if precision == COMPACT else ""
        return {
            "relation": "equal" if exact else "within limits",
            "passed": gate.passed,
            "equal_to" if exact else "within_limits_of": list(self.equal_to),
            "named_by": self.named_by or "nobody: a guess from keys and shapes",
            "guessed": list(self.guessed),
            "text": f"{said}, on {count_of(len(gate.dataset), 'picture')}",
        }


def basis_of(loaded: Checkpoint) -> Basis:
    """Of a checkpoint: its own net, another library's with its weights, or ours where none has one like it."""
    from edgekit import nets

    spec = loaded.spec
    if loaded.source == "edgekit":
        return Basis(loaded.what, loaded.named_by, spec.arch)
    arguments = spec.arch_args or {}
    net = nets.find(spec.arch)
    elsewhere = net.reference_of(arguments)
    if elsewhere is not None:
        reference = f"{elsewhere.library}'s {elsewhere.name} with these weights"
    else:
        how = f" ({', '.join(f'{value} {name}' for name, value in arguments.items())})" if arguments else ""
        lacks = f", which {net.reference.library} has not" if net.reference is not None else ""
        reference = f"our {spec.arch}{how} with these weights{lacks}"
    guesses = (*(() if loaded.named_by else ("the net",)), *loaded.guesses)
    return Basis(reference, loaded.named_by, spec.arch, guesses, loaded.whose_pictures)
