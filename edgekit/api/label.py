"""Pictures get boxes from a person, on a page in a browser."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from edgekit.data.layouts.folder import load_folder
from edgekit.data.names import ALL
from edgekit.errors import UsageError
from edgekit.labels.assistant import Assistant, Help
from edgekit.labels.marked import Marked, find_marked
from edgekit.labels.proposals.base import Segmenter
from edgekit.labels.proposals.detector import DetectorProposer
from edgekit.labels.proposals.folders.proposer import learn
from edgekit.labels.proposals.folders.sides import sides_of
from edgekit.labels.proposals.mask_net import open_mask_net
from edgekit.labels.proposals.quality import ProposalQuality
from edgekit.labels.proposals.sam.segmenter import open_segment_anything
from edgekit.labels.session import Session
from edgekit.loading import open_predictor
from edgekit.serving.token_auth import required_token

Say = Callable[[str], None]
PORT = 8770


@dataclass(frozen=True)
class Labelled:
    """What came of labelling.

    Attributes:
        out: the folder with the data.yaml, for `edgekit train --data`.
        pictures: how many there are.
        done: how many of them somebody called done; these are the data set.
        boxes: objects in these, by class.
        quality: of the proposals, against the pictures that are done; None where nothing was proposed for any.
        accepted: objects that are accepted proposals, which agree with them by themselves.
    """

    out: Path
    pictures: int
    done: int
    boxes: dict[str, int]
    quality: ProposalQuality | None = None
    accepted: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        quality = self.quality.to_dict() if self.quality else None
        return {**asdict(self), "out": str(self.out), "quality": quality}


def label(
    path: str | os.PathLike[str] | None = None,
    *,
    store: str | os.PathLike[str] | None = None,
    out: str | os.PathLike[str] | None = None,
    classes: Sequence[str] = (),
    model: str | os.PathLike[str] | None = None,
    sam: Sequence[str | os.PathLike[str]] | None = None,
    mask: str | os.PathLike[str] | None = None,
    folders: bool | str = False,
    blind: int = 0,
    host: str = "127.0.0.1",
    port: int = PORT,
    token: str | None = None,
    seconds: float | None = None,
    until: threading.Event | None = None,
    say: Say = lambda line: None,
) -> Labelled:
    """Serves a page on which the pictures of a folder are given boxes, until it is stopped.

    Every change is on the disk before the page calls it saved; called again, it goes on where it was left.

    Args:
        path: a folder of pictures, or a data set with boxes of any layout that edgekit reads.
        store: instead of `path`, the folder of a camera's store: the frames of visits that were marked on its page,
            with what the model found in them as proposals, put right by the marks.
        out: where labels are written, as YOLO: a new folder gets a data set of its own, the pictures hard-linked or
            copied. None writes them beside the pictures; not where there are labels that others wrote. Of a `store`
            None is a folder beside it, NAME-labelled.
        classes: names in the order of the labels; more can be named on the page.
        model: any detector that edgekit opens: it proposes boxes, and the most useful pictures come first.
        sam: an image encoder and a mask decoder as ONNX, in a usual Segment Anything layout: a click or a drawn box
            becomes the box of the thing there.
        mask: instead of `sam`, a saliency or mask network as ONNX: a drawn box becomes that of the thing in it.
        folders: the pictures lie in two class folders, present and absent, and nobody drew boxes: absent ones are done,
            with no boxes. In present ones the `model` proposes its class of that name, or all it finds under that name
            where it has none; without a model what stands out and looks like nothing in absent ones is proposed. A name
            says which folder is the absent one.
        blind: that many pictures are labelled without seeing proposals, so that these are measured on them.
        host: where the page listens; other than this machine's own address it needs a `token`.
        port: 0 is any free one.
        token: 16 characters or more that whoever opens the page from elsewhere must bring.
        seconds: stop after so long. None is until Ctrl-C, or until `until` is set.
        until: ends it from another thread.
        say: called with a line for whatever is to be told, such as the page's address.

    Raises:
        DataError: no pictures, or labels that cannot be read.
        UsageError: a folder `out` that has other things, labels of others without `out`, a port that is taken, a
            model that is no detector, `sam` of other than two files or beside `mask`, `folders` beside `store`, or not
            one of `path` and `store`.
        ArtifactError: a model or segmenter that must not run here.
        BusyError: the folder is being labelled by another process.
        OutputError: it cannot be written.
    """
    from edgekit.labels.web.server import LabelPage

    bring = required_token(host, token, "token", "--token {value}, or --host 127.0.0.1")
    with ExitStack() as open_now:
        segmenter = _segmenter(sam, mask, open_now, say)
        source, place = _source(path, store, None if out is None else Path(out))
        helped, names, empty = _proposals(source, model, folders, open_now)
        helped = replace(helped, segmenter=segmenter, blind=blind)
        pictures = source.found if isinstance(source, Marked) else source
        session = Session(pictures, place, classes or names, say, empty)
        open_now.callback(session.close)
        assistant = Assistant(session, helped, say)
        page = LabelPage(assistant, host, port, bring, say)
        open_now.callback(page.stop)
        open_now.callback(assistant.stop)
        try:
            page.start()
            assistant.start()
            say(f"{page.url} has the page; Ctrl-C ends it, and it goes on from there the next time")
            (until or threading.Event()).wait(seconds)
        except KeyboardInterrupt:
            say("stopped: all that was saved is on the disk")
        assistant.stop()
        page.stop()
        tally, checked = session.tally(), assistant.checked()
        quality = checked.quality if checked else None
        return Labelled(
            session.out, tally.pictures, tally.done, tally.boxes, quality, checked.accepted if checked else 0
        )


def _source(
    path: str | os.PathLike[str] | None, store: str | os.PathLike[str] | None, out: Path | None
) -> tuple[Path | Marked, Path | None]:
    """What is labelled, and where the labels go."""
    if store is None and path is not None:
        return Path(path), out
    if store is None or path is not None:
        raise UsageError(
            "One place has the pictures.", got="none" if store is None else f"{path} and the store {store}",
            expected="a folder of pictures, or --from and a camera's store",
        )  # fmt: skip
    folder = Path(store).absolute()
    return find_marked(Path(store)), out or folder.with_name(f"{folder.name}-labelled")


def _proposals(
    source: Path | Marked, model: str | os.PathLike[str] | None, folders: bool | str, open_now: ExitStack
) -> tuple[Help, tuple[str, ...], frozenset[Path]]:
    """What proposes, the names of its classes, and pictures that are known to be empty."""
    if folders and isinstance(source, Marked):
        raise UsageError(
            "A camera's store has no class folders.", got="a store, and folders", expected="one of the two"
        )
    if isinstance(source, Marked) and model is None:
        return Help(given=source.proposals, name=source.name), source.classes, frozenset()
    sides, dataset, empty = None, None, frozenset[Path]()
    if folders and isinstance(source, Path):
        dataset = load_folder(source, None, ALL)  # a data.yaml of ours may lie there by now
        sides = sides_of(dataset, folders if isinstance(folders, str) else None)
        pairs = zip(dataset, sides.of, strict=True)
        empty = frozenset(sample.path for sample, present in pairs if not present and sample.path is not None)
    if model is not None:
        wanted = None if sides is None else sides.present
        proposer = DetectorProposer(open_now.enter_context(open_predictor(model)), only=wanted)
        own = proposer.predictor.spec.thresholds or (0.3,)
        meant = source.classes if isinstance(source, Marked) else ()  # the model may not know all of them
        names = tuple(dict.fromkeys((*proposer.classes, *meant)))
        name = f"{proposer.predictor.sha256} {wanted or ''}".strip()
        return Help(proposer, name=name, threshold=sum(own) / len(own)), names, empty
    if dataset is None or sides is None:
        return Help(), (), empty
    learnt = learn(dataset, sides)
    name = hashlib.sha256(learnt.ranking.direction.tobytes() + repr(learnt.ranking.half).encode()).hexdigest()
    return Help(learnt, name=name, threshold=0.5), (sides.present,), empty


def _segmenter(
    sam: Sequence[str | os.PathLike[str]] | None, mask: str | os.PathLike[str] | None, open_now: ExitStack, say: Say
) -> Segmenter | None:
    if mask is not None and sam is not None:
        raise UsageError("One network is asked for masks.", got="sam and mask", expected="one of the two")
    if mask is not None:
        net = open_mask_net(mask)
        open_now.callback(net.close)
        return net
    if sam is None:
        return None
    files = [sam] if isinstance(sam, (str, os.PathLike)) else list(sam)
    if len(files) != 2:
        raise UsageError("A segmenter is two files.", got=str(len(files)), expected="an encoder and a decoder")
    pair = open_segment_anything(files[0], files[1], say=say)
    open_now.callback(pair.close)
    return pair
