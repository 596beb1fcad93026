"""The fastest graph within an accuracy budget: which layers go back to float, found by measuring.

Every layer is given back alone, out of the graph with all layers in int8, because rounding errors of layers partly
cancel: one layer quantized alone in a float net ranks others first than those that hurt in the company of the rest.
Layers then go back by error won for their cost, until the budget holds; last, each is tried in int8 again. Where one
layer alone holds the budget too, and costs less than those together, it is taken. The cost is a layer's
multiplications, unless what it costs in time was measured: a first convolution with large maps costs three times what
its multiplications say (ResNet-18 in onnxruntime).

Each measurement is kept under the set of layers that were in float. A search that was interrupted asks the same
questions in the same order, and finds the answers that it had; what was timed is kept with them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import onnx

from edgekit.artifacts.atomic import write_bytes
from edgekit.errors import ArtifactError, UsageError, VerificationError
from edgekit.quantize.place import Quantized
from edgekit.quantize.plan import QuantizableLayer
from edgekit.reading import read_json
from edgekit.reading.limits import CARD
from edgekit.screen import count_of
from edgekit.spec import digest

FORMAT = 2


@dataclass(frozen=True)
class Measured:
    """What one graph does on the pictures of the search.

    Attributes:
        error: a smooth distance of its answers from the float32 model's, to rank by; 0 is equal.
        drop: what the budget bounds, in points: of top-1, of agreement, of AP.
    """

    error: float
    drop: float


@dataclass(frozen=True)
class Ranked:
    """One layer's sensitivity.

    Attributes:
        layer: its name.
        cost: what its going back costs; multiplications of one picture where nothing else was given.
        won: how much smaller the error is when it alone goes back to float; negative where it grows.
        drop: what is then left of the drop.
    """

    layer: str
    cost: float
    won: float
    drop: float


@dataclass(frozen=True)
class SearchResult:
    """The result of a search.

    Attributes:
        quantized: the graph.
        kept: layers in float, in the order they went back.
        measured: error and drop of the graph.
        ranking: all layers, the most error won for its cost first.
        float_share: of all multiplications that are in float.
        measurements: how many graphs were run, those of an earlier, interrupted search included.
    """

    quantized: Quantized
    kept: tuple[str, ...]
    measured: Measured
    ranking: tuple[Ranked, ...]
    float_share: float
    measurements: int


Build = Callable[[frozenset[str]], Quantized]
Measure = Callable[[onnx.ModelProto], Measured]
Progress = Callable[[int, int, str], None]


def search(
    build: Build,
    layers: Sequence[QuantizableLayer],
    measure: Measure,
    max_drop: float,
    *,
    key: str,
    costs: Callable[[], Mapping[str, float]] | None = None,
    state: Path | None = None,
    progress: Progress = lambda done, total, what: None,
) -> SearchResult:
    """Finds the layers that must go back to float for the drop to stay within `max_drop`.

    Args:
        build: the quantized graph with these layers in float.
        layers: those that can go back.
        measure: runs a graph on the pictures of the search.
        max_drop: points, 0 or more.
        key: hash of everything that the measurements depend on (graph, calibration, scheme, pictures, labels); see
            `search_key`.
        costs: gives those of each layer, above 0, in any unit; called once a search, not after an interruption. None
            takes multiplications.
        state: file that keeps what was measured, for going on after an interruption.
        progress: called before each measurement with those done, an estimate of their number, and what comes.

    Raises:
        UsageError: a budget below 0, no layers, or costs that are not of these layers.
        ArtifactError: the state file is of another search.
        VerificationError: the budget does not hold with any number of layers given back; the ranking is in its text.
    """
    if not max_drop >= 0:
        raise UsageError("The budget is a number of points.", got=str(max_drop), expected="0 or more")
    if not layers:
        raise UsageError("There is no layer to search.", expected="at least one quantized layer")
    memory = _Memory(state, key)
    if costs is None:
        known = {layer.name: float(max(layer.macs, 1)) for layer in layers}
    else:
        known = memory.costs or dict(costs())
    if not all(known.get(layer.name, 0.0) > 0 for layer in layers):
        raise UsageError(
            "A layer has no cost.", got=", ".join(sorted(known)), expected="a number above 0 for each layer"
        )
    memory.costs = known
    return _Search(build, layers, measure, max_drop, known, memory, progress).run()


def search_key(*parts: str) -> str:
    """The key of a search: one hash of the hashes and names that its measurements depend on."""
    return digest(list(parts))


class _Memory:
    """What was measured, in a file that is replaced whole after each measurement."""

    def __init__(self, path: Path | None, key: str) -> None:
        self.path = path
        self.key = key
        self.measured: dict[str, Measured] = {}
        self.costs: dict[str, float] = {}
        if path is not None and path.is_file():
            try:
                content = read_json(path, CARD)
                found = content["key"]
                if content["format"] == FORMAT and found == key:
                    self.measured = {k: Measured(**v) for k, v in content["measured"].items()}
                    self.costs = {k: float(v) for k, v in content["costs"].items()}
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                raise ArtifactError(
                    f"{path} is not the state of a search.", got=str(error), fix="remove it and search again"
                ) from error
            if not content["format"] == FORMAT or found != key:
                raise ArtifactError(
                    f"{path} is the state of another search: of another model, calibration, scheme or set of pictures.",
                    got=f"key {str(found)[:12]}",
                    expected=f"key {key[:12]}",
                    fix="remove it and search again",
                )

    def keep(self, floats: frozenset[str], result: Measured) -> None:
        self.measured[_name(floats)] = result
        if self.path is not None:
            content = {
                "format": FORMAT,
                "key": self.key,
                "costs": self.costs,
                "measured": {k: asdict(v) for k, v in self.measured.items()},
            }
            write_bytes(self.path, json.dumps(content, indent=1, allow_nan=False).encode(), overwrite=True)


def _name(floats: frozenset[str]) -> str:
    return ",".join(sorted(floats))


class _Search:
    def __init__(
        self,
        build: Build,
        layers: Sequence[QuantizableLayer],
        measure: Measure,
        max_drop: float,
        costs: Mapping[str, float],
        memory: _Memory,
        progress: Progress,
    ) -> None:
        self.build = build
        self.layers = layers
        self.measure = measure
        self.max_drop = max_drop
        self.costs = costs
        self.memory = memory
        self.progress = progress
        self.done = 0

    def run(self) -> SearchResult:
        whole = self.ask(frozenset(), "all layers in int8")
        ranking = self.rank(whole)
        if whole.drop <= self.max_drop:
            return self.found([], ranking)
        alone = min((r for r in ranking if r.drop <= self.max_drop), key=lambda r: (r.cost, r.layer), default=None)
        given: list[str] = []
        for ranked in ranking:
            if len(given) + 1 == len(self.layers):
                break  # without an int8 layer there is nothing quantized left
            given.append(ranked.layer)
            if self.ask(frozenset(given), f"{count_of(len(given), 'layer')} in float").drop <= self.max_drop:
                given = self.take_back(given)
                if alone is not None and alone.cost < sum(self.costs[name] for name in given):
                    given = [alone.layer]
                return self.found(given, ranking)
        if alone is not None and len(self.layers) > 1:
            return self.found([alone.layer], ranking)
        raise VerificationError(
            "No number of layers in float brings the drop within the budget.",
            got=f"a drop of {whole.drop:.2f} points with all layers in int8, "
            f"{self.ask(frozenset(given), '').drop:.2f} with {len(given)} of {len(self.layers)} in float",
            expected=f"at most {self.max_drop:g} points",
            fix="allow more, or use fp16; most error for its size is won by: " + _shown(ranking),
        )

    def rank(self, whole: Measured) -> tuple[Ranked, ...]:
        ranked = []
        for layer in self.layers:
            if len(self.layers) == 1:
                return (Ranked(layer.name, self.costs[layer.name], 0.0, whole.drop),)
            alone = self.ask(frozenset({layer.name}), f"{layer.name} in float")
            ranked.append(Ranked(layer.name, self.costs[layer.name], whole.error - alone.error, alone.drop))
        return tuple(sorted(ranked, key=lambda r: (-r.won / r.cost if r.won > 0 else 1.0, r.cost, r.layer)))

    def take_back(self, given: list[str]) -> list[str]:
        """Drops what turned out not to be needed, the dearest layers first."""
        for layer in sorted(given, key=lambda name: (-self.costs[name], name)):
            fewer = [name for name in given if name != layer]
            if fewer and self.ask(frozenset(fewer), f"{layer} in int8 again").drop <= self.max_drop:
                given = fewer
        return given

    def ask(self, floats: frozenset[str], what: str) -> Measured:
        known = self.memory.measured.get(_name(floats))
        if known is None:
            self.progress(len(self.memory.measured), len(self.layers) + 1 + len(self.layers) // 3, what)
            known = self.measure(self.build(floats).model)
            self.memory.keep(floats, known)
        return known

    def found(self, given: list[str], ranking: tuple[Ranked, ...]) -> SearchResult:
        total = sum(layer.macs for layer in self.layers)
        floats = sum(layer.macs for layer in self.layers if layer.name in given)
        return SearchResult(
            self.build(frozenset(given)),
            tuple(given),
            self.ask(frozenset(given), "the result"),
            ranking,
            floats / total if total else 0.0,
            len(self.memory.measured),
        )


def _shown(ranking: Sequence[Ranked], limit: int = 5) -> str:
    return ", ".join(f"{r.layer} ({r.won:.2g})" for r in ranking[:limit])
