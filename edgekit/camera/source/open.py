"""Which grabber a source needs. A new kind of source is one file beside this one and one line here."""

from __future__ import annotations

from edgekit.camera.config import SourceConfig
from edgekit.camera.source.capture import CaptureGrabber
from edgekit.camera.source.disk.files import FilesGrabber
from edgekit.camera.source.grabber import Grabber
from edgekit.camera.source.made import MadeGrabber
from edgekit.camera.source.mjpeg import open_mjpeg
from edgekit.camera.source.uri import Source


def open_grabber(source: Source, config: SourceConfig) -> Grabber:
    """Opens `source`, or raises within `config.open_timeout`.

    Raises:
        SourceError: it is not there, refuses, or does not answer; worth trying again.
        BackendError: this OpenCV cannot.
    """
    if source.kind == "synthetic":
        return MadeGrabber(source, config)
    if source.kind in ("pictures", "video"):
        return FilesGrabber(source.place, config)
    if source.kind == "http":
        grabber = open_mjpeg(source, config)  # finds out whether it is MJPEG
        if grabber is not None:
            return grabber
    return CaptureGrabber(source, config)
