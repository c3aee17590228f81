"""Cookies of a request, read in one linear pass (RFC 6265, 5.4).

`http.cookies` and Starlette's `request.cookies` unquote values with a pattern whose time is quadratic in several
releases of Python (CVE-2024-7592), so they must not be used on client input. This module does not unquote: no cookie
of Tyst needs it.
"""

from __future__ import annotations

import http.cookies
from collections.abc import Iterable, Iterator
from typing import Final

from collector.core.response_headers import Header
from collector.privacy.consent import DENIED, EXCLUDED

LONGEST_FIELD: Final = 16 * 1024
"""Bytes of a `Cookie` field; longer ones are ignored."""

CONSENT_COOKIE: Final = "tyst_consent"
GRANTED: Final = "granted"

_CONSENT_NAME = CONSENT_COOKIE.encode()
# By precedence: a refusal wins over contradicting values.
_CONSENT_VALUES: Final = (EXCLUDED, DENIED, GRANTED)


def cookie_values(fields: Iterable[bytes], name: bytes) -> Iterator[str]:
    """Values of the cookies of exactly that name in these `Cookie` fields, in order, without enclosing quotes."""
    for field in fields:
        if name not in field or len(field) > LONGEST_FIELD:
            continue
        for pair in field.split(b";"):
            found, equals, value = pair.partition(b"=")
            if equals and found.strip(b" \t") == name:
                text = value.strip(b" \t").decode("latin-1")
                yield text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def cookie_value(headers: Iterable[Header], name: str) -> str:
    """The first value of the cookie, which is that of the longest path; empty without one."""
    fields = [value for field, value in headers if field == b"cookie"]
    return next(cookie_values(fields, name.encode("latin-1")), "")


def consent_cookie(fields: Iterable[bytes]) -> str:
    """The visitor's stored choice: `excluded`, `denied`, `granted`, or empty. Of several cookies a refusal wins."""
    # The snippet may append a suffix to a refusal, as in `denied.own`.
    values = {value.partition(".")[0] for value in cookie_values(fields, _CONSENT_NAME)}
    return next((value for value in _CONSENT_VALUES if value in values), "") if values else ""


def has_cookie_fault() -> bool:
    """Whether this interpreter's `http.cookies` takes quadratic time to unquote (CVE-2024-7592).

    Detected by the function that the fix introduced, since distributions patch releases without a new version.
    """
    return not hasattr(http.cookies, "_unquote_replace")
