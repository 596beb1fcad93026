"""What each part of an export took, by clocks that are moved by hand."""

from __future__ import annotations

from edgekit.data import made_pictures
from edgekit.gate.compare import Gate
from edgekit.gate.spent import Spent
from edgekit.spec import ModelSpec, PreprocessSpec
from tests.gate.test_compare import LIMITS, LOGITS


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_each_part_has_what_passed_since_the_last() -> None:
    wall, process = Clock(), Clock()
    spent = Spent(wall, process)
    for name, seconds in (("loading", 1.0), ("graph", 2.0), ("loading", 4.0), ("lint", 0.1)):
        wall.now += seconds
        process.now += 2 * seconds
        spent.mark(name)
    assert spent.to_list() == [
        {"part": "loading", "wall": 5.0, "process": 10.0},
        {"part": "graph", "wall": 2.0, "process": 4.0},
        {"part": "lint", "wall": 0.1, "process": 0.2},
    ]
    assert (round(spent.wall, 6), round(spent.process, 6)) == (7.1, 14.2)
    assert spent.line() == "14.2 s of processor time in 7.1 s: loading 10.0, graph 4.0"


def test_a_stage_is_a_part() -> None:
    wall = Clock()
    gate = Gate(
        made_pictures(1),
        LIMITS,
        ModelSpec("resnet18", ("a", "b", "c"), PreprocessSpec()),
        lambda line: None,
        reference=LOGITS,
        spent=Spent(wall, Clock()),
    )
    wall.now += 3
    gate.judge("onnx", LOGITS)
    assert gate.spent.to_list() == [{"part": "onnx", "wall": 3.0, "process": 0.0}]


def test_some_pictures_are_compared_with_their_own_answers() -> None:
    gate = Gate(made_pictures(1), LIMITS, ModelSpec("resnet18", ("a", "b", "c"), PreprocessSpec()), lambda line: None)
    gate.reference = LOGITS
    last = len(LOGITS["logits"]) - 1
    assert gate.judge("fold", {"logits": LOGITS["logits"][[last, 0]]}, rows=[last, 0])
    assert gate.stages[0].pictures == 2
    assert not gate.judge("fold", {"logits": LOGITS["logits"][[last, 0]]}, rows=[0, last])
