"""The headers of every answer."""

from __future__ import annotations

from edgekit.serving.token_auth import STYLE_HASH


def security_headers(scripts: str = "'self'", styles: str = "'self'", pictures: str = "'self' data:") -> dict[str, str]:
    """What a browser may do with a page: run `scripts`, take `styles` and `pictures`, and nothing from or for another
    site. The form that asks for a token has its style with it, which is named by its hash.

    Args:
        scripts, styles, pictures: sources as a Content-Security-Policy has them (W3C CSP3, section 2.3.1).
    """
    policy = {
        "default-src": "'self'",
        "script-src": scripts,
        "style-src": f"{styles} {STYLE_HASH}",
        "img-src": pictures,
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
