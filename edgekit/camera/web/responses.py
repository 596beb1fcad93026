"""The page's text, the headers of every response, and a picture of a stream; responses themselves are Starlette's."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import lru_cache
from importlib.resources import files

from edgekit.serving.headers import security_headers


@lru_cache(maxsize=1)
def page_text() -> str:
    return files("edgekit.camera.web").joinpath("page.html").read_text(encoding="utf-8")


def page_headers() -> dict[str, str]:
    """On every answer. The page's own script is named by its hash, so that no other one runs."""
    scripts = re.findall(r"<script>(.*?)</script>", page_text(), re.DOTALL)
    hashes = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    return security_headers(" ".join(f"'sha256-{digest}'" for digest in hashes), "'unsafe-inline'")


def part(jpeg: bytes) -> bytes:
    """One picture of a stream; browsers show it once the next boundary came."""
    return f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n".encode() + jpeg + b"\r\n"
