"""Host lists of the operator in the data directory, one host a line; none is shipped."""

from __future__ import annotations

import logging
from pathlib import Path

log = logging.getLogger(__name__)

SPAM_FILE = "lists/spam-referrers.txt"


class HostList:
    """The hosts of a file; empty while there is none. `#` begins a comment."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._changed = 0
        self.hosts: frozenset[str] = frozenset()
        self.refresh()

    def refresh(self) -> None:
        """Read the file again if it has changed."""
        try:
            changed = self._path.stat().st_mtime_ns
            if changed == self._changed:
                return
            text = self._path.read_text("utf-8", "replace")
        except FileNotFoundError:
            self.hosts, self._changed = frozenset(), 0
            return
        except OSError as error:
            log.warning("a host list could not be read", extra={"list": self._path.name, "reason": error.strerror})
            return
        self.hosts, self._changed = listed_hosts(text), changed
        log.info("host list loaded", extra={"list": self._path.name, "hosts": len(self.hosts)})


def listed_hosts(text: str) -> frozenset[str]:
    """What the lines of a list name, lower case and without `www.`; `#` begins a comment."""
    lines = (line.partition("#")[0].strip().lower().removeprefix("www.") for line in text.splitlines())
    return frozenset(line for line in lines if line)
