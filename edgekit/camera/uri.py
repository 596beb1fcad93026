"""What a source's name means, and how it is told to people without its password."""

from __future__ import annotations

import glob as globs
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qs, unquote, urlsplit, urlunsplit

from edgekit.camera.config import SourceConfig
from edgekit.errors import UsageError
from edgekit.vision.image import SUFFIXES

Kind = Literal["device", "csi", "rtsp", "http", "video", "pictures", "synthetic"]

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_EXPECTED = (
    "0, /dev/video0, csi://0, rtsp://HOST/PATH, http://HOST/PATH, a video file, a folder or glob of pictures, "
    "or synthetic://hive?seed=1&fps=20"
)


@dataclass(frozen=True)
class Source:
    """A source's name, taken apart.

    Attributes:
        kind: which grabber opens it.
        place: what the grabber takes: a number or path of a device, an URL without user, a path or a glob.
        user, password: of an URL; "" for none.
        query: of synthetic://.
    """

    kind: Kind
    place: str
    user: str = ""
    password: str = ""
    query: tuple[tuple[str, str], ...] = ()

    @property
    def live(self) -> bool:
        """Whether frames come at their own pace and the newest is the one that counts."""
        keys = dict(self.query)
        made = self.kind == "synthetic" and ("frames" not in keys or keys.get("live", "0") != "0")
        return made or self.kind in ("device", "csi", "rtsp", "http")

    @property
    def shown(self) -> str:
        """For logs, pages and metrics: without user, password and query."""
        if self.kind not in ("rtsp", "http"):
            return self.place
        parts = urlsplit(self.place)
        return urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))

    @property
    def secret_url(self) -> str:
        """The URL as FFmpeg and GStreamer take it, with user and password. Never for people."""
        parts = urlsplit(self.place)
        user = f"{self.user}:{self.password}@" if self.password else f"{self.user}@" if self.user else ""
        return urlunsplit((parts.scheme, user + parts.netloc, parts.path, parts.query, ""))

    @property
    def host(self) -> tuple[str, int] | None:
        """Host and port of an URL."""
        if self.kind not in ("rtsp", "http"):
            return None
        parts = urlsplit(self.place)
        usual = {"rtsp": 554, "rtsps": 322, "https": 443}.get(parts.scheme, 80)
        return parts.hostname or "", parts.port or usual


def is_file(config: SourceConfig) -> bool:
    """Whether the source has an end and is taken as fast as it can be. Raises UsageError as `parse_source`."""
    return not (parse_source(config).live or config.real_time)


def expand(text: str) -> str:
    """`text` with `${NAME}` taken from the environment. Raises UsageError for a name that is not there."""

    def value(match: re.Match[str]) -> str:
        found = os.environ.get(match[1])
        if found is None:
            raise UsageError(
                f"The environment has no {match[1]}.",
                expected=f"a value for ${{{match[1]}}}",
                fix=f"export {match[1]}=..., or EnvironmentFile= in the systemd unit",
            )
        return found

    return _VARIABLE.sub(value, text)


def globbed(pattern: str) -> list[str]:
    """The paths that a shell's pattern names, sorted."""
    return sorted(globs.glob(pattern))  # noqa: PTH207 - Path.glob takes no absolute patterns


def parse_source(config: SourceConfig) -> Source:
    """What `config.uri` names. Nothing is opened.

    Raises:
        UsageError: no kind of source, or a file that is not there.
    """
    uri = expand(config.uri).strip()
    if uri.isdigit() or uri.startswith("/dev/"):
        return Source("device", uri)
    scheme, separator, rest = uri.partition("://")
    if not separator:
        return _local(uri)
    scheme = scheme.lower()
    if scheme == "csi" and rest.isdigit():
        return Source("csi", uri)
    if scheme == "file":
        return _local(unquote(rest))
    if scheme == "synthetic":
        return _synthetic(uri)
    if scheme in ("rtsp", "rtsps", "http", "https"):
        return _url(uri)
    raise UsageError("This is no source of frames.", got=scheme + "://" if rest else uri, expected=_EXPECTED)


def _url(uri: str) -> Source:
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError("The source's URL cannot be read.", got="a broken host or port", expected=_EXPECTED) from error
    if not host or any(c in uri for c in "\"'\\ \n\r\t"):
        raise UsageError(
            "The source's URL cannot be read.",
            got="no host" if not host else "quotes, blanks or backslashes",
            expected="rtsp://USER:PASSWORD@HOST:PORT/PATH, other characters percent-encoded",
        )
    netloc = (f"[{host}]" if ":" in host else host) + (f":{port}" if port else "")
    place = urlunsplit((parts.scheme.lower(), netloc, parts.path, parts.query, ""))
    kind: Kind = "rtsp" if parts.scheme.lower().startswith("rtsp") else "http"
    return Source(kind, place, parts.username or "", parts.password or "")


def _synthetic(uri: str) -> Source:
    parts = urlsplit(uri)
    query = {key: values[-1] for key, values in parse_qs(parts.query, keep_blank_values=True).items()}
    known = ("seed", "fps", "width", "height", "frames", "live")
    wrong = sorted(set(query) - set(known))
    if parts.netloc != "hive" or wrong:
        raise UsageError(
            "There is no such made scene.",
            got=f"{parts.netloc} {' '.join(wrong)}".strip(),
            expected="synthetic://hive with " + ", ".join(known),
        )
    for key, value in query.items():
        if not re.fullmatch(r"\d+(\.\d+)?" if key == "fps" else r"\d+", value):
            raise UsageError(f"{key} of a made scene is a number.", got=repr(value), expected="seed=1&fps=20")
    return Source("synthetic", uri, query=tuple(sorted(query.items())))


def _local(name: str) -> Source:
    path = Path(name)
    if name and path.is_dir():
        return Source("pictures", name)
    if name and path.is_file():
        return Source("pictures" if path.suffix.lower() in SUFFIXES else "video", name)
    if any(c in name for c in "*?[") and globbed(name):
        return Source("pictures", name)
    raise UsageError("The source is not there.", got=name or "no source", expected=_EXPECTED, fix="check the path")
