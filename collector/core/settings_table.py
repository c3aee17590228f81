"""The table of settings: `TYST_*` environment variables, their defaults, and what they are for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collector.core.openid_settings import read_domains, read_issuer, read_roles
from collector.core.setting_values import (
    read_dsn,
    read_existing_file,
    read_log_level,
    read_mail_security,
    read_networks,
    read_optional,
    read_public_url,
    read_sender,
    read_site_networks,
    read_switch,
    seconds,
    whole_number,
)


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table: environment variable, default as text, how it is read, and its help. A `secret` holds, or
    may hold, a password: it is never shown, and leaves the environment once it is read."""

    name: str
    default: str
    parse: Callable[[str], Any]
    help: str
    secret: bool = False

    @property
    def field(self) -> str:
        """The attribute of `Settings`: `data_dir` for `TYST_DATA_DIR`."""
        return self.name.removeprefix("TYST_").lower()


SETTINGS: tuple[Setting, ...] = (
    Setting("TYST_DATA_DIR", "./data", Path, "Directory for everything that is kept: spool, salts, keys, database."),
    Setting(
        "TYST_CLICKHOUSE_DSN",
        "chdb://",
        read_dsn,
        "Where ClickHouse is: `chdb://` embeds it under the data directory; "
        "`http(s)://user:password@host:port/database` is a server or cluster.",
        secret=True,
    ),
    Setting(
        "TYST_CLICKHOUSE_CLUSTER",
        "",
        str,
        "Name of the cluster, in the server's `remote_servers`, over whose shards events are spread; without it one "
        "server has all of them. See [docs/scale.md](docs/scale.md).",
    ),
    Setting("TYST_HOST", "127.0.0.1", str, "Address to listen on."),
    Setting("TYST_PORT", "8000", whole_number(0, 65535), "Port to listen on; 0 takes a free one."),
    Setting(
        "TYST_PUBLIC_URL",
        "",
        read_public_url,
        "The address by which visitors and owners reach this server, such as `https://stats.example.com` or "
        "`https://example.com/stats`: for tags, links, cookies, and the names that it answers to. Without it they "
        "follow each request.",
    ),
    Setting(
        "TYST_ADMIN_PASSWORD",
        "",
        read_optional,
        "Password of the user `admin`, created at the first start; without it one is generated and printed once.",
        secret=True,
    ),
    Setting(
        "TYST_SECRET_KEY",
        "",
        read_optional,
        "Signs sign-in cookies and receipts of consent, and encrypts keys of authenticator apps; without it one is "
        "generated and kept. Collectors that share a ClickHouse server need the same one. Fewer than 32 characters can "
        "be guessed, and are warned of.",
        secret=True,
    ),
    Setting(
        "TYST_SECRET_KEY_PREVIOUS",
        "",
        read_optional,
        "The former `TYST_SECRET_KEY`: what it signed stays valid for as long as this is set. "
        "See [how to rotate it](docs/sign-in.md#rotating-the-secret-key).",
        secret=True,
    ),
    Setting(
        "TYST_SESSION_DAYS",
        "14",
        whole_number(1, 365),
        "Days until somebody who signed in to the dashboard has to sign in again.",
    ),
    Setting(
        "TYST_SESSION_IDLE_DAYS",
        "14",
        whole_number(1, 30),
        "Days without use after which a session ends earlier.",
    ),
    Setting(
        "TYST_REQUIRE_TWO_FACTOR",
        "off",
        read_switch,
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
    Setting(
        "TYST_OIDC_CLIENT_SECRET",
        "",
        read_optional,
        "Its client secret; without it a public client, by PKCE alone.",
        secret=True,
    ),
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
    Setting(
        "TYST_GEOIP_DB", "", read_existing_file, "An MMDB file to look countries up in instead of the built-in table."
    ),
    Setting(
        "TYST_DATACENTER_FILE",
        "",
        read_existing_file,
        "A list of data centers' networks, by which visits from there are marked or dropped; none by default. "
        "See docs/datacenters.md.",
    ),
    Setting(
        "TYST_SPOOL_MAX_BYTES",
        "1_073_741_824",
        whole_number(1_000_000, 2**50),
        "Bound on the spool's bytes; beyond it beacons are answered 503.",
    ),
    Setting("TYST_FLUSH_SECONDS", "1", seconds(0.05, 3600), "An open segment is sealed and inserted after this time."),
    Setting(
        "TYST_FLUSH_ROWS", "20000", whole_number(1, 1_000_000), "An open segment is sealed at this number of events."
    ),
    Setting(
        "TYST_TRUSTED_PROXIES",
        "",
        read_site_networks,
        "Addresses or networks, comma-separated, whose forwarding headers are believed; none by default. "
        "`example.com=192.0.2.7` is a proxy that may speak for visitors of that site only.",
    ),
    Setting(
        "TYST_EXCLUDED_ADDRESSES",
        "",
        read_site_networks,
        "Addresses or networks, comma-separated, that are never counted, such as your office's; "
        "`example.com=192.0.2.0/24` leaves them out of one site only. They stay in memory.",
    ),
    Setting(
        "TYST_RATE_LIMIT",
        "50",
        whole_number(0, 1_000_000),
        "Beacons a second from one address, each 2 KiB as one; more are answered 429. 0 is off.",
    ),
    Setting(
        "TYST_API_RATE_LIMIT",
        "600",
        whole_number(0, 1_000_000),
        "Requests an hour with one API key, counted by each collector; more are answered 429. 0 is off.",
    ),
    Setting(
        "TYST_FAST_PATH",
        "on",
        read_switch,
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
        read_networks,
        "Networks, comma-separated, whose pages `tyst verify` and *Check my site* may fetch although they are not "
        "public, on any port; none by default.",
    ),
    Setting(
        "TYST_SMTP_HOST", "", str, "Mail server for reports, alerts, invitations and password links; none by default."
    ),
    Setting(
        "TYST_SMTP_PORT",
        "0",
        whole_number(0, 65535),
        "Its port; 0 takes the usual one: 465, with `starttls` 587, with `none` 25.",
    ),
    Setting(
        "TYST_SMTP_TLS",
        "tls",
        read_mail_security,
        "`tls` from the first byte, `starttls` before anything is said, or `none`, for a server on this machine.",
    ),
    Setting("TYST_SMTP_USER", "", str, "User name at the mail server, where it asks for one."),
    Setting("TYST_SMTP_PASSWORD", "", read_optional, "Password at the mail server.", secret=True),
    Setting(
        "TYST_SMTP_FROM",
        "",
        read_sender,
        "Sender of mails, such as `Tyst <stats@example.com>`; needed where `TYST_SMTP_HOST` is set.",
    ),
    Setting(
        "TYST_WEBHOOK_NETWORKS",
        "",
        read_networks,
        "Networks, comma-separated, that webhooks may reach although they are not public, on any port and without TLS; "
        "none by default.",
    ),
    Setting("TYST_LOG_LEVEL", "info", read_log_level, "One of debug, info, warning, error."),
)
