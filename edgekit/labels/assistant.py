"""What a model and a segmenter say while pictures are labelled, in which order to go, and how good it was."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgekit.data.sample import class_index
from edgekit.errors import EdgekitError
from edgekit.labels.proposals.base import Prompt, Proposal, Proposer, Segment, Segmenter
from edgekit.labels.proposals.order import appearance, most_useful, uncertainty
from edgekit.labels.proposals.quality import ProposalQuality, proposal_quality
from edgekit.labels.session import Session
from edgekit.labels.store import Known
from edgekit.metrics.ground_truth import GroundTruth
from edgekit.vision.image import Frame, read_picture

Say = Callable[[str], None]
CHECKED = 50  # pictures that are done before a figure is told
_FIRST = 16  # pictures looked at before they are put into an order; then twice as many, and so on


@dataclass(frozen=True)
class Help:
    """What there is to help.

    Attributes:
        proposer: or None.
        name: of the proposer, another one for other answers: what it said is kept under it.
        threshold: the score at which it is neither sure nor against it, for the order.
        segmenter: or None.
        blind: that many pictures are labelled before proposals are shown, so that these can be measured.
        given: proposals that are known already, by the picture's name; they count where there is no proposer.
    """

    proposer: Proposer | None = None
    name: str = ""
    threshold: float = 0.3
    segmenter: Segmenter | None = None
    blind: int = 0
    given: Mapping[str, Sequence[Proposal]] | None = None


@dataclass(frozen=True)
class Checked:
    """How good the proposals were, and how many of the labelled objects were proposals that somebody accepted."""

    quality: ProposalQuality
    objects: int
    accepted: int

    def __str__(self) -> str:
        told = f"; {self.accepted} of the {self.objects} objects are accepted proposals, which agree by themselves"
        return f"{self.quality}{told if self.accepted else ''}"


class Assistant:
    """Asks proposer and segmenter for a session. From any thread; one picture at a time.

    Args:
        session: whose pictures and classes.
        help: what there is.
        say: takes lines for people.
    """

    def __init__(self, session: Session, help: Help, say: Say = lambda line: None) -> None:  # noqa: A002
        self.session, self._help, self._say = session, help, say
        self._asking = threading.Lock()
        self._stop = threading.Event()
        self._order: tuple[int, tuple[int, ...]] = (0, tuple(brief.id for brief in session.briefs()))
        self._told = ""
        self._thread = threading.Thread(target=self._rank_all, name="label-order", daemon=True)

    @property
    def proposes(self) -> bool:
        return self._help.proposer is not None or self._help.given is not None

    @property
    def segments(self) -> bool:
        return self._help.segmenter is not None

    @property
    def clicks(self) -> bool:
        """Whether the segmenter can be asked by a click; a drawn box it takes in any case."""
        return self._help.segmenter is not None and self._help.segmenter.clicks

    @property
    def order(self) -> tuple[int, tuple[int, ...]]:
        """A number that grows when the pictures are sorted anew, and theirs, the most useful ones first."""
        return self._order

    @property
    def told(self) -> str:
        """What was said last about how good the proposals are, or ""."""
        return self._told

    def start(self) -> None:
        """Begins to look at all pictures, in a thread of its own."""
        if self.proposes:
            self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def shown(self, known: Known) -> list[dict[str, Any]] | None:
        """Proposals as a page takes them, `label` None where the class is not one of ours; None: they are held back.

        Raises:
            PictureError: the picture cannot be read.
        """
        if not self.proposes:
            return []
        proposals = self.proposals(known)
        if self._help.blind and sum(brief.done for brief in self.session.briefs()) < self._help.blind:
            return None
        classes = self.session.classes
        index = {p.label: None if p.label is None else class_index(p.label, classes) for p in proposals}
        return [{"box": p.box, "label": index[p.label], "score": p.score} for p in proposals]

    def proposals(self, known: Known) -> list[Proposal]:
        """What the proposer says about a picture: looked at once, also over restarts. Raises PictureError."""
        return self._looked(known)[0]

    def segment(self, known: Known, prompt: Prompt) -> Segment | None:
        """What lies under a click or in a box; None without a segmenter.

        Raises:
            PictureError: the picture cannot be read.
        """
        if self._help.segmenter is None:
            return None
        path = self.session.path(known)
        return self._help.segmenter.segment(str(path), lambda: read_picture(path), prompt)

    def prepare(self, known: Known) -> None:
        """Embeds a picture before it is asked about. Raises PictureError."""
        if self._help.segmenter is not None:
            path = self.session.path(known)
            self._help.segmenter.prepare(str(path), lambda: read_picture(path))

    def checked(self, least: int = 1) -> Checked | None:
        """How good the proposals were in the pictures that are done; None where fewer than `least` are."""
        rows = list(self.session.store.compared(self._help.name)) if self.proposes else []
        if len(rows) < max(least, 1):
            return None
        truths = [
            GroundTruth(
                np.array([mark.box for mark in labels.marks], np.float64).reshape(-1, 4),
                np.array([mark.label for mark in labels.marks], np.int64),
            )
            for labels, _ in rows
        ]
        proposed = [_read(text)[0] for _, text in rows]
        quality = proposal_quality(proposed, truths, self.session.classes)
        marks = [mark for labels, _ in rows for mark in labels.marks]
        return Checked(quality, len(marks), sum(mark.origin == "proposal" for mark in marks))

    def check(self) -> None:
        """Says how good the proposals are, once enough pictures are done."""
        if not self._told and self.proposes and sum(brief.done for brief in self.session.briefs()) >= CHECKED:
            found = self.checked(CHECKED)
            if found is not None:
                self._told = str(found)
                self._say(self._told)

    def _looked(self, known: Known) -> tuple[list[Proposal], list[float]]:
        """Proposals and appearance."""
        with self._asking:
            kept = self.session.store.proposed(known.id, self._help.name)
            if kept is not None:
                return _read(kept)
            frame = read_picture(self.session.path(known))
            proposals, looks = self._asked(known, frame), appearance(frame)
            rows = [[*map(float, p.box), p.label, float(p.score)] for p in proposals]
            text = json.dumps({"boxes": rows, "looks": [round(float(v), 3) for v in looks]}, separators=(",", ":"))
            self.session.store.propose(known.id, self._help.name, text)
            return _read(text)

    def _asked(self, known: Known, frame: Frame) -> Sequence[Proposal]:
        if self._help.proposer is not None:
            return self._help.proposer(frame)
        return (self._help.given or {}).get(known.name, ())

    def _rank_all(self) -> None:
        seen: dict[int, tuple[list[Proposal], list[float]]] = {}
        at = _FIRST
        for brief in self.session.briefs():
            if self._stop.is_set():
                return
            known = self.session.get(brief.id)
            try:
                if known is not None:
                    seen[brief.id] = self._looked(known)
            except EdgekitError as error:
                self._say(f"error: {error}")
            if len(seen) == at:
                self._rank(seen)
                at *= 2
        if seen:
            self._rank(seen)

    def _rank(self, seen: dict[int, tuple[list[Proposal], list[float]]]) -> None:
        """Puts the pictures that were looked at in order, before those that were not; those that are done come last."""
        done = {brief.id: brief.done for brief in self.session.briefs()}
        ids = list(seen)
        best = most_useful(
            [uncertainty(seen[i][0], self._help.threshold) for i in ids],
            [seen[i][1] for i in ids],
            [not seen[i][0] for i in ids],
            [done[i] for i in ids],
        )
        first = [ids[k] for k in best]
        rest = sorted((i for i in done if i not in set(first)), key=lambda i: (done[i], i))
        self._order = (self._order[0] + 1, (*first, *rest))


def _read(text: str) -> tuple[list[Proposal], list[float]]:
    given = json.loads(text)
    rows: Sequence[Sequence[Any]] = given["boxes"]
    return [Proposal((row[0], row[1], row[2], row[3]), row[4], row[5]) for row in rows], given["looks"]
