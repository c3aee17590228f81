"""Host names: ASCII and Unicode forms, subdomain matching, and loopback names.

Hosts are compared in ASCII, as browsers send them (`xn--…`), and shown in Unicode. The forms follow UTS 46 without
its transitional mapping, as browsers do (`straße.de` is not `strasse.de`).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from functools import lru_cache

import idna

MAX_LENGTH = 253
"""Characters of a host name (RFC 1035, section 2.3.4)."""

_PRIVATE = frozenset(
    {"corp", "example", "home", "internal", "intranet", "invalid", "lan", "local", "localhost", "private", "test"}
)
"""Top-level names of networks of one's own (RFC 2606, 6761, 6762 appendix G)."""
_SECOND_LEVEL = frozenset({"ac", "co", "com", "edu", "go", "gob", "gov", "gv", "ltd", "mil", "ne", "net", "or", "org"})
"""Under which countries register names, as in `co.uk`."""

_ENTRY = re.compile(
    r"(?:https?://)?((?:\*\.)?[\w¡-\U0010ffff](?:[-\w.¡-\U0010ffff]*[\w¡-\U0010ffff])?|\[[0-9a-f:.]+\])"
    r"\.?(?::[0-9]{1,5})?/?"
)

_LOOPBACK = re.compile(r"(?:.+\.)?localhost|127(?:\.\d{1,3}){3}|\[?::1\]?")


def ascii_host(host: str) -> str:
    """The lower-case ASCII form of a host; empty for an invalid one."""
    return host.lower() if host.isascii() else _encoded(host)


@lru_cache(maxsize=1024)
def _encoded(host: str) -> str:
    if len(host) > MAX_LENGTH:
        return ""
    try:
        return idna.encode(host, uts46=True).decode("ascii")
    except idna.IDNAError:
        pass
    try:
        # Symbols and emoji, which IDNA 2008 excludes and some registries still sell.
        return host.lower().encode("idna").decode("ascii")
    except UnicodeError:
        return ""


@lru_cache(maxsize=1024)
def unicode_host(host: str) -> str:
    """The Unicode form of a host; the host itself where it has none."""
    if "xn--" not in host or len(host) > MAX_LENGTH:
        return host
    try:
        return idna.decode(host)
    except idna.IDNAError:
        return host


def host_entry(text: str) -> str:
    """An entry of a site's `hostnames` as pages' hosts are compared with it: lower case, without scheme and port. Empty
    for what is neither a host nor `*.` and a host."""
    found = _ENTRY.fullmatch(text.strip().lower())
    return found[1] if found else ""


def is_address(host: str) -> bool:
    """Whether a host is an address of IPv4 or IPv6, without brackets, and no name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_at_or_under(host: str, names: Collection[str]) -> bool:
    """Whether `host`, in ASCII, is one of `names` or lies below one of them."""
    while host:
        if host in names:
            return True
        host = host.partition(".")[2]
    return False


def is_shared_suffix(name: str) -> bool:
    """Whether a name, in ASCII, is one under which everybody registers names, such as `com` and `co.uk`. Of suffixes
    that only some registries and services have none is known."""
    first, dot, country = name.partition(".")
    return first not in _PRIVATE if not dot else first in _SECOND_LEVEL and len(country) == 2


def is_loopback(host: str) -> bool:
    """Whether a host is a loopback name or address (RFC 6761, section 6.3; RFC 1122, section 3.2.1.3)."""
    return _LOOPBACK.fullmatch(host) is not None
