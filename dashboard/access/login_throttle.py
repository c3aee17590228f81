"""Throttling of sign-in attempts, and the same-origin check of forms."""

from __future__ import annotations

import hashlib
import math
import secrets
from collections import OrderedDict, deque
from collections.abc import Callable
from urllib.parse import SplitResult, urlsplit

from starlette.datastructures import Headers


class LoginThrottle:
    """Counts failed sign-ins for a window of time, per network, and per name from one network.

    A name alone locks nobody out: else anybody could keep `admin` from signing in. A network is an IPv4 address or an
    IPv6 /64; callers pass it as such. In memory and bounded. Names and networks are kept only as hashes under a key
    that dies with the process. `clock` gives seconds.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        per_name: int = 10,
        per_network: int = 20,
        window: float = 15 * 60,
        capacity: int = 20_000,
    ) -> None:
        self._clock = clock
        self._limits = {"name": per_name, "network": per_network}
        self._window = window
        self._capacity = capacity
        self._key = secrets.token_bytes(32)
        self._failures: OrderedDict[bytes, deque[float]] = OrderedDict()

    @property
    def held(self) -> int:
        """How many names and networks are tracked at present."""
        return len(self._failures)

    def wait(self, name: str, network: str) -> int:
        """Seconds until this name may be tried again from this network; 0 is now."""
        return max(self._wait(kind, value) for kind, value in _counted(name, network))

    def count(self, name: str, network: str) -> None:
        """Note an attempt. Done before the password is checked, so that many at once gain nothing."""
        for kind, value in _counted(name, network):
            key = self._hashed(kind, value)
            times = self._failures.setdefault(key, deque(maxlen=self._limits[kind]))
            times.append(self._clock())
            self._failures.move_to_end(key)
        while len(self._failures) > self._capacity:
            self._failures.popitem(last=False)

    def reset(self, name: str, network: str) -> None:
        """Forget the attempts under this name after a successful one, and that one of the network.

        Not all of the network: who has one account could otherwise try passwords of others without end.
        """
        under_name, of_network = _counted(name, network)
        self._failures.pop(self._hashed(*under_name), None)
        times = self._failures.get(self._hashed(*of_network))
        if times:
            times.pop()

    def refund(self, name: str, network: str) -> None:
        """Take back the last attempt: it was never tried."""
        for kind, value in _counted(name, network):
            times = self._failures.get(self._hashed(kind, value))
            if times:
                times.pop()

    def _wait(self, kind: str, value: str) -> int:
        times = self._failures.get(self._hashed(kind, value))
        if times is None or len(times) < self._limits[kind]:
            return 0
        return max(0, math.ceil(times[0] + self._window - self._clock()))

    def _hashed(self, kind: str, value: str) -> bytes:
        text = f"{kind}\0{value}".encode("utf-8", "surrogatepass")
        return hashlib.blake2b(text, digest_size=16, key=self._key).digest()


def _counted(name: str, network: str) -> tuple[tuple[str, str], tuple[str, str]]:
    """What an attempt counts for, by kind of limit."""
    return ("name", f"{network}\0{name}"), ("network", network)


def same_origin(headers: Headers) -> bool:
    """Whether a POST comes from a page of this origin, as far as the browser tells.

    `Sec-Fetch-Site` cannot be set by script (Fetch Metadata, W3C). Browsers send it to https and localhost only;
    elsewhere `Referral` decides. A client that sends neither is no browser, so it carries no one's cookie unasked.
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
    foreign = headers.get("sec-fetch-site", "none") not in ("same-origin", "none")
    return foreign and (headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")) != ("navigate", "document")


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
