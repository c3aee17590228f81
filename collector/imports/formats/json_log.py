"""Access logs with one JSON object a line: Caddy's of all ages, Traefik's, CloudFront's, and nginx's own `log_format`
whose keys are names of nginx's variables or common ones.

Caddy's default on a terminal is a line of text with the object at its end; its time stands before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

import msgspec

from collector.imports.file import ImportedFile
from collector.imports.formats.access import Access, client_address, plain, split_request, take, without_port
from collector.imports.formats.format import UNREADABLE, Format
from collector.imports.formats.log_times import moment_of
from collector.imports.formats.w3c_log import of_row
from collector.imports.target import ImportTarget
from collector.privacy.consent import NO_SIGNALS, Signals

Fields = Mapping[str, Any]

STEM: Final = "cs-uri-stem"
"""A key of CloudFront's and IIS's logs."""

# Names of each part, without capitals and what is between words; the first that a line has is taken.
_TIME = (
    "startutc", "timeiso8601", "timestamp", "timelocal", "msec", "ts", "time", "datetime", "date", "startlocal",
)  # fmt: skip
_ADDRESS = (
    "clienthost", "clientip", "remoteaddr", "remoteip", "clientaddr", "clientaddress", "remoteaddress", "remotehost",
    "remote", "client", "ip", "addr",
)  # fmt: skip
_FORWARDED = ("httpxforwardedfor", "xforwardedfor", "requestxforwardedfor", "httpxrealip", "xrealip")
_METHOD = ("requestmethod", "method", "verb", "httpmethod", "reqmethod")
_TARGET = ("requesturi", "requestpath", "uri", "url", "path", "requesturl", "target")
_STATUS = ("downstreamstatus", "status", "statuscode", "responsestatus", "httpstatus", "responsecode", "originstatus",
           "code")  # fmt: skip
_REFERRER = ("requestreferer", "httpreferer", "httpreferrer", "referer", "referrer")
_USER_AGENT = ("requestuseragent", "httpuseragent", "useragent", "agent", "ua")
_HOST = ("requesthost", "httphost", "host", "servername", "vhost", "virtualhost", "domain", "requestaddr")
_TYPE = ("downstreamcontenttype", "senthttpcontenttype", "contenttype")
_CONSENT = (("secgpc", "requestsecgpc", "httpsecgpc"), ("dnt", "requestdnt", "httpdnt"))

_decode = msgspec.json.Decoder(dict[str, Any]).decode


def parse(line: str) -> Access | None:
    """The request of one line; None where the line is of something else. Raises `ValueError`."""
    before, brace, rest = line.partition("{")
    try:
        fields = _decode(brace + rest)
    except (msgspec.MsgspecError, RecursionError):
        raise ValueError("expected an object of JSON") from None
    if before.strip():
        fields.setdefault("ts", before.partition("\t")[0])
    request = fields.get("request")
    if isinstance(request, dict):
        return _of_caddy(fields, request)
    return of_row({name.lower(): str(value) for name, value in fields.items()}) if STEM in fields else of_fields(fields)


def _of_caddy(fields: Fields, request: Fields) -> Access | None:
    if "uri" not in request or "status" not in fields:
        return None
    headers = {name.lower(): values for name, values in (request.get("headers") or {}).items()}
    answered = {name.lower(): values for name, values in (fields.get("resp_headers") or {}).items()}
    address = next((str(request[name]) for name in ("client_ip", "remote_ip") if request.get(name)), "")
    return Access(
        at=moment_of(fields.get("ts")),
        address=without_port(address or str(request.get("remote_addr", ""))),
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


def of_fields(fields: Fields) -> Access | None:
    """The request of named parts; None where they are not of one. Raises `ValueError`."""
    given = {_squeezed(name): value for name, value in fields.items()}
    status, time = _named(given, _STATUS), _named(given, _TIME)
    method, target = _text(given, _METHOD), _text(given, _TARGET)
    request = given.get("request") or given.get("requestline")
    if isinstance(request, str) and " " in request:
        method, target = split_request(request)
    if not (method and target and time) or not str(status).isdecimal():
        return None
    query = _text(given, ("args", "querystring", "query")).removeprefix("?")
    agent = _named(given, _USER_AGENT)
    gpc, dnt = (_text(given, names) == "1" for names in _CONSENT)
    return Access(
        at=moment_of(time),
        address=client_address(without_port(_text(given, _ADDRESS)), _text(given, _FORWARDED)),
        method=method,
        target=f"{target}?{query}" if query and "?" not in target else target,
        status=int(str(status)),
        host=_text(given, _HOST),
        referrer=_text(given, _REFERRER),
        user_agent=_text(given, _USER_AGENT),
        content_type=_text(given, _TYPE),
        has_user_agents=agent is not None,
        signals=Signals(gpc=gpc, dnt=dnt, cookie="") if gpc or dnt else NO_SIGNALS,
        prefetch="prefetch" in _text(given, ("secpurpose", "httpsecpurpose")),
    )


@lru_cache(maxsize=1_024)
def _squeezed(name: str) -> str:
    return _NOT_LETTERS.sub("", name.lower())


_NOT_LETTERS = re.compile(r"[^a-z0-9]+")


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


def _recognises(file: ImportedFile) -> bool:
    # The last line of the beginning may be cut off.
    for line in file.text.splitlines()[:200]:
        if "{" in line:
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
            take(access, target, number, line)


JSON_LOG: Final = Format("json-log", "access log (Caddy, Traefik, nginx, CloudFront as JSON)", _recognises, _read)
