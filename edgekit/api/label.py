"""Pictures get boxes from a person, on a page in a browser."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgekit.labels.session import Session
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
    """

    out: Path
    pictures: int
    done: int
    boxes: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {**asdict(self), "out": str(self.out)}


def label(
    path: str | os.PathLike[str],
    *,
    out: str | os.PathLike[str] | None = None,
    classes: Sequence[str] = (),
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
        out: where labels are written, as YOLO: a new folder gets a data set of its own, the pictures hard-linked or
            copied. None writes them beside the pictures; not where there are labels that others wrote.
        classes: names in the order of the labels; more can be named on the page.
        host: where the page listens; other than this machine's own address it needs a `token`.
        port: 0 is any free one.
        token: 16 characters or more that whoever opens the page from elsewhere must bring.
        seconds: stop after so long. None is until Ctrl-C, or until `until` is set.
        until: ends it from another thread.
        say: called with a line for whatever is to be told, such as the page's address.

    Raises:
        DataError: no pictures, or labels that cannot be read.
        UsageError: a folder `out` that has other things, labels of others without `out`, a port that is taken.
        BusyError: the folder is being labelled by another process.
        OutputError: it cannot be written.
    """
    from edgekit.labels.web.server import LabelPage

    bring = required_token(host, token, "token", "--token {value}, or --host 127.0.0.1")
    session = Session(Path(path), None if out is None else Path(out), classes, say)
    try:
        page = LabelPage(session, host, port, bring, say)
        page.start()
        try:
            say(f"{page.url} has the page; Ctrl-C ends it, and it goes on from there the next time")
            (until or threading.Event()).wait(seconds)
        except KeyboardInterrupt:
            say("stopped: all that was saved is on the disk")
        finally:
            page.stop()
        tally = session.tally()
        return Labelled(session.out, tally.pictures, tally.done, tally.boxes)
    finally:
        session.close()
