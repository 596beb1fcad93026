"""The kinds of sources: the module, imported only here, and what in it opens one, as (Source, SourceConfig) -> Grabber.

A name that is none of edgekit's own schemes (`edgekit.camera.source.uri`) is a scheme of its own: NAME://HOST/PATH.
"""

from __future__ import annotations

GRABBERS: dict[str, tuple[str, str]] = {
    "device": ("edgekit.camera.source.capture", "CaptureGrabber"),
    "csi": ("edgekit.camera.source.capture", "CaptureGrabber"),
    "rtsp": ("edgekit.camera.source.capture", "CaptureGrabber"),
    "http": ("edgekit.camera.source.http.link", "open_http"),
    "rtmp": ("edgekit.camera.source.capture", "CaptureGrabber"),
    "srt": ("edgekit.camera.source.capture", "CaptureGrabber"),
    "udp": ("edgekit.camera.source.capture", "CaptureGrabber"),
    "video": ("edgekit.camera.source.disk.files", "open_files"),
    "pictures": ("edgekit.camera.source.disk.files", "open_files"),
    "synthetic": ("edgekit.camera.source.made", "MadeGrabber"),
}
NO_URL = ("device", "csi", "video", "pictures", "synthetic")  # whose names hold no host, user and password
DATAGRAMS = ("srt", "udp")  # which no TCP connection reaches
FILES = ("video", "pictures")  # which have an end
