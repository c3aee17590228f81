"""Same-origin check of forms and parts of pages, and redirects that lead nowhere else."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

from starlette.datastructures import Headers


def same_origin(headers: Headers) -> bool:
    """Whether a POST comes from a page of this origin, as far as the browser tells.

    `Sec-Fetch-Site` cannot be set by script (Fetch Metadata, W3C). Browsers send it to https and localhost only;
    elsewhere `Origin` decides. A client that sends neither is no browser, so it carries no one's cookie unasked.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = headers.get("origin")
    return origin is None or parts_of(origin).netloc == headers.get("host")


def from_own_page(headers: Headers) -> bool:
    """Whether a link on a page of this origin was followed, as far as the browser tells: for what must not begin by a
    link in a mail. Where it does not send `Sec-Fetch-Site`, the pages' policy lets it send `Referer` to this origin."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    return parts_of(headers.get("referer", "")).netloc == headers.get("host")


def is_foreign_subresource(headers: Headers) -> bool:
    """Whether a page of another site asks for this address as a part of itself: an image, a frame, a fetch. How long
    the answer takes, or how large it is, must not tell that page anything. Browsers that navigate here are none."""
    # For a WebSocket Chromium sends `Origin` and no Fetch Metadata; a navigation by GET has no `Origin`.
    navigates = (headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")) == ("navigate", "document")
    return not navigates and not same_origin(headers)


def safe_target(target: str) -> str:
    """A path on this server to go to after signing in; anything that could lead elsewhere becomes `/`."""
    parts = parts_of(target)
    plain = target.startswith("/") and not target.startswith(("//", "/\\")) and target.isprintable()
    return target if plain and not parts.scheme and not parts.netloc and "\\" not in target else "/"


def parts_of(address: str) -> SplitResult:
    """The parts of an address that anybody may have written; of one that cannot be read, empty ones."""
    try:
        return urlsplit(address)
    except ValueError:
        return SplitResult("", "", "", "", "")
