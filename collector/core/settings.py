"""Settings: one table of `TYST_*` environment variables, read once at start.

A value that cannot be used raises `SettingError` with the variable's name, never later on the first request.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parseaddr
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from collector.core.errors import SettingError
from collector.core.mail_address import is_mail_address
from collector.core.openid_settings import read_domains, read_issuer, read_roles

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
SiteNetwork = tuple[str, Network]
"""A site's domain, or an empty text for every site; and a network."""


# A name or an address in brackets, and a port.
_PUBLIC_HOST = re.compile(r"(?:[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table: environment variable, default as text, how it is read, and its help."""

    name: str
    default: str
    parse: Callable[[str], Any]
    help: str

    @property
    def field(self) -> str:
        """The attribute of `Settings`: `data_dir` for `TYST_DATA_DIR`."""
        return self.name.removeprefix("TYST_").lower()


def _whole(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        digits = text.replace("_", "")
        if not digits.isdecimal() or not least <= int(digits) <= most:
            raise ValueError(f"expected a whole number from {least} to {most}")
        return int(digits)

    return parse


def _seconds(least: float, most: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not least <= number <= most:
            raise ValueError(f"expected a number of seconds from {least:g} to {most:g}")
        return number

    return parse


def _level(text: str) -> str:
    if text.lower() not in LOG_LEVELS:
        raise ValueError(f"expected one of {', '.join(LOG_LEVELS)}")
    return text.lower()


def _networks(text: str) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(part.strip(), strict=False) for part in text.split(",") if part.strip())


def _site_networks(text: str) -> tuple[SiteNetwork, ...]:
    entries = []
    for part in filter(None, map(str.strip, text.split(","))):
        site, _, network = part.rpartition("=")
        entries.append((site.strip().lower(), ipaddress.ip_network(network.strip(), strict=False)))
    return tuple(entries)


def _public_url(text: str) -> str:
    if not text:
        return ""
    url = urlsplit(text)
    plain = url.path in ("", "/") and not (url.query or url.fragment or url.username or url.password)
    if url.scheme not in ("http", "https") or not url.hostname or not plain or not _PUBLIC_HOST.fullmatch(url.netloc):
        raise ValueError("expected an address such as https://stats.example.com, without a path")
    return f"{url.scheme}://{url.netloc.lower()}"


def _optional(text: str) -> str | None:
    return text or None


def _optional_path(text: str) -> Path | None:
    if not text:
        return None
    path = Path(text)
    if not path.is_file():
        raise ValueError("there is no such file")
    return path


def _dsn(text: str) -> str:
    if not text.startswith(("chdb://", "http://", "https://")):
        raise ValueError("expected chdb:///directory, http://… or https://…")
    if not text.startswith("chdb://") and not _is_readable(text):
        raise ValueError(
            "expected http(s)://user:password@host:port/database; "
            "write special characters of a password as percent and two digits, such as %40 for @ and %23 for #"
        )
    if _IN_ADDRESS & {name for name, _ in parse_qsl(urlsplit(text).query, keep_blank_values=True)}:
        raise ValueError("expected http(s)://user:password@host:port/database, and none of these after a question mark")
    return text


_IN_ADDRESS = frozenset(
    {"dsn", "user", "username", "password", "host", "port", "database", "interface", "access_token"}
)
"""Arguments of the driver that its DSN may not give as options, or that the address says already."""


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


def _switch(text: str) -> bool:
    if text not in ("on", "off"):
        raise ValueError("expected on or off")
    return text == "on"


def _mail_security(text: str) -> str:
    if text not in SMTP_SECURITY:
        raise ValueError(f"expected one of {', '.join(SMTP_SECURITY)}")
    return text


def _sender(text: str) -> str:
    if text and not (text.isprintable() and is_mail_address(parseaddr(text)[1])):
        raise ValueError("expected an address such as stats@example.com, or Tyst <stats@example.com>")
    return text


SMTP_SECURITY = {"tls": 465, "starttls": 587, "none": 25}
"""Kinds of connection to a mail server, with their usual ports."""

LOG_LEVELS = ("debug", "info", "warning", "error")

SETTINGS: tuple[Setting, ...] = (
    Setting("TYST_DATA_DIR", "./data", Path, "Directory for everything that is kept: spool, salts, keys, database."),
    Setting(
        "TYST_CLICKHOUSE_DSN",
        "chdb://",
        _dsn,
        "Where ClickHouse is: `chdb://` embeds it under the data directory; "
        "`http(s)://user:password@host:port/database` is a server or cluster.",
    ),
    Setting("TYST_HOST", "127.0.0.1", str, "Address to listen on."),
    Setting("TYST_PORT", "8000", _whole(0, 65535), "Port to listen on; 0 takes a free one."),
    Setting(
        "TYST_PUBLIC_URL",
        "",
        _public_url,
        "The address by which visitors and owners reach this server, such as `https://stats.example.com`: for tags, "
        "links, cookies, and the names that it answers to. Without it they follow each request.",
    ),
    Setting(
        "TYST_ADMIN_PASSWORD",
        "",
        _optional,
        "Password of the user `admin`, created at the first start; without it one is generated and printed once.",
    ),
    Setting(
        "TYST_SECRET_KEY",
        "",
        _optional,
        "Signs sign-in cookies and receipts of consent, and encrypts keys of authenticator apps; without it one is "
        "generated and kept. Collectors that share a ClickHouse server need the same one.",
    ),
    Setting(
        "TYST_SECRET_KEY_PREVIOUS",
        "",
        _optional,
        "The former `TYST_SECRET_KEY`: what it signed stays valid for as long as this is set. "
        "See [how to rotate it](docs/sign-in.md#rotating-the-secret-key).",
    ),
    Setting(
        "TYST_SESSION_DAYS",
        "14",
        _whole(1, 365),
        "Days until somebody who signed in to the dashboard has to sign in again.",
    ),
    Setting(
        "TYST_SESSION_IDLE_DAYS",
        "14",
        _whole(1, 30),
        "Days without use after which a session ends earlier.",
    ),
    Setting(
        "TYST_REQUIRE_TWO_FACTOR",
        "off",
        _switch,
        "Whether everybody who signs in with a password has to set up two-factor authentication: `on` leads those "
        "without it to set it up, and shows them nothing else before.",
    ),
    Setting(
        "TYST_OIDC_ISSUER",
        "",
        read_issuer,
        "The OpenID provider that people may sign in by, as its metadata write it; none by default. "
        "Needs `TYST_PUBLIC_URL`. See [docs/sign-in.md](docs/sign-in.md#openid-connect).",
    ),
    Setting("TYST_OIDC_CLIENT_ID", "", str, "This server's client id at the provider."),
    Setting("TYST_OIDC_CLIENT_SECRET", "", _optional, "Its client secret; without it a public client, by PKCE alone."),
    Setting("TYST_OIDC_NAME", "", str, "The provider's name on the sign-in button."),
    Setting("TYST_OIDC_SCOPES", "openid email profile", str, "Scopes to ask for, separated by spaces."),
    Setting(
        "TYST_OIDC_EMAIL_DOMAINS",
        "",
        read_domains,
        "Domains of the e-mail addresses that may sign in, comma-separated; without it everybody whom the provider "
        "signs in.",
    ),
    Setting(
        "TYST_OIDC_ROLE_CLAIM", "", str, "The claim that gives roles, such as `groups`; without it roles are set here."
    ),
    Setting(
        "TYST_OIDC_ROLES",
        "",
        read_roles,
        "Roles by value of that claim, such as `staff=owner, chiefs=admin`; the highest counts, viewer without any.",
    ),
    Setting(
        "TYST_COLLECTOR",
        "",
        str,
        "Name of this collector among several that share a ClickHouse server; without it its id.",
    ),
    Setting("TYST_GEOIP_DB", "", _optional_path, "An MMDB file to look countries up in instead of the built-in table."),
    Setting(
        "TYST_DATACENTER_FILE",
        "",
        _optional_path,
        "A list of data centers' networks, by which visits from there are marked or dropped; none by default. "
        "See docs/datacenters.md.",
    ),
    Setting(
        "TYST_SPOOL_MAX_BYTES",
        "1_073_741_824",
        _whole(1_000_000, 2**50),
        "Bound on the spool's bytes; beyond it beacons are answered 503.",
    ),
    Setting("TYST_FLUSH_SECONDS", "1", _seconds(0.05, 3600), "An open segment is sealed and inserted after this time."),
    Setting("TYST_FLUSH_ROWS", "20000", _whole(1, 1_000_000), "An open segment is sealed at this number of events."),
    Setting(
        "TYST_TRUSTED_PROXIES",
        "",
        _site_networks,
        "Addresses or networks, comma-separated, whose forwarding headers are believed; none by default. "
        "`example.com=192.0.2.7` is a proxy that may speak for visitors of that site only.",
    ),
    Setting(
        "TYST_EXCLUDED_ADDRESSES",
        "",
        _site_networks,
        "Addresses or networks, comma-separated, that are never counted, such as your office's; "
        "`example.com=192.0.2.0/24` leaves them out of one site only. They stay in memory.",
    ),
    Setting(
        "TYST_RATE_LIMIT",
        "50",
        _whole(0, 1_000_000),
        "Beacons a second from one address, each 2 KiB as one; more are answered 429. 0 is off.",
    ),
    Setting(
        "TYST_API_RATE_LIMIT",
        "600",
        _whole(0, 1_000_000),
        "Requests an hour with one API key, counted by each collector; more are answered 429. 0 is off.",
    ),
    Setting(
        "TYST_FAST_PATH",
        "on",
        _switch,
        "Whether a beacon that comes in one piece skips the web server's request cycle: half as many again a second. "
        "`off` has each take the ordinary path, with the same responses.",
    ),
    Setting(
        "TYST_SPAM_LIST_URL",
        "https://raw.githubusercontent.com/matomo-org/referrer-spam-list/master/spammers.txt",
        str,
        "Where `tyst lists update` fetches hosts known for referrer spam. Nothing fetches it by itself.",
    ),
    Setting(
        "TYST_VERIFY_NETWORKS",
        "",
        _networks,
        "Networks, comma-separated, whose pages `tyst verify` and *Check my site* may fetch although they are not "
        "public, on any port; none by default.",
    ),
    Setting(
        "TYST_SMTP_HOST", "", str, "Mail server for reports, alerts, invitations and password links; none by default."
    ),
    Setting(
        "TYST_SMTP_PORT",
        "0",
        _whole(0, 65535),
        "Its port; 0 takes the usual one: 465, with `starttls` 587, with `none` 25.",
    ),
    Setting(
        "TYST_SMTP_TLS",
        "tls",
        _mail_security,
        "`tls` from the first byte, `starttls` before anything is said, or `none`, for a server on this machine.",
    ),
    Setting("TYST_SMTP_USER", "", str, "User name at the mail server, where it asks for one."),
    Setting("TYST_SMTP_PASSWORD", "", _optional, "Password at the mail server."),
    Setting(
        "TYST_SMTP_FROM",
        "",
        _sender,
        "Sender of mails, such as `Tyst <stats@example.com>`; needed where `TYST_SMTP_HOST` is set.",
    ),
    Setting(
        "TYST_WEBHOOK_NETWORKS",
        "",
        _networks,
        "Networks, comma-separated, that webhooks may reach although they are not public, on any port and without TLS; "
        "none by default.",
    ),
    Setting("TYST_LOG_LEVEL", "info", _level, "One of debug, info, warning, error."),
)


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings in force. Field `x` is the variable `TYST_X` of the table `SETTINGS`."""

    data_dir: Path
    clickhouse_dsn: str
    host: str
    port: int
    public_url: str
    admin_password: str | None
    secret_key: str | None
    secret_key_previous: str | None
    session_days: int
    session_idle_days: int
    require_two_factor: bool
    oidc_issuer: str
    oidc_client_id: str
    oidc_client_secret: str | None
    oidc_name: str
    oidc_scopes: str
    oidc_email_domains: tuple[str, ...]
    oidc_role_claim: str
    oidc_roles: tuple[tuple[str, str], ...]
    collector: str
    geoip_db: Path | None
    datacenter_file: Path | None
    spool_max_bytes: int
    flush_seconds: float
    flush_rows: int
    trusted_proxies: tuple[SiteNetwork, ...]
    excluded_addresses: tuple[SiteNetwork, ...]
    rate_limit: int
    api_rate_limit: int
    fast_path: bool
    spam_list_url: str
    verify_networks: tuple[Network, ...]
    smtp_host: str
    smtp_port: int
    smtp_tls: str
    smtp_user: str
    smtp_password: str | None
    smtp_from: str
    webhook_networks: tuple[Network, ...]
    log_level: str

    @property
    def embedded(self) -> bool:
        """Whether ClickHouse runs inside this process."""
        return self.clickhouse_dsn.startswith("chdb://")

    @property
    def database_dsn(self) -> str:
        """The DSN for the driver; a bare `chdb://` becomes the data directory's own `clickhouse` folder."""
        if self.clickhouse_dsn == "chdb://":
            return f"chdb://{self.data_dir.resolve() / 'clickhouse'}"
        return self.clickhouse_dsn


def read_settings(environ: Mapping[str, str], **overrides: object) -> Settings:
    """Read the table from `environ`; `overrides` (from command-line options) win where not None.

    Raises `SettingError` for a value that cannot be used and for a `TYST_*` name that is not in the table.
    """
    known = {setting.name for setting in SETTINGS} | OTHER_VARIABLES
    for name in environ:
        if name.startswith("TYST_") and name not in known:
            raise SettingError(name, environ[name], "is not a setting of Tyst; docs/settings.md lists them")
    values: dict[str, Any] = {}
    for setting in SETTINGS:
        given = overrides.get(setting.field)
        text = str(given) if given is not None else environ.get(setting.name, "").strip() or setting.default
        try:
            values[setting.field] = setting.parse(text)
        except ValueError as error:
            shown = "…" if setting.field in SECRET_FIELDS else text
            raise SettingError(setting.name, shown, str(error)) from None
    for field, needed, why in _NEEDED:
        if values[field] and not values[needed]:
            raise SettingError(f"TYST_{needed.upper()}", "", f"is needed where TYST_{field.upper()} is set: {why}")
    return Settings(**values)


_NEEDED = (
    ("smtp_host", "smtp_from", "the address that mails come from"),
    ("oidc_issuer", "public_url", "the provider sends people back to it"),
    ("oidc_issuer", "oidc_client_id", "the provider knows this server by it"),
)


# Read by the command line's client and by the tests, not by the server.
OTHER_VARIABLES = frozenset({"TYST_URL", "TYST_API_KEY", "TYST_TEST_CLICKHOUSE_DSN"})

# Never shown in an error: they hold, or may hold, a password.
SECRET_FIELDS = frozenset(
    {"admin_password", "secret_key", "secret_key_previous", "clickhouse_dsn", "smtp_password", "oidc_client_secret"}
)
