"""Which feed a source needs: the newest frame of a camera, all of a file."""

from __future__ import annotations

from edgekit.camera.config import SourceConfig
from edgekit.camera.problems import Say
from edgekit.camera.source.feed.base import Feed, Opener
from edgekit.camera.source.feed.file import AHEAD, FileFeed
from edgekit.camera.source.feed.live import LiveFeed
from edgekit.camera.source.open import open_grabber
from edgekit.camera.source.uri import is_file, parse_source


def make_feed(config: SourceConfig, opener: Opener = open_grabber, say: Say = print, ahead: int = AHEAD) -> Feed:
    """The feed of what `config.uri` names, not started. Raises UsageError as `parse_source`."""
    source = parse_source(config)
    return FileFeed(source, config, opener, say, ahead) if is_file(config) else LiveFeed(source, config, opener, say)
