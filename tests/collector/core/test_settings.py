"""Settings: one table, read once, refused at start with a message that names the variable."""

from __future__ import annotations

from pathlib import Path

import pytest

from collector.core.errors import SettingError
from collector.core.setting_values import embedded_directory
from collector.core.settings import Settings, read_settings
from collector.core.settings_table import SETTINGS


def test_the_defaults_are_usable() -> None:
    """An empty environment is enough to start."""
    settings = read_settings({})
    assert settings.embedded
    assert settings.database_dsn == f"chdb://{Path('data').resolve() / 'clickhouse'}"


def test_the_table_and_the_type_agree() -> None:
    """Each variable has its attribute, and each attribute its variable."""
    assert [setting.field for setting in SETTINGS] == list(Settings.__dataclass_fields__)


def test_an_option_wins_over_the_environment() -> None:
    """What is typed is nearer than what is set."""
    assert read_settings({"TYST_PORT": "1"}, port=2).port == 2
    assert read_settings({"TYST_PORT": "1"}, port=None).port == 1


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("TYST_PORT", "abc", "a whole number from 0 to 65535"),
        ("TYST_PORT", "65536", "a whole number from 0 to 65535"),
        ("TYST_RATE_LIMIT", "-1", "a whole number from 0"),
        ("TYST_FLUSH_SECONDS", "soon", "a number of seconds"),
        ("TYST_FLUSH_SECONDS", "nan", "a number of seconds"),
        ("TYST_TRUSTED_PROXIES", "10.0.0.0/8, proxy", "does not appear to be"),
        ("TYST_CLICKHOUSE_DSN", "mysql://db", "chdb:///directory"),
        ("TYST_GEOIP_DB", "/nowhere.mmdb", "no such file"),
        ("TYST_LOG_LEVEL", "loud", "one of debug, info, warning, error"),
        ("TYST_GEOIP_DB", "x" * 300, "File name too long"),
        ("TYST_ADMIN_PASSWORD", "l\udcf6sen", "in UTF-8"),
        ("TYST_SECRET_KEY", "\udcf6" * 32, "in UTF-8"),
        ("TYST_COLLECTOR", "\udcf6", "in UTF-8"),
        ("TYST_PUBLIC_URL", "https://example.com:99999", "Port out of range"),
        ("TYST_PUBLIC_URL", "https://example.com:0", "a port from 1"),
        ("TYST_DATADIR", "x", "not a setting of Tyst"),
        ("TYST_SESSION_IDLE_DAYS", "31", "a whole number from 1 to 30"),
        ("TYST_PUBLIC_URL", "https://example.com/a/../b", "such as https://stats"),
        ("TYST_PUBLIC_URL", 'https://example.com/"x', "such as https://stats"),
        ("TYST_PUBLIC_URL", "https://example.com//x", "such as https://stats"),
        ("TYST_PUBLIC_URL", "https://example.com/x?y=z", "such as https://stats"),
        ("TYST_OIDC_ISSUER", "http://accounts.example.com", "with https"),
        ("TYST_OIDC_ISSUER", "https://accounts.example.com/?a=b", "with https"),
        ("TYST_OIDC_ROLES", "staff=boss", "one of the roles"),
        ("TYST_OIDC_ROLES", "staff", "expected pairs"),
        ("TYST_OIDC_EMAIL_DOMAINS", "ada@example.com", "expected domains"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(name: str, value: str, expected: str) -> None:
    """A misspelt name too: it would otherwise be a setting that silently does nothing."""
    with pytest.raises(SettingError, match=expected) as raised:
        read_settings({name: value})
    assert raised.value.name == name


def test_the_value_of_a_misspelt_setting_is_not_shown() -> None:
    """It may be a password, and messages of a start are kept in journals."""
    with pytest.raises(SettingError) as raised:
        read_settings({"TYST_SMTP_PASSWD": "tell nobody"})
    assert "TYST_SMTP_PASSWD" in str(raised.value)
    assert "tell nobody" not in f"{raised.value} {raised.value.value}"


@pytest.mark.parametrize("missing", ["TYST_PUBLIC_URL", "TYST_OIDC_CLIENT_ID"])
def test_a_provider_needs_what_it_is_reached_by(missing: str) -> None:
    """A start without is refused, not the first sign-in."""
    whole = {
        "TYST_OIDC_ISSUER": "https://accounts.example.com/realms/main/",
        "TYST_OIDC_CLIENT_ID": "tyst",
        "TYST_PUBLIC_URL": "https://stats.example.com",
        "TYST_OIDC_ROLES": "a=b=owner, chiefs = admin",
    }
    read = read_settings(whole)
    assert read.oidc_issuer == whole["TYST_OIDC_ISSUER"]
    assert read.oidc_roles == (("a=b", "owner"), ("chiefs", "admin"))
    with pytest.raises(SettingError) as raised:
        read_settings({name: value for name, value in whole.items() if name != missing})
    assert raised.value.name == missing


@pytest.mark.parametrize(
    "option", ["user=ada", "password=s3cret", "username=ada", "compress=1&password=", "foo=1", "connect_timeout=soon"]
)
def test_a_dsn_has_known_options_and_says_each_thing_once(option: str) -> None:
    """The driver would end with an error of its own that may show them."""
    with pytest.raises(SettingError, match=r"as options only ca_cert, |expected a whole number of seconds") as raised:
        read_settings({"TYST_CLICKHOUSE_DSN": f"http://localhost:8123/tyst?{option}"})
    assert "s3cret" not in str(raised.value)


def test_a_wrong_dsn_does_not_show_its_password() -> None:
    """It ends up in logs and bug reports."""
    with pytest.raises(SettingError) as raised:
        read_settings({"TYST_CLICKHOUSE_DSN": "mysql://user:s3cret@db"})
    assert "s3cret" not in str(raised.value)


def test_a_data_directory_may_be_called_anything(tmp_path: Path) -> None:
    """What would mean something in an address or a configuration file means nothing there."""
    place = tmp_path / "a#b?c%20d & <e>"
    settings = read_settings({"TYST_DATA_DIR": str(place)})
    assert embedded_directory(settings.database_dsn) == place / "clickhouse"
    assert read_settings({"TYST_CLICKHOUSE_DSN": f"chdb://{place}"}).database_dsn == f"chdb://{place}"
