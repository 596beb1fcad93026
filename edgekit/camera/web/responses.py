"""The page's text, the headers of every response, and a picture of a stream; responses themselves are Starlette's."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import lru_cache
from importlib.resources import files


@lru_cache(maxsize=1)
def page_text() -> str:
    return files("edgekit.camera.web").joinpath("page.html").read_text(encoding="utf-8")


def security_headers() -> dict[str, str]:
    """On every answer. The page's own script is named by its hash, so that no other one runs."""
    scripts = re.findall(r"<script>(.*?)</script>", page_text(), re.DOTALL)
    hashes = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    policy = {
        "default-src": "'self'",
        "script-src": " ".join(f"'sha256-{digest}'" for digest in hashes),
        "style-src": "'unsafe-inline'",
        "img-src": "'self' data:",
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
    }
    return {
        "content-security-policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "referrer-policy": "no-referrer",
        "cross-origin-resource-policy": "same-origin",
        "cache-control": "no-store",  # pictures of somebody's garden
    }


def part(jpeg: bytes) -> bytes:
    """One picture of a stream; browsers show it once the next boundary came."""
    return f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n".encode() + jpeg + b"\r\n"
