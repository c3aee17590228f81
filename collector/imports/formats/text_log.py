"""Access logs as text: the common and the combined format, with or without the host, as Apache, nginx, Traefik and
others write them."""

from __future__ import annotations

import re
from typing import Final

from collector.imports.file import ImportedFile
from collector.imports.formats.access import Access, plain, split_request, take
from collector.imports.formats.format import UNREADABLE, Format
from collector.imports.formats.log_times import common_log_time
from collector.imports.target import ImportTarget

_QUOTED = r'"((?:[^"\\]|\\.)*+)"'
_REST = rf" \[([^\]]{{20,40}})\] {_QUOTED} (\d{{3}}) (?:\d+|-)(?: {_QUOTED} {_QUOTED})?"
# Forms of what stands before the time: a user's name may have spaces, which only the last can tell from a host.
_FORMS = (
    re.compile(rf"()(\S+) \S+ \S+{_REST}"),
    re.compile(rf"(\S+) (?=\S*[.:])(\S+) \S+ \S+{_REST}"),
    re.compile(rf"()(\S+) \S+ [^\[]+{_REST}"),
)
_ESCAPE = re.compile(r"\\x([0-9A-Fa-f]{2})|\\(.)")


def parse(line: str) -> Access:
    """The request of one line. Raises `ValueError`."""
    found = next(filter(None, (form.match(line) for form in _FORMS)), None)
    if found is None:
        raise ValueError("expected a line of an access log")
    host, address, time, request, status, referrer, user_agent = found.groups()
    method, target = split_request(_unescaped(request))
    return Access(
        at=common_log_time(time),
        address=address,
        method=method,
        target=target,
        status=int(status),
        host=host,
        referrer=plain(_unescaped(referrer or "")),
        user_agent=plain(_unescaped(user_agent or "")),
        has_user_agents=user_agent is not None,
    )


def _unescaped(text: str) -> str:
    if "\\" not in text:
        return text
    found = _ESCAPE.sub(lambda each: chr(int(each[1], 16)) if each[1] else each[2], text)
    try:
        return found.encode("latin-1").decode()
    except ValueError:
        return found


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
        take(access, target, number)


TEXT_LOG: Final = Format("log", "access log (common, combined)", _recognises, _read)
