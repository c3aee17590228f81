"""Settings: the values of the table `SETTINGS`, read once at start.

A value that cannot be used raises `SettingError` with the variable's name, never later on the first request.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from collector.core.errors import SettingError
from collector.core.setting_values import Network, SiteNetwork
from collector.core.settings_table import SETTINGS

# Read by the command line's client and by the tests, not by the server.
OTHER_VARIABLES = frozenset({"TYST_URL", "TYST_API_KEY", "TYST_TEST_CLICKHOUSE_DSN"})


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings in force. Field `x` is the variable `TYST_X` of the table `SETTINGS`."""

    data_dir: Path
    clickhouse_dsn: str
    clickhouse_cluster: str
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
    def public_path(self) -> str:
        """The path of the public address, such as `/stats`; empty where it has none."""
        return urlsplit(self.public_url).path

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
            # Its name may be that of a password, misspelt.
            raise SettingError(name, "…", "is not a setting of Tyst; docs/settings.md lists them")
    values: dict[str, Any] = {}
    for setting in SETTINGS:
        given = overrides.get(setting.field)
        text = str(given) if given is not None else environ.get(setting.name, "").strip() or setting.default
        try:
            text.encode()
            values[setting.field] = setting.parse(text)
        except UnicodeEncodeError:
            raise SettingError(setting.name, "…", "expected text in UTF-8") from None
        except ValueError as error:
            shown = "…" if setting.secret else text
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
