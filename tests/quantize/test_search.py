"""The search finds the cheapest layers that hold the budget, goes on after an interruption, and says when it cannot."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest

from edgekit.backends import open_session
from edgekit.data import Dataset
from edgekit.errors import ArtifactError, UsageError, VerificationError
from edgekit.quantize.calibration import Calibration
from edgekit.quantize.place import Quantized, quantize
from edgekit.quantize.plan import QuantizableLayer, layers_of
from edgekit.quantize.search import Measured, SearchResult, search, search_key
from edgekit.vision.preprocess import normalise, preprocess
from tests.quantize.conftest import SMALL

Calibrated = Callable[[onnx.ModelProto], Calibration]

# error that each layer adds in int8, and what it costs
HURTS = {"a": 1.0, "b": 4.0, "c": 0.1, "d": 2.0, "e": -0.2}
LAYERS = [QuantizableLayer(name, 0, macs) for name, macs in {"a": 10, "b": 100, "c": 10, "d": 10, "e": 10}.items()]


class World:
    """Graphs whose errors are known: the name of the graph is the set of its float layers."""

    def __init__(self, fails_after: int | None = None) -> None:
        self.asked: list[frozenset[str]] = []
        self.fails_after = fails_after

    def build(self, floats: frozenset[str]) -> Quantized:
        model = onnx.ModelProto()
        model.producer_name = ",".join(sorted(floats))
        return Quantized(model, "int8-x86", (), tuple(sorted(floats)), {})

    def measure(self, model: onnx.ModelProto) -> Measured:
        if self.fails_after is not None and len(self.asked) == self.fails_after:
            raise KeyboardInterrupt
        floats = frozenset(filter(None, model.producer_name.split(",")))
        self.asked.append(floats)
        error = 0.3 + sum(hurt for name, hurt in HURTS.items() if name not in floats)
        return Measured(error, max(error, 0.0))

    def search(self, max_drop: float, **options: object) -> SearchResult:
        return search(self.build, LAYERS, self.measure, max_drop, **{"key": "k", **options})  # type: ignore[arg-type]


def test_a_budget_that_holds_keeps_everything_in_int8() -> None:
    found = World().search(8)
    assert found.kept == ()
    assert found.float_share == 0
    assert found.measured.drop == pytest.approx(7.2)


def test_layers_are_ranked_by_what_they_win_for_their_size() -> None:
    ranking = World().search(8).ranking
    assert [r.layer for r in ranking] == ["d", "a", "b", "c", "e"]
    assert [round(r.won, 3) for r in ranking] == [2, 1, 4, 0.1, -0.2]


@pytest.mark.parametrize(
    ("max_drop", "kept"),
    [
        (5.3, {"d"}),
        (4.3, {"d", "a"}),
        (0.15, {"d", "a", "b", "c"}),
        (0.5, {"d", "a", "b"}),
        (3.5, {"b"}),
        (1.3, {"b", "d"}),
    ],
)
def test_the_cheapest_layers_that_hold_the_budget(max_drop: float, kept: set[str]) -> None:
    """At 3.5 d and a went back before b; with b neither is needed any more."""
    found = World().search(max_drop)
    assert found.measured.drop <= max_drop
    assert set(found.kept) == kept
    assert found.float_share == pytest.approx(sum(x.macs for x in LAYERS if x.name in found.kept) / 140)
    assert found.quantized.kept == tuple(sorted(found.kept))
    for name in found.kept:  # none of them can be spared
        rest = frozenset(found.kept) - {name}
        assert not rest or World().measure(World().build(rest).model).drop > max_drop


@pytest.mark.parametrize("max_drop", [0.15, 0.05])
def test_one_layer_that_holds_the_budget_alone_is_taken_where_it_costs_less(max_drop: float) -> None:
    """Its error says little, its drop holds: with 0.15 the first four do too, with 0.05 no number of them does."""

    class Odd(World):
        def measure(self, model: onnx.ModelProto) -> Measured:
            measured = super().measure(model)
            return Measured(measured.error, 0.0) if model.producer_name == "c" else measured

    found = Odd().search(max_drop)
    assert found.kept == ("c",)
    assert found.measured.drop == 0


def test_costs_may_be_measured() -> None:
    costs = {"a": 1.0, "b": 1.0, "c": 1.0, "d": 100.0, "e": 1.0}
    found = World().search(4.3, costs=lambda: costs)
    assert [r.layer for r in found.ranking] == ["b", "a", "c", "d", "e"]
    assert found.kept == ("b",)  # by multiplications it was d and a
    with pytest.raises(UsageError, match="no cost"):
        World().search(4.3, costs=lambda: {**costs, "a": 0})


def test_what_was_timed_is_not_timed_again_after_an_interruption(tmp_path: Path) -> None:
    """Other times would rank in another order, and ask what was not measured yet."""
    state = tmp_path / "search.json"
    costs = {"a": 1.0, "b": 1.0, "c": 1.0, "d": 100.0, "e": 1.0}
    with pytest.raises(KeyboardInterrupt):
        World(fails_after=3).search(4.3, state=state, costs=lambda: costs)
    found = World().search(4.3, state=state, costs=lambda: dict.fromkeys(costs, 7.0))
    assert [r.cost for r in found.ranking] == [1, 1, 1, 100, 1]


def test_a_budget_that_cannot_hold_ends_with_the_ranking() -> None:
    with pytest.raises(VerificationError, match="No number of layers") as caught:
        World().search(0)
    assert caught.value.exit_code == 3
    assert "7.20 points" in str(caught.value.got)
    assert "d (2), a (1), b (4)" in str(caught.value.fix)
    assert "at most 0 points" in str(caught.value.expected)


def test_interrupted_and_started_again_it_goes_on_where_it_was(tmp_path: Path) -> None:
    state = tmp_path / "search.json"
    whole = World()
    want = whole.search(0.5)
    for fails_after in (0, 1, 2, 3):
        with pytest.raises(KeyboardInterrupt):
            World(fails_after).search(0.5, state=state)
        if fails_after:
            assert json.loads(state.read_text())["key"] == "k"
    rest = World()
    got = rest.search(0.5, state=state)
    assert len(rest.asked) == len(whole.asked) - 6  # 0 + 1 + 2 + 3 were measured before
    assert (got.kept, got.measured, got.ranking, got.measurements) == (
        want.kept, want.measured, want.ranking, want.measurements,
    )  # fmt: skip
    again = World()
    again.search(0.5, state=state)
    assert again.asked == []


def test_nothing_is_measured_twice() -> None:
    world = World()
    found = world.search(0.5)
    assert len(world.asked) == len(set(world.asked)) == found.measurements


def test_the_state_of_another_search_is_refused(tmp_path: Path) -> None:
    state = tmp_path / "search.json"
    World().search(8, state=state)
    with pytest.raises(ArtifactError, match="another search"):
        World().search(8, state=state, key=search_key("graph", "data"))
    state.write_text("{")
    with pytest.raises(ArtifactError, match="not the state"):
        World().search(8, state=state)
    assert search_key("a", "b") != search_key("b", "a") != search_key("ab")


def test_progress_names_what_is_measured() -> None:
    told: list[tuple[int, int, str]] = []
    found = World().search(0.5, progress=lambda done, total, what: told.append((done, total, what)))
    assert [done for done, _, _ in told] == list(range(found.measurements))
    assert told[0][2] == "all layers in int8"
    assert told[1][2] == "a in float"


@pytest.mark.parametrize("budget", [-1, float("nan")])
def test_a_budget_below_zero_is_a_usage_error(budget: float) -> None:
    with pytest.raises(UsageError, match="budget"):
        World().search(budget)


def test_no_layers_is_a_usage_error() -> None:
    empty: Sequence[QuantizableLayer] = []
    with pytest.raises(UsageError, match="no layer"):
        search(World().build, empty, World().measure, 1, key="k")


def test_on_a_real_net(residual: onnx.ModelProto, calibrated: Calibrated, photos: Dataset) -> None:
    feed = {"image": normalise(np.stack([preprocess(s.read(), SMALL) for s in photos]), SMALL)}
    want = open_session(residual.SerializeToString()).run(feed)["logits"]

    def measure(model: onnx.ModelProto) -> Measured:
        error = float(((open_session(model.SerializeToString()).run(feed)["logits"] - want) ** 2).mean())
        return Measured(error, error * 1e4)

    def build(floats: frozenset[str]) -> Quantized:
        return quantize(residual, calibrated(residual), "int8-trt", method="minmax", keep=floats)

    whole = measure(build(frozenset()).model).drop
    found = search(build, layers_of(residual), measure, whole * 0.6, key="k")
    assert 0 < len(found.kept) < 7
    assert found.measured.drop <= whole * 0.6
    assert found.quantized.kept == tuple(sorted(found.kept))
