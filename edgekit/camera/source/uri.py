"""What a source's name means, and how it is told to people without its password."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit, urlunsplit

from edgekit.camera.config import SourceConfig
from edgekit.camera.source.disk.media import globbed, is_picture, is_video
from edgekit.camera.source.kinds import DATAGRAMS, FILES, GRABBERS, NO_URL
from edgekit.errors import UsageError
from edgekit.screen import HIDDEN, masked

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
# some cameras take them in the path: /user=admin_password=x_channel=1 or /user=admin&password=x
_IN_PATH = re.compile(r"(?i)((?:user|username|login|pass|password|passwd|pwd|token|auth|key|secret)=)[^/&;]*")
_EXPECTED = (
    "0, /dev/video0, csi://0, rtsp://HOST/PATH, rtmp://, srt://, udp://, http://HOST/PATH, a video, a folder or glob "
    "of videos and pictures, or synthetic://hive?seed=1&fps=20"
)
_WRITTEN = "rtsp://USER:PASSWORD@HOST:PORT/PATH, other characters percent-encoded"
_ENCODED = "write @ as %40, / as %2F, ? as %3F, # as %23 and % as %25 in user, password and path"


@dataclass(frozen=True)
class Source:
    """A source's name, taken apart.

    Attributes:
        kind: which grabber opens it, one of `GRABBERS`.
        place: what the grabber takes: a number or path of a device, an URL without user, a path or a glob.
        user, password: of an URL; "" for none.
        query: of synthetic://.
    """

    kind: str
    place: str = field(repr=False)
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    query: tuple[tuple[str, str], ...] = ()

    @property
    def live(self) -> bool:
        """Whether frames come at their own pace and the newest is the one that counts."""
        keys = dict(self.query)
        if self.kind == "synthetic":
            return "frames" not in keys or keys.get("live", "0") != "0"
        return self.kind not in FILES

    @property
    def shown(self) -> str:
        """For logs, pages and metrics: without user, password and query."""
        if self.kind in NO_URL:
            return self.place
        parts = urlsplit(self.place)
        return urlunsplit((parts.scheme, parts.netloc, _IN_PATH.sub(rf"\g<1>{HIDDEN}", parts.path), "", ""))

    def hide(self, text: str) -> str:
        """What a library said about this source, without user, password and query, as they stand and decoded."""
        text = masked(text)
        if self.kind in NO_URL:
            return text
        parts = urlsplit(self.place)
        values = [v for part in parse_qs(parts.query, keep_blank_values=True).values() for v in part]
        secrets = {self.user, self.password, parts.query, *values, *(m[0] for m in _IN_PATH.finditer(parts.path))}
        secrets |= {unquote(secret) for secret in secrets}
        for secret in sorted(secrets - {""}, key=len, reverse=True):
            text = text.replace(secret, HIDDEN)
        return text

    @property
    def secret_url(self) -> str:
        """The URL as FFmpeg and GStreamer take it, with user and password. Never for people."""
        parts = urlsplit(self.place)
        user = f"{self.user}:{self.password}@" if self.password else f"{self.user}@" if self.user else ""
        return urlunsplit((parts.scheme, user + parts.netloc, parts.path, parts.query, ""))

    @property
    def host(self) -> tuple[str, int] | None:
        """Host and port of an URL whose server can be knocked at: not of UDP, which answers nobody."""
        if self.kind in NO_URL or self.kind in DATAGRAMS:
            return None
        parts = urlsplit(self.place)
        usual = {"rtsp": 554, "rtsps": 322, "https": 443, "rtmp": 1935, "rtmps": 443}.get(parts.scheme, 80)
        return parts.hostname or "", parts.port or usual


def is_file(config: SourceConfig) -> bool:
    """Whether the source has an end and is taken as fast as it can be. Raises UsageError as `parse_source`."""
    return not (parse_source(config).live or config.real_time)


def frames_in(config: SourceConfig) -> int | None:
    """How many frames a file says it has, for an estimate; None where it does not. Raises UsageError as above."""
    source = parse_source(config)
    if source.kind == "synthetic":
        return int(dict(source.query).get("frames", 0)) or None
    if source.kind != "video":
        return None
    import cv2

    return max(0, int(cv2.VideoCapture(source.place).get(cv2.CAP_PROP_FRAME_COUNT))) or None


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


def parse_source(config: SourceConfig) -> Source:
    """What `config.uri` names. Nothing is opened.

    Raises:
        UsageError: no kind of source, a file that is not there, or a `start` that is of the future or of no file.
    """
    source = _parsed(expand(config.uri).strip())
    if config.start is not None and (source.live or config.start.timestamp() > time.time()):
        raise UsageError(
            "source.start does not fit the source.",
            got="a camera, whose frames are of now" if source.live else f"{config.start.isoformat()}, which is to come",
            expected="when the first frame of a file was taken",
            fix="leave it out" if source.live else "correct it, or leave it out",
        )
    return source


def _parsed(uri: str) -> Source:
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
    if scheme in ("rtsp", "rtsps", "http", "https", "rtmps") or (scheme in GRABBERS and scheme not in NO_URL):
        return _url(uri)
    raise UsageError("This is not a source of frames.", got=_named(uri), expected=_EXPECTED)


def printed(config: SourceConfig) -> str | None:
    """`config.uri` to be typed again; None where it holds a user, password or query that is not of the environment."""
    if parse_source(config).kind in NO_URL:
        return config.uri
    rest = _VARIABLE.sub("", config.uri)
    own = rest.rpartition("@")[0].rpartition("//")[2].strip(":")
    return None if own or "?" in rest or _IN_PATH.search(rest) else config.uri


def _named(name: str) -> str:
    """What was given as a source and is none, for a message: of what may be an address no user, password and query."""
    rest = name.rpartition("@")[2]
    told = HIDDEN + "@" + rest if rest != name else name
    if ":" in name or "//" in name or re.search(r"\?.*=", name):
        told = told.partition("?")[0] + ("?" + HIDDEN if "?" in told else "")
    scheme = re.match(r"[A-Za-z][A-Za-z0-9+.-]*:/{1,3}", name)
    return (scheme[0] if scheme and rest != name else "") + _IN_PATH.sub(rf"\g<1>{HIDDEN}", told)


def _url(uri: str) -> Source:
    uri = re.sub(r"^((?:udp|srt)://)(?=[:/]|$)", r"\g<1>0.0.0.0", uri)  # udp://:5000 listens on every address
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname, parts.port
    except ValueError:  # its words quote the password
        raise UsageError(
            "The source's URL cannot be read.",
            got="a broken host or port, or a user or password with / ? # [ ] in it",
            expected=_WRITTEN,
            fix=_ENCODED,
        ) from None
    if not host or any(c in uri for c in "\"'\\ \n\r\t"):
        raise UsageError(
            "The source's URL cannot be read.",
            got="no host" if not host else "quotes, blanks or backslashes",
            expected=_WRITTEN,
        )
    # rtsp://user:12/3@host/ has the host `user` by the rules (RFC 3986), and the rest of the password in its path
    stray = "@" in parts.path + parts.fragment or ("@" in parts.query and "@" not in parts.netloc)
    if stray:
        raise UsageError(
            "The source's URL cannot be read.",
            got="an @ behind the host, as of a password with / ? or # in it",
            expected=_WRITTEN,
            fix=_ENCODED,
        )
    netloc = (f"[{host}]" if ":" in host else host) + (f":{port}" if port else "")
    place = urlunsplit((parts.scheme.lower(), netloc, parts.path, parts.query, ""))
    kind = {"rtsps": "rtsp", "https": "http", "rtmps": "rtmp"}.get(parts.scheme.lower(), parts.scheme.lower())
    return Source(kind, place, parts.username or "", parts.password or "")


def _synthetic(uri: str) -> Source:
    parts = urlsplit(uri)
    query = {key: values[-1] for key, values in parse_qs(parts.query, keep_blank_values=True).items()}
    known = ("seed", "fps", "width", "height", "frames", "live", "hornets")
    wrong = sorted(set(query) - set(known))
    if parts.netloc != "hive" or wrong:
        raise UsageError(
            "There is no such made scene.",
            got=f"{_named(parts.netloc)} {' '.join(wrong)}".strip(),
            expected="synthetic://hive with " + ", ".join(known),
        )
    for key, value in query.items():
        if not re.fullmatch(r"\d+(\.\d+)?" if key == "fps" else r"\d+", value):
            raise UsageError(f"{key} of a made scene is a number.", got=repr(value), expected="seed=1&fps=20")
    return Source("synthetic", uri, query=tuple(sorted(query.items())))


def _local(name: str) -> Source:
    try:
        path = Path(name)
        if name and path.is_dir():
            return Source(_kind(path.iterdir()), name)
        if name and path.is_file():
            return Source("pictures" if is_picture(path) else "video", name)
        if any(c in name for c in "*?[") and (found := globbed(name)):
            return Source(_kind(found), name)
    except (OSError, ValueError) as error:  # no permission, a name that is too long, a NUL
        what = "The source cannot be looked at."
        raise UsageError(what, got=f"{_named(name)}: {getattr(error, 'strerror', '') or error}") from None
    got = _named(name) if name else "no source"
    raise UsageError("The source is not there.", got=got, expected=_EXPECTED, fix="check the path")


def _kind(paths: Iterable[Path]) -> str:
    """What several files are called together; each is read as what it is."""
    kinds = {"pictures" if is_picture(path) else "video" for path in paths if is_picture(path) or is_video(path)}
    return "video" if kinds == {"video"} else "pictures"
