"""E-mail addresses that mail can be sent to without extensions of SMTP (RFC 5321, 4.1.2)."""

from __future__ import annotations

import re
from typing import Final

LONGEST: Final = 254
"""Characters of an address (RFC 3696, erratum 1690)."""
_ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
# What stands between `=?` and `?=` is read as what it encodes (RFC 2047), which may be several addresses.
_ADDRESS: Final = re.compile(rf"(?!.*=\?)(?=.{{1,64}}@){_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})*")


def is_mail_address(text: str) -> bool:
    """Whether the text is one plain address, such as `anna@example.com`."""
    return len(text) <= LONGEST and _ADDRESS.fullmatch(text) is not None


def domain_of(address: str) -> str:
    """The domain of an address, in lower case."""
    return address.rpartition("@")[2].lower()
