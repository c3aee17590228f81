"""Access logs with one JSON object a line: Caddy's of all ages, Traefik's, and nginx's own `log_format` whose keys are
names of nginx's variables or common ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from collector.imports.file import ImportedFile
from collector.imports.formats.access import Access, plain, split_request, take
from collector.imports.formats.format import UNREADABLE, Format
from collector.imports.formats.log_times import moment_of
from collector.imports.target import ImportTarget
from collector.privacy.consent import Signals

Fields = Mapping[str, Any]

# Names of each part, in lower case; the first that a line has is taken.
_TIME = ("startutc", "time_iso8601", "@timestamp", "timestamp", "time_local", "msec", "ts", "time", "date")
_ADDRESS = ("clienthost", "client_ip", "remote_addr", "remote_ip", "clientaddr", "client", "ip")
_METHOD = ("requestmethod", "request_method", "method", "verb")
_TARGET = ("request_uri", "requestpath", "uri", "url", "path")
_STATUS = ("downstreamstatus", "status", "response_status", "originstatus", "code")
_REFERRER = ("request_referer", "http_referer", "http_referrer", "referer", "referrer")
_USER_AGENT = ("request_user-agent", "http_user_agent", "user_agent", "useragent", "agent")
_HOST = ("requesthost", "http_host", "host", "server_name", "vhost")
_TYPE = ("downstream_content-type", "sent_http_content_type", "content_type")

_decode = msgspec.json.Decoder(dict[str, Any]).decode


def parse(line: str) -> Access | None:
    """The request of one line; None where the line is of something else. Raises `ValueError`."""
    try:
        fields = _decode(line)
    except (msgspec.MsgspecError, RecursionError):
        raise ValueError("expected an object of JSON") from None
    request = fields.get("request")
    return _of_caddy(fields, request) if isinstance(request, dict) else _of_others(fields)


def _of_caddy(fields: Fields, request: Fields) -> Access | None:
    if "uri" not in request or "status" not in fields:
        return None
    headers = {name.lower(): values for name, values in (request.get("headers") or {}).items()}
    answered = {name.lower(): values for name, values in (fields.get("resp_headers") or {}).items()}
    address = next((str(request[name]) for name in ("client_ip", "remote_ip") if request.get(name)), "")
    return Access(
        at=moment_of(fields.get("ts")),
        address=address or _without_port(str(request.get("remote_addr", ""))),
        method=str(request.get("method", "")),
        target=str(request["uri"]),
        status=int(fields["status"]),
        host=str(request.get("host", "")),
        referrer=_first(headers, "referer"),
        user_agent=_first(headers, "user-agent"),
        content_type=_first(answered, "content-type"),
        signals=Signals(gpc=_first(headers, "sec-gpc") == "1", dnt=_first(headers, "dnt") == "1", cookie=""),
        prefetch="prefetch" in _first(headers, "sec-purpose") + _first(headers, "purpose"),
    )


def _of_others(fields: Fields) -> Access | None:
    given = {name.lower(): value for name, value in fields.items()}
    status, time = _named(given, _STATUS), _named(given, _TIME)
    method, target = _text(given, _METHOD), _text(given, _TARGET)
    if isinstance(given.get("request"), str):
        method, target = split_request(given["request"])
    if not (method and target and time) or not str(status).isdecimal():
        return None
    query = _text(given, ("args", "query_string"))
    agent = _named(given, _USER_AGENT)
    return Access(
        at=moment_of(time),
        address=_without_port(_text(given, _ADDRESS)),
        method=method,
        target=f"{target}?{query}" if query and "?" not in target else target,
        status=int(str(status)),
        host=_text(given, _HOST),
        referrer=_text(given, _REFERRER),
        user_agent=_text(given, _USER_AGENT),
        content_type=_text(given, _TYPE),
        has_user_agents=agent is not None,
    )


def _named(fields: Fields, names: Iterable[str]) -> object:
    return next((fields[name] for name in names if fields.get(name) not in (None, "")), None)


def _text(fields: Fields, names: Iterable[str]) -> str:
    value = _named(fields, names)
    return plain(str(value)) if isinstance(value, str | int) else ""


def _first(headers: Mapping[str, Any], name: str) -> str:
    values = headers.get(name)
    if isinstance(values, list):
        return str(values[0]) if values else ""
    return str(values) if isinstance(values, str) else ""


def _without_port(address: str) -> str:
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address.partition(":")[0] if address.count(":") == 1 else address


def _recognises(file: ImportedFile) -> bool:
    # The last line of the beginning may be cut off.
    for line in file.text.splitlines()[:200]:
        if line.startswith("{"):
            try:
                if parse(line) is not None:
                    return True
            except UNREADABLE:
                continue
    return False


def _read(file: ImportedFile, target: ImportTarget) -> None:
    for number, line in file.lines():
        if not line:
            continue
        try:
            access = parse(line)
        except UNREADABLE:
            target.leave_out("unreadable", number)
            continue
        if access is None:
            target.leave_out("not_counted", number)
        else:
            take(access, target, number)


JSON_LOG: Final = Format("json-log", "access log (Caddy, Traefik, nginx as JSON)", _recognises, _read)
