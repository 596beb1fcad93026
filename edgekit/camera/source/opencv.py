"""OpenCV for videos: silent, and within the limits of docs/limits.md."""

from __future__ import annotations

import os
from typing import Any

from edgekit.errors import SourceError
from edgekit.reading.limits import PIXELS


def refuse_size(cv2: Any, capture: Any, shown: str) -> None:
    """Raises SourceError where a video says that its frames are larger than any picture may be (docs/limits.md)."""
    width, height = (float(capture.get(key)) for key in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    if width * height > PIXELS:
        capture.release()
        raise SourceError(
            "The frames of this video are too large.",
            got=f"{width:.0f} x {height:.0f} pixels from {shown}",
            expected=f"edgekit's limit of {PIXELS // 10**6} million pixels or less (docs/limits.md)",
            fix="convert it to a smaller size",
        )


def quiet_cv2() -> Any:
    """cv2 with its logs off, whatever the environment says, before FFmpeg or GStreamer can print an address with its
    password to stderr; RTSP over TCP."""
    os.environ["OPENCV_FFMPEG_LOGLEVEL"] = "-8"
    os.environ["OPENCV_LOG_LEVEL"] = "SILENT"
    for name in ("OPENCV_FFMPEG_DEBUG", "OPENCV_VIDEOIO_DEBUG", "GST_DEBUG"):
        os.environ.pop(name, None)
    os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_transport;tcp")
    import cv2

    logging = getattr(cv2.utils, "logging", None)
    if logging is not None:
        logging.setLogLevel(logging.LOG_LEVEL_SILENT)
    return cv2
