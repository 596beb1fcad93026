"""Opens whatever kind of source there is."""

from __future__ import annotations

from importlib import import_module

from edgekit.camera.config import SourceConfig
from edgekit.camera.source.grabber import Grabber
from edgekit.camera.source.kinds import GRABBERS
from edgekit.camera.source.uri import Source


def open_grabber(source: Source, config: SourceConfig) -> Grabber:
    """Opens `source`, or raises within `config.open_timeout`.

    Raises:
        SourceError: it is not there, refuses, or does not answer; worth trying again.
        BackendError: this OpenCV cannot.
    """
    module, opener = GRABBERS[source.kind]
    grabber: Grabber = getattr(import_module(module), opener)(source, config)
    return grabber
