"""Proposals while pictures are labelled: asked once, in a useful order, held back to be measured, and measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekit.errors import EdgekitError
from edgekit.labels import assistant as assistant_module
from edgekit.labels.assistant import Assistant, Help
from edgekit.labels.proposals.base import Prompt, Proposal, Segment, Segmenter, box_of
from edgekit.labels.schema import Labels, Mark
from edgekit.labels.session import Session
from edgekit.vision.image import Frame
from tests.labels.folders import BOX, HEIGHT, WIDTH, pictures

NAMES = tuple(f"{i:02d}.png" for i in range(20))


class Proposer:
    """One box a picture, where it says; a score that grows with the picture's first pixel."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, frame: Frame) -> list[Proposal]:
        self.asked += 1
        return [Proposal(BOX, "hornet", 0.4), Proposal((0, 0, 9, 9), "moth", 0.31)]


class Spot(Segmenter):
    """A square of 8 around the first point or the box's corner."""

    def __init__(self) -> None:
        super().__init__()
        self.embedded = 0

    def _embed(self, frame: Frame) -> tuple[int, ...]:
        self.embedded += 1
        return frame.shape[:2]

    def _decode(self, embedding: tuple[int, ...], prompt: Prompt) -> Segment:
        mask = np.zeros(embedding, np.bool_)
        x, y = map(int, prompt.points[0] if prompt.points else prompt.box[:2])
        mask[y : y + 8, x : x + 8] = True
        return Segment(mask, box_of(mask), 0.9)


def opened(root: Path, helped: Help, *names: str) -> tuple[Session, Assistant, list[str]]:
    said: list[str] = []
    session = Session(pictures(root, *names) if names else root, None, ["bee", "hornet"])
    return session, Assistant(session, helped, said.append), said


def test_a_picture_is_asked_about_once_and_remembered(tmp_path: Path) -> None:
    proposer = Proposer()
    session, assistant, _ = opened(tmp_path, Help(proposer, "one"), "a.png", "b.png")
    known = session.get(1)
    shown = assistant.shown(known)
    assert shown == [{"box": BOX, "label": 1, "score": 0.4}, {"box": (0, 0, 9, 9), "label": None, "score": 0.31}]
    assert assistant.shown(known) == shown
    session.close()
    session, assistant, _ = opened(tmp_path, Help(proposer, "one"))
    assert assistant.shown(session.get(1)) == shown
    assert proposer.asked == 1
    session.close()
    session, assistant, _ = opened(tmp_path, Help(proposer, "another"))
    assistant.shown(session.get(1))
    assert proposer.asked == 2
    session.close()


def test_all_pictures_are_put_in_order_and_those_that_are_done_come_last(tmp_path: Path) -> None:
    session, assistant, _ = opened(tmp_path, Help(Proposer(), "one"), *NAMES)
    by_name = tuple(session.ids.values())
    session.edit(by_name[0], 0, Labels(done=True))
    assert assistant.order == (0, by_name)
    assistant._rank_all()
    number, order = assistant.order
    assert number == 2  # after 16 of them, and after all
    assert sorted(order) == sorted(by_name)
    assert order[-1] == by_name[0]
    assert order[:-1] != by_name[1:]
    session.close()


def test_an_unreadable_picture_is_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    session, assistant, said = opened(tmp_path, Help(Proposer(), "one"), "a.png", "b.png")
    (tmp_path / "a.png").write_bytes(b"gone bad")
    assistant._rank_all()
    assert assistant.order[0] == 1
    assert "a.png" in said[0]
    with pytest.raises(EdgekitError):
        assistant.shown(session.get(session.ids["a.png"]))
    session.close()


def test_proposals_are_measured_once_enough_pictures_are_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two pictures with the hornet, one with a bee in its place, which was overlooked."""
    monkeypatch.setattr(assistant_module, "CHECKED", 3)
    session, assistant, said = opened(tmp_path, Help(Proposer(), "one"), "a.png", "b.png", "c.png", "d.png")
    assert assistant.checked() is None
    near = (BOX[0] + 1, *BOX[1:])
    for ident, mark in ((1, Mark(near, 1)), (2, Mark(BOX, 1, "proposal")), (3, Mark(BOX, 0))):
        assistant.proposals(session.get(ident))
        assert said == []
        session.edit(ident, 0, Labels((mark,), True))
        assistant.check()
    assistant.check()
    (line,) = said
    assert assistant.told == line
    assert "against 3 labelled pictures" in line
    assert "recall 66.7%" in line
    assert "precision 33.3%" in line
    assert "1 of the 3 objects are accepted proposals" in line
    session.close()


def test_proposals_are_held_back_until_they_can_be_measured(tmp_path: Path) -> None:
    session, assistant, _ = opened(tmp_path, Help(Proposer(), "one", blind=1), "a.png", "b.png")
    assert assistant.shown(session.get(2)) is None
    session.edit(1, 0, Labels(done=True))
    assert assistant.shown(session.get(2)) is not None
    assert assistant.checked() is None  # the one that is done was not looked at
    assistant.proposals(session.get(1))
    assert assistant.checked().quality.recall.value is None
    session.close()


def test_a_click_or_a_box_gives_a_box(tmp_path: Path) -> None:
    spot = Spot()
    session, assistant, _ = opened(tmp_path, Help(segmenter=spot), "a.png")
    known = session.get(1)
    assistant.prepare(known)
    wanted = {
        (20, 10, 28, 18): Prompt(((20.0, 10.0),), (True,)),
        (5, 6, 13, 14): Prompt(box=(5.0, 6.0, 30.0, 30.0)),
        None: Prompt(((WIDTH + 9.0, HEIGHT + 9.0),), (True,)),
    }
    for box, prompt in wanted.items():
        found = assistant.segment(known, prompt)
        assert found is not None
        assert found.box == box
    assert spot.embedded == 1
    session.close()


def test_without_help_there_is_nothing(tmp_path: Path) -> None:
    session, assistant, said = opened(tmp_path, Help(), "a.png")
    assistant.start()
    assert assistant.shown(session.get(1)) == []
    assert assistant.segment(session.get(1), Prompt(box=BOX)) is None
    assert assistant.checked() is None
    assistant.check()
    assistant.stop()
    assert said == []
    session.close()
