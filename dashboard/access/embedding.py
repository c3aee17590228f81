"""Embedding of shared dashboards: the response field that permits it, and the iframe to copy."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from starlette.responses import Response

from dashboard.access.guests import Theme

HEIGHT = 2_100
"""Pixels of the frame until the view in it has told its height, or where the page forbids scripts in its text."""

_RESIZE = (
    "<script>addEventListener('message',e=>document.querySelectorAll('iframe[src^=\"{source}\"]').forEach(f=>"
    "f.contentWindow==e.source&&e.data.tystHeight>0&&(f.height=e.data.tystHeight)))</script>"
)


def allow_framing(response: Response, ancestors: Sequence[str]) -> Response:
    """The answer with the right to be shown in frames of these origins, and of no other (CSP level 3, 6.4.2).

    `X-Frame-Options` knows no list of origins, and browsers that know `frame-ancestors` ignore it.
    """
    policy = response.headers.get("content-security-policy")
    if policy is not None and ancestors:
        response.headers["content-security-policy"] = policy.replace(
            "frame-ancestors 'none'", f"frame-ancestors {' '.join(ancestors)}"
        )
        if "x-frame-options" in response.headers:
            del response.headers["x-frame-options"]
        # Pages that isolate themselves (COEP) show only frames that allow it.
        response.headers["cross-origin-resource-policy"] = "cross-origin"
    return response


def embed_code(address: str, domain: str, theme: Theme = "auto") -> str:
    """The HTML that shows the view at `address` in a page, as high as the view is."""
    source = escape(f"{address}?embed=true" + (f"&theme={theme}" if theme != "auto" else ""))
    frame = (
        f'<iframe src="{source}" title="Statistics of {escape(domain)}" '
        f'width="100%" height="{HEIGHT}" loading="lazy"></iframe>'
    )
    return f"{frame}\n{_RESIZE.format(source=escape(address))}"
