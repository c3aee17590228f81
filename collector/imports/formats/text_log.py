"""Access logs as text: the common and the combined format, with or without the host, as Apache, nginx, Traefik and
others write them."""

from __future__ import annotations

import re
from typing import Final

from collector.imports.file import ImportedFile
from collector.imports.formats.access import Access, client_address, plain, split_request, take, unescaped
from collector.imports.formats.format import UNREADABLE, Format
from collector.imports.formats.log_times import common_log_time
from collector.imports.target import ImportTarget

_QUOTED = r'"((?:[^"\\]|\\.)*+)"'
_REST = rf" \[([^\]]{{20,40}})\] {_QUOTED} (\d{{3}}) (?:\d+|-)(?: {_QUOTED} {_QUOTED}(?: \"([0-9A-Fa-f.:, ]+)\")?)?"
# Forms of what stands before the time: the host may come first, or second as lighttpd writes it; a user's name may have
# spaces, which only the last can tell from a host; and before it all may be what syslog or a container adds.
_FORMS = (
    re.compile(rf"()(\S+) (\S+) \S+{_REST}"),
    re.compile(rf"(\S+) (?=\S*[.:])(\S+) (\S+) \S+{_REST}"),
    re.compile(rf"()([0-9A-Fa-f]*[.:][0-9A-Fa-f.:]+) (\S+) [^\[]+{_REST}"),
    re.compile(rf"[^\[\"]{{0,200}}?\s()([0-9A-Fa-f]*[.:][0-9A-Fa-f.:]+) (-) [^\[\"]{{1,200}}{_REST}"),
)
_FIRST = _FORMS[0].match


def parse(line: str) -> Access:
    """The request of one line. Raises `ValueError`."""
    found = _FIRST(line) or next(filter(None, (form.match(line) for form in _FORMS[1:])), None)
    if found is None:
        raise ValueError("expected a line of an access log")
    host, address, identity, time, request, status, referrer, user_agent, forwarded = found.groups()
    method, target = split_request(unescaped(request))
    return Access(
        at=common_log_time(time),
        address=client_address(address, forwarded) if forwarded else address,
        method=method,
        target=target,
        status=int(status),
        host=host or (identity if "." in identity else ""),
        referrer=plain(unescaped(referrer)) if referrer else "",
        user_agent=plain(unescaped(user_agent)) if user_agent else "",
        has_user_agents=user_agent is not None,
    )


def _recognises(file: ImportedFile) -> bool:
    return any(form.match(line) for line in file.text.splitlines() for form in _FORMS)


def _read(file: ImportedFile, target: ImportTarget) -> None:
    for number, line in file.lines():
        if not line:
            continue
        try:
            access = parse(line)
        except UNREADABLE:
            target.leave_out("unreadable", number)
            continue
        take(access, target, number, line)


TEXT_LOG: Final = Format("log", "access log (common, combined)", _recognises, _read)
