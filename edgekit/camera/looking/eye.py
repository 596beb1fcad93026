"""A camera's look at a frame: by the model that it shares with others, in its turn."""

from __future__ import annotations

import time
from functools import partial

from edgekit.camera.detect.lookahead import Lookahead
from edgekit.camera.detect.motion import Motion
from edgekit.camera.health import Health
from edgekit.camera.looking.turns import Turns
from edgekit.camera.problems import Say
from edgekit.camera.rules import Rules
from edgekit.camera.source.feed.base import Feed, Shot
from edgekit.camera.source.grabber import Ended
from edgekit.errors import EdgekitError
from edgekit.vision.results import Detections


class Eye:
    """Looks at frames of one camera.

    Args:
        name: of the camera, for its turns.
        health: is told what went wrong.
        say: takes lines for people.
    """

    def __init__(self, name: str, turns: Turns, health: Health, say: Say) -> None:
        self._turn, self._health, self._say = partial(turns.turn, name), health, say
        self._ahead = Lookahead(self._turn)
        self._since: float | None = None

    @property
    def looks_for(self) -> float:
        """Seconds that the look that goes on has taken; waiting for a frame, or for a turn, is none."""
        since = self._since
        return 0.0 if since is None else time.monotonic() - since

    def prepare(self, feed: Feed) -> None:
        """Looks at a file's frames ahead of the loop, where its rules allow that."""
        feed.prepare = self._ahead.begin

    def follow(self, rules: Rules) -> None:
        """Looks ahead by these rules from now on."""
        self._ahead.watch(rules.detector, rules.config)

    def look(
        self, shot: Shot, motion: Motion | None, rules: Rules, feed: Feed
    ) -> tuple[Shot, Detections | None, float | None]:
        """The frame that was looked at, what is in it, and the seconds that took; neither where the model failed.

        While the others had their turns a newer frame may have come: then that one is looked at.

        Raises:
            EdgekitError: of a file; a live camera goes on with its next frame.
        """
        try:
            detector, glance = rules.detector, shot.ready
            if glance is not None and glance.detector is detector:  # it is another one's after a reload
                seen, seconds = glance.answer.result()
            else:
                with self._turn():
                    shot = _newer(feed, shot) if motion is None else shot
                    begun = self._since = time.monotonic()
                    seen = detector.look(shot.frame, motion)
                    seconds = time.monotonic() - begun
            return shot, rules.kept(seen, shot.frame.shape), seconds
        except Exception as error:  # one bad frame must not end a season
            if not feed.live and isinstance(error, EdgekitError):
                raise
            told = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            if self._health.model_problem != told:
                self._say(f"error: the model failed on frame {shot.index}: {told}")
            self._health.failed(told)
            return shot, None, None
        finally:
            self._since = None

    def close(self) -> None:
        """Ends the threads that look ahead."""
        self._ahead.close()


def _newer(feed: Feed, shot: Shot) -> Shot:
    """A live camera's newest frame, in the place of one that waited for its turn."""
    try:
        newer = feed.next(0) if feed.live else None
    except Ended:  # which the next step hears again
        newer = None
    if newer is None:
        return shot
    feed.counters.processed -= 1
    feed.counters.dropped += 1
    return newer
