"""Access logs by their own format string, as nginx's `log_format` writes it: text with `$variables`, or JSON with them.

The whole directive may be given, as it stands in the configuration. Values are escaped as nginx does it: `\\x22` by
default, as in JSON with `escape=json`. Lines of JSON are read by their keys, in any order; where they are none, because
nginx did not escape them so, by the text around the variables.
"""

from __future__ import annotations

import json
import re
from functools import partial
from typing import Any, Final

import msgspec

from collector.core.errors import ImportRefused
from collector.imports.file import ImportedFile
from collector.imports.formats.access import Access, take, unescaped
from collector.imports.formats.format import UNREADABLE, Format
from collector.imports.formats.json_log import of_fields
from collector.imports.target import ImportTarget

LONGEST: Final = 4_000
"""Characters of a format string."""
LONGEST_LINE: Final = 16_384
"""Characters of a line that has that format."""
PREDEFINED: Final = {
    "common": '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent',
    "combined": '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" '
    '"$http_user_agent"',
}
NEEDED: Final = ("time", "request", "status")
"""Parts that a format has to have."""

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_DIRECTIVE = re.compile(r"\s*(?:log_format\s+[^\s'\"]+\s+)?(?:escape=\w+\s+)?(?=['\"])")
_STRING = re.compile(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"|;|\s+", re.DOTALL)
_QUOTED = r'((?:[^"\\]|\\.)*+)'
_UNQUOTED = {"time_local": r"[^\]\"]*", "request_uri": r"\S*", "uri": r"\S*", "host": r'[^\s/"]*'}
"""What variables are made of that may have another right after them."""
_MEMBER = re.compile(r'"([^"]+)"\s*:\s*("(?:[^"\\]|\\.)*"|[^",{}\s]+)')

_decode = msgspec.json.Decoder(dict[str, Any]).decode


class LogFormat:
    """A format string, ready to read lines. Raises `ImportRefused` for one that says too little."""

    def __init__(self, text: str) -> None:
        text = _string_of(PREDEFINED.get(text.strip(), text)[:LONGEST])
        self._is_json = text.lstrip().startswith("{")
        self._whole, self._names = _pattern(text)
        self._members = {}
        if self._is_json:
            for key, value in _MEMBER.findall(text):
                if _VARIABLE.search(value):
                    self._members[key] = _pattern(value.removeprefix('"').removesuffix('"'), within=True)
        names = set(self._names)
        told = {
            "time": names & {"time_local", "time_iso8601", "msec"},
            "request": names & {"request", "request_uri", "uri"},
            "status": names & {"status"},
        }
        if missing := [name for name in NEEDED if not told[name]]:
            raise ImportRefused(
                "log_format",
                "expected a format with the variables of nginx: $time_local, $request and $status at least; missing "
                "here: {missing}",
                missing=", ".join(missing),
            )
        self._has_agents = "http_user_agent" in names

    def parse(self, line: str) -> Access:
        """The request of a line. Raises `ValueError`."""
        if len(line) > LONGEST_LINE:
            raise ValueError("expected a line of an access log")
        fields = self._members_of(line) if self._is_json else None
        if fields is None:
            found = self._whole.match(line)
            if found is None:
                raise ValueError("expected a line of this format")
            values = (each if "\\" not in each else _plain(each, is_json=self._is_json) for each in found.groups())
            fields = dict(zip(self._names, values, strict=True))
        if "request_method" not in fields and "request" not in fields:
            fields["request_method"] = "GET"
        access = of_fields(fields)
        if access is None:
            raise ValueError("expected time, request and status")
        return access if self._has_agents else msgspec.structs.replace(access, has_user_agents=False)

    def fits(self, line: str) -> bool:
        """Whether a line is of this format."""
        try:
            self.parse(line)
        except UNREADABLE:
            return False
        return True

    def _members_of(self, line: str) -> dict[str, object] | None:
        """Variables by the members of a line of JSON, None where it is none."""
        try:
            members = _decode(line)
        except (msgspec.MsgspecError, RecursionError):
            return None
        fields: dict[str, object] = {}
        for key, (pattern, names) in self._members.items():
            value = members.get(key)
            found = pattern.fullmatch(value if isinstance(value, str) else str("" if value is None else value))
            if found:
                fields |= zip(names, found.groups(), strict=True)
        return fields


def _string_of(text: str) -> str:
    """The format string of a directive, whose parts are in quotes; or the text as it is."""
    begins = _DIRECTIVE.match(text)
    if begins is None:
        return text.strip().removesuffix(";")
    parts, at = [], begins.end()
    while found := _STRING.match(text, at):
        part = found[1] if found[1] is not None else found[2]
        if part is not None:
            parts.append(re.sub(r"\\(['\"\\$])", r"\1", part))
        at = found.end()
    return "".join(parts) if at == len(text) and parts else text.strip()


def _pattern(text: str, *, within: bool = False) -> tuple[re.Pattern[str], list[str]]:
    """A pattern of lines with this text, and the names of the variables that its groups are. `within` a value of JSON,
    which is decoded already, variables go as far as the text after them.

    A variable ends where the text after it first is. Nothing is tried twice: each is an atomic group with that text.
    """
    found = list(_VARIABLE.finditer(text))
    starts = [*(each.start() for each in found), len(text)]
    names, pieces = [], [_literal(text[: starts[0]])]
    for each, end in zip(found, starts[1:], strict=True):
        name, literal = each[1] or each[2], text[each.end() : end]
        names.append(name)
        if text[max(each.start() - 1, 0) : each.start()] == literal[:1] == '"' and not within:
            value = _QUOTED
        elif each.end() == len(text):
            value = "(.*)" if within or name == "http_user_agent" else r"(\S*)"
        else:
            # Where another variable follows, as far as possible.
            value = f"({_UNQUOTED[name]}{'?' if literal else ''})" if name in _UNQUOTED else "(.*?)"
        pieces.append(f"(?>{value}{_literal(literal)})")
    return re.compile("".join(pieces), re.DOTALL), names


def _literal(text: str) -> str:
    """Text in which any white space is any other. It begins with all of it, so that a run of it is looked at once."""
    pattern = re.sub(r"(\\?\s)+", r"\\s++", re.escape(text))
    return rf"(?<!\s){pattern}" if text[:1].isspace() else pattern


def _plain(text: str, *, is_json: bool) -> str:
    """A value without its escapes."""
    if is_json and "\\x" not in text:
        try:
            return str(json.loads(f'"{text}"'))
        except ValueError:
            return text
    return unescaped(text)


def own_format(text: str) -> Format:
    """The format of access logs with lines of this format string. Raises `ImportRefused`."""
    form = LogFormat(text)
    return Format("log-format", "access log by its format string", partial(_recognises, form), partial(_read, form))


def _recognises(form: LogFormat, file: ImportedFile) -> bool:
    return any(form.fits(line) for line in file.text.splitlines())


def _read(form: LogFormat, file: ImportedFile, target: ImportTarget) -> None:
    for number, line in file.lines():
        if not line:
            continue
        try:
            access = form.parse(line)
        except UNREADABLE:
            target.leave_out("unreadable", number)
            continue
        take(access, target, number, line)
