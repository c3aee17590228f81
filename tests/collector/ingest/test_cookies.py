"""Cookies are read exactly and in linear time; of several choices the refusal counts."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.enrichment.client_ip import TrustedProxies
from collector.ingest.cookies import LONGEST_FIELD, consent_cookie, cookie_value, has_cookie_fault
from collector.ingest.payload import parse_beacon
from collector.ingest.request_context import RequestFields
from dashboard.cli.commands.check import check_interpreter
from tests.timing import processor_seconds

ROOT = Path(__file__).resolve().parents[3]
BEACON = parse_beacon(b'{"n":"pageview","u":"https://site.test/","d":"site.test"}')


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ([b"tyst_consent=granted"], "granted"),
        ([b"a=b; tyst_consent=denied; c=d"], "denied"),
        ([b'a="; "; tyst_consent="excluded"'], "excluded"),
        ([b"tyst_consent=granted; tyst_consent=denied"], "denied"),
        ([b"tyst_consent=denied; tyst_consent=granted"], "denied"),
        ([b"tyst_consent=granted", b"tyst_consent=denied"], "denied"),
        ([b"tyst_consent=denied; tyst_consent=excluded"], "excluded"),
        ([b"tyst_consent=; tyst_consent=granted"], "granted"),
        ([b"my_tyst_consent=granted"], ""),
        ([b"tyst_consent2=granted"], ""),
        ([b"Tyst_Consent=granted"], ""),
        ([b"x=tyst_consent=granted"], ""),
        ([b"tyst_consent"], ""),
        ([b"tyst_consent=yes"], ""),
        ([b"tyst_consent=granted-not"], ""),
        ([b"\xff\xfe=1; tyst_consent=granted"], "granted"),
        ([], ""),
    ],
)
def test_a_choice_is_read_by_its_exact_name(fields: list[bytes], said: str) -> None:
    """And of several a refusal counts, wherever it stands."""
    assert consent_cookie(fields) == said


@pytest.mark.parametrize(
    "field",
    [
        b'tyst_consent="' + b"\\" * 60_000 + b'"',
        b'tyst_consent="' + b"\\" * 16_000 + b'"',
        b'tyst_consent="' + b"\\1" * 8_000 + b'"',
        b"tyst_consent=;" * 1_000,
        b"tyst_consent" * 1_200,
        b";" * 16_000 + b"tyst_consent",
    ],
)
def test_one_header_field_takes_no_time(field: bytes) -> None:
    """On interpreters, too, whose `http.cookies` takes seconds of it."""
    scope = {"headers": [(b"cookie", field)] * 4, "client": ("192.0.2.1", 1)}
    assert processor_seconds(lambda: RequestFields(scope, TrustedProxies()).arrival(BEACON, 0)) < 0.1
    assert RequestFields(scope, TrustedProxies()).arrival(BEACON, 0).signals.cookie == ""


@given(st.binary(max_size=200))
def test_any_field_is_read(field: bytes) -> None:
    """As one of the words that there are."""
    assert consent_cookie([field, b"tyst_consent" + field]) in ("", "granted", "denied", "excluded")


def test_a_cookie_is_the_first_of_its_name() -> None:
    """Which is that of the longest path (RFC 6265, 5.4); a field beyond the bound counts as none."""
    assert cookie_value([(b"cookie", b"a=1; ab=2; a=3")], "a") == "1"
    assert cookie_value([(b"cookie", b"b=1"), (b"cookie", b"a=2")], "a") == "2"
    assert cookie_value([(b"cookie", b"a=1; b=" + b"x" * LONGEST_FIELD)], "a") == ""
    assert cookie_value([(b"a", b"a=1")], "a") == ""


def test_nothing_gives_a_request_to_the_library_with_the_fault() -> None:
    """No module reads `request.cookies`, and none but this one imports `http.cookies`."""
    found = []
    for path in [*(ROOT / "collector").rglob("*.py"), *(ROOT / "dashboard").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            reads = isinstance(node, ast.Attribute) and node.attr == "cookies" and ast.unparse(node) != "http.cookies"
            imports = isinstance(node, ast.ImportFrom) and node.module == "http.cookies"
            imports = imports or (isinstance(node, ast.Import) and any(n.name == "http.cookies" for n in node.names))
            if reads or (imports and path.name != "cookies.py"):
                found.append(path.name)
    assert found == []


def test_check_names_an_interpreter_with_the_fault() -> None:
    """And what to install; the others are in order."""
    found = check_interpreter(faulty=True)
    assert (found.name, found.state) == ("interpreter", "warning")
    assert "CVE-2024-7592" in found.found
    assert "3.12.6" in found.advice
    assert check_interpreter(faulty=False).state == "ok"


def test_the_fault_is_told_by_what_mends_it() -> None:
    """Not by a version, which distributions keep when they mend it."""
    import http.cookies as library

    assert has_cookie_fault() == ("_unquote_replace" not in vars(library))
