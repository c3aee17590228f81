"""Parameters of a header field, such as the name of a part of a form, read in linear time.

`email.message` takes quadratic time for a text in quotes that does not end: a field of 16 KiB took a second.
"""

from __future__ import annotations

import re
from typing import Final

_PARAMETER: Final = re.compile(r';\s*+([^\s;="]++)\s*+=\s*+(?:"((?:[^"\\]|\\.)*+)"|([^\s;"]*+))', re.DOTALL)
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)


def read_parameters(field: str) -> tuple[str, dict[str, str]]:
    """The value of a field in lower case, and its parameters by name in lower case (RFC 9110, 5.6.6); of several with
    one name the first."""
    found: dict[str, str] = {}
    for name, quoted, plain in _PARAMETER.findall(field):
        found.setdefault(name.lower(), _ESCAPE.sub(r"\1", quoted) if quoted else plain)
    return field.partition(";")[0].strip().lower(), found
