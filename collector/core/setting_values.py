"""Values of settings, read from text. Each raises `ValueError` for a text that it cannot use."""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable
from email.utils import parseaddr
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from collector.core.mail_address import is_mail_address

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
SiteNetwork = tuple[str, Network]
"""A site's domain, or an empty text for every site; and a network."""

SMTP_SECURITY = {"tls": 465, "starttls": 587, "none": 25}
"""Kinds of connection to a mail server, with their usual ports."""

LOG_LEVELS = ("debug", "info", "warning", "error")

# A name or an address in brackets, and a port.
_PUBLIC_HOST = re.compile(r"(?:[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_PUBLIC_PATH = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*/?")
DSN_OPTIONS = (
    "ca_cert", "client_cert", "client_cert_key", "compress", "connect_timeout", "http_proxy", "https_proxy",
    "send_receive_timeout", "server_host_name", "tls_mode", "verify",
)  # fmt: skip
"""Options of the driver that the DSN of a server may have."""


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """Whole numbers within bounds; digits may be grouped by underscores."""

    def parse(text: str) -> int:
        digits = text.replace("_", "")
        if not digits.isdecimal() or not least <= int(digits) <= most:
            raise ValueError(f"expected a whole number from {least} to {most}")
        return int(digits)

    return parse


def seconds(least: float, most: float) -> Callable[[str], float]:
    """Seconds within bounds, with a fraction or without."""

    def parse(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not least <= number <= most:
            raise ValueError(f"expected a number of seconds from {least:g} to {most:g}")
        return number

    return parse


def read_log_level(text: str) -> str:
    """One of `LOG_LEVELS`, in small letters."""
    if text.lower() not in LOG_LEVELS:
        raise ValueError(f"expected one of {', '.join(LOG_LEVELS)}")
    return text.lower()


def read_networks(text: str) -> tuple[Network, ...]:
    """Addresses and networks, from `10.0.0.0/8, 192.0.2.7`."""
    return tuple(ipaddress.ip_network(part.strip(), strict=False) for part in text.split(",") if part.strip())


def read_site_networks(text: str) -> tuple[SiteNetwork, ...]:
    """The same, each with the site that it is for, without `www.`, from `example.com=192.0.2.7`."""
    entries = []
    for part in filter(None, map(str.strip, text.split(","))):
        site, _, network = part.rpartition("=")
        entries.append((site.strip().lower().removeprefix("www."), ipaddress.ip_network(network.strip(), strict=False)))
    return tuple(entries)


def read_public_url(text: str) -> str:
    """Scheme, host and path of an address, without a slash at its end."""
    if not text:
        return ""
    url = urlsplit(text)
    plain = _PUBLIC_PATH.fullmatch(url.path) and not (url.query or url.fragment or url.username or url.password)
    if url.scheme not in ("http", "https") or not url.hostname or not plain or not _PUBLIC_HOST.fullmatch(url.netloc):
        raise ValueError("expected an address such as https://stats.example.com or https://example.com/stats")
    if url.port == 0:
        raise ValueError("expected a port from 1 to 65535")
    return f"{url.scheme}://{url.netloc.lower()}{url.path.rstrip('/')}"


def read_optional(text: str) -> str | None:
    """The text, or None where it is empty."""
    return text or None


def read_existing_file(text: str) -> Path | None:
    """The path of a file that there is, or None where the text is empty."""
    if not text:
        return None
    path = Path(text)
    try:
        found = path.is_file()
    except OSError as error:
        raise ValueError(f"the file cannot be looked up: {error.strerror}") from None
    if not found:
        raise ValueError("there is no such file")
    return path


def read_dsn(text: str) -> str:
    """Where ClickHouse is, as the driver takes it."""
    if not text.startswith(("chdb://", "http://", "https://")):
        raise ValueError("expected chdb:///directory, http://… or https://…")
    if not text.startswith("chdb://") and not _is_readable(text):
        raise ValueError(
            "expected http(s)://user:password@host:port/database; "
            "write special characters of a password as percent and two digits, such as %40 for @ and %23 for #"
        )
    options = [] if text.startswith("chdb://") else parse_qsl(urlsplit(text).query, keep_blank_values=True)
    if any(name not in DSN_OPTIONS for name, _ in options):
        among = f"{', '.join(DSN_OPTIONS[:-1])} or {DSN_OPTIONS[-1]}"
        raise ValueError(f"expected http(s)://user:password@host:port/database, and as options only {among}")
    for name, value in options:
        if name.endswith("timeout") and not (value.isascii() and value.isdecimal() and int(value)):
            raise ValueError(f"expected a whole number of seconds for {name}")
    return text


def embedded_directory(dsn: str) -> Path:
    """The directory that a DSN of an embedded database names. It is no address: `#`, `?` and `%` are characters."""
    return Path(dsn.removeprefix("chdb://"))


def _is_readable(url: str) -> bool:
    """Whether an address has a host and a port that are meant as such. Says nothing of the address where it has not:
    a part of a password may stand in the place of either."""
    try:
        parts = urlsplit(url)
        whole = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    rest = f"{parts.path}?{parts.query}#{parts.fragment}"
    return whole and url.isprintable() and " " not in url and "@" not in rest and not parts.fragment


def read_switch(text: str) -> bool:
    """Whether it is `on`, and not `off`."""
    if text not in ("on", "off"):
        raise ValueError("expected on or off")
    return text == "on"


def read_mail_security(text: str) -> str:
    """One of `SMTP_SECURITY`."""
    if text not in SMTP_SECURITY:
        raise ValueError(f"expected one of {', '.join(SMTP_SECURITY)}")
    return text


def read_sender(text: str) -> str:
    """The sender of mails: an address, with a name or without."""
    if text and not (text.isprintable() and is_mail_address(parseaddr(text)[1])):
        raise ValueError("expected an address such as stats@example.com, or Tyst <stats@example.com>")
    return text
