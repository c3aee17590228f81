"""Values of the settings of OpenID Connect: the issuer, roles by value of a claim, and domains of e-mail addresses."""

from __future__ import annotations

from urllib.parse import urlsplit

LOOPBACK = ("127.0.0.1", "::1", "localhost")
ROLES = ("admin", "owner", "viewer")


def read_issuer(text: str) -> str:
    """The issuer as it is written, as it is compared to the letter. Raises `ValueError`."""
    if not text:
        return ""
    url = urlsplit(text)
    secure = url.scheme == "https" or (url.scheme == "http" and url.hostname in LOOPBACK)
    if not secure or not url.hostname or url.query or url.fragment or url.username:
        raise ValueError("expected an address such as https://accounts.example.com, with https")
    return text


def read_roles(text: str) -> tuple[tuple[str, str], ...]:
    """Pairs of a claim's value and a role, from `staff=owner, chiefs=admin`. Raises `ValueError`."""
    pairs = []
    for part in filter(None, map(str.strip, text.split(","))):
        value, _, role = part.rpartition("=")
        if not value.strip() or role.strip() not in ROLES:
            raise ValueError("expected pairs such as staff=owner, with one of the roles admin, owner and viewer")
        pairs.append((value.strip(), role.strip()))
    return tuple(pairs)


def read_domains(text: str) -> tuple[str, ...]:
    """Domains in small letters, from `example.com, example.org`. Raises `ValueError`."""
    domains = tuple(filter(None, (part.strip().lower() for part in text.split(","))))
    if any("@" in domain or "." not in domain for domain in domains):
        raise ValueError("expected domains such as example.com, separated by commas")
    return domains
