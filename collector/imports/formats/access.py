"""The rules of access logs: which requests are page views.

A page view is a GET that was answered 200 to 299 or 304, of something that is no asset, by a client that is no bot.
Redirects, errors and other methods are none. Addresses and user agents are read, hashed under a salt that is destroyed
when the import has been read, and forgotten.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final

import msgspec

from collector.enrichment.client_ip import network_of
from collector.imports.target import ImportTarget
from collector.imports.visits import foreign_request
from collector.privacy.consent import NO_SIGNALS, Signals
from collector.sites.hostnames import is_address, is_at_or_under

ASSETS: Final = frozenset({
    "7z", "ai", "apk", "asc", "atom", "avi", "avif", "bin", "bmp", "br", "bz2", "cer", "class", "crt", "css", "csv",
    "cur", "dat", "deb", "dll", "dmg", "doc", "docx", "eot", "eps", "exe", "flac", "flv", "gif", "gz", "heic", "ico",
    "ics", "iso", "jar", "jpe", "jpeg", "jpg", "js", "json", "json5", "jsonld", "jxl", "key", "less", "m4a", "m4v",
    "map", "md5", "mjs", "mkv", "mov", "mp3", "mp4", "mpeg", "mpg", "msi", "ods", "odt", "ogg", "ogv", "opus", "otf",
    "pdf", "pem", "pkg", "png", "ppt", "pptx", "ps", "psd", "rar", "rdf", "rpm", "rss", "rtf", "sass", "scss", "sha256",
    "sig", "sql", "svg", "svgz", "swf", "tar", "tgz", "tif", "tiff", "torrent", "ts", "ttf", "txt", "vcf", "wasm",
    "wav", "webm", "webmanifest", "webp", "wma", "wmv", "woff", "woff2", "xls", "xlsx", "xml", "xz", "yaml", "yml",
    "zip", "zst",
})  # fmt: skip
"""Endings of what is no page."""

PAGES: Final = ("text/html", "application/xhtml")
"""Content types of pages; a log without content types goes by endings alone."""

NOTHING: Final = "-"


class Access(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One request of a log; texts are empty where the log says nothing of them."""

    at: int
    """Unix second."""
    address: str
    method: str
    target: str
    """Path and query, or the whole URL."""
    status: int
    host: str = ""
    referrer: str = ""
    user_agent: str = ""
    content_type: str = ""
    has_user_agents: bool = True
    """Whether the log has user agents at all: without them neither bots nor visitors can be told."""
    signals: Signals = NO_SIGNALS
    prefetch: bool = False

    def __repr__(self) -> str:
        """Shows nothing of the visitor, also in a traceback."""
        return "Access(…)"


def take(access: Access, target: ImportTarget, line: int, text: str) -> None:
    """Take one request to the target, or leave it out; `text` is the whole of its line."""
    services = target.services
    if access.user_agent and services.bots.kind(access.user_agent):
        target.leave_out("bot", line)
    elif access.method != "GET":
        target.leave_out("method", line)
    elif is_asset(access.target, access.content_type):
        target.leave_out("static", line)
    elif not (200 <= access.status < 300 or access.status == 304):
        target.leave_out("status", line)
    elif access.host and not is_at_or_under(_bare(access.host), services.sites.own_hosts(target.site)):
        target.leave_out("other_host", line)
    else:
        if not access.has_user_agents:
            target.note("no_user_agents")
        target.note("logs_have_addresses")
        request = foreign_request(
            access.at,
            _url(access, target.site.domain),
            referrer=access.referrer,
            visitor=network_of(access.address),
            address=access.address,
            user_agent=access.user_agent,
            signals=access.signals,
            prefetch=access.prefetch,
            anonymous=not access.has_user_agents,
        )
        target.add_request("requests", request, line, row=text)


def is_asset(target: str, content_type: str) -> bool:
    """Whether a request is for something that is no page."""
    if content_type:
        return not content_type.lower().startswith(PAGES)
    path = target.partition("?")[0].partition("#")[0]
    name = path.rpartition("/")[2]
    return "." in name and name.rpartition(".")[2].lower() in ASSETS


def split_request(request: str) -> tuple[str, str]:
    """Method and target of a request line, such as `GET / HTTP/1.1`. Raises `ValueError`."""
    method, _, rest = request.partition(" ")
    target, _, protocol = rest.rpartition(" ")
    if not protocol.startswith("HTTP/"):
        target = rest
    if not (method.isascii() and method.isalpha() and method.isupper() and target[:1] in ("/", "h", "*")):
        raise ValueError("expected a request line")
    return method, target


_ESCAPE = re.compile(r"\\x([0-9A-Fa-f]{2})|\\(.)")


def unescaped(text: str) -> str:
    """The text without the escapes of Apache and nginx, such as `\\"` and `\\x22`."""
    if "\\" not in text:
        return text
    found = _ESCAPE.sub(lambda each: chr(int(each[1], 16)) if each[1] else each[2], text)
    try:
        return found.encode("latin-1").decode()
    except ValueError:
        return found


def client_address(address: str, forwarded: str) -> str:
    """The address of a client behind proxies: the last public one that they name; where there is none, the first that
    they name in place of a private one."""
    if not forwarded or forwarded == NOTHING:
        return address
    named = [each for part in forwarded.split(",") if (each := without_port(part.strip())) and is_address(each)]
    public = next((each for each in reversed(named) if ipaddress.ip_address(each).is_global), "")
    if public or not named:
        return public or address
    return address if is_address(address) and ipaddress.ip_address(address).is_global else named[0]


def without_port(address: str) -> str:
    """The address of `192.0.2.1:4711` or `[2001:db8::1]:4711`."""
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address.partition(":")[0] if address.count(":") == 1 else address


def plain(text: str) -> str:
    """The text, empty where a log says that there is none."""
    return "" if text == NOTHING else text


def _bare(host: str) -> str:
    host = host.lower().rstrip(".")
    if not host.startswith("["):
        host = host.partition(":")[0]
    return host.removeprefix("www.")


def _url(access: Access, domain: str) -> str:
    if access.target.startswith("/"):
        return f"https://{_bare(access.host) or domain}{access.target}"
    return access.target
