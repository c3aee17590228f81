"""The forms in which an address or a user agent could lie in bytes, and a search for them.

A form of eight bytes or more does not occur by chance. The four bytes of an IPv4 address may: a megabyte of
compressed data has any given four with a probability of about 1 in 4,000. So several addresses are sent that do
exactly the same, and four bytes count as a find only where those of two addresses are there.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from urllib.parse import quote

from dashboard.compliance.leak_search import files_below

HASHES = ("md5", "sha1", "sha224", "sha256", "sha512", "sha3_256", "blake2b", "blake2s")

# From so many needles of one length on, looking each part of the content up is faster than looking for each needle.
MANY = 50

# Characters of base64 that also depend on what stands before, by the number of bytes that do.
_BASE64_SKIPPED = (0, 2, 3)
_EMPTY = re.compile(rb"\0{64,}")


@dataclass(frozen=True, slots=True)
class Form:
    """One form: whose it is, how it came about, and the bytes to look for. Text has its letters in lower case."""

    owner: str
    how: str
    needle: bytes
    text: bool = False

    @property
    def certain(self) -> bool:
        """Whether one find is proof."""
        return len(self.needle) > 4


def forms_of_text(owner: str, text: str) -> Iterator[Form]:
    """Text as it is, in other encodings, escaped, and hashed."""
    lower = text.lower()
    for encoding in ("utf-8", "latin-1", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"):
        yield Form(owner, encoding, lower.encode(encoding), text=True)
    once = quote(text, safe="")
    for how, escaped in (
        ("percent", once),
        ("percent twice", quote(once, safe="")),
        ("form", once.replace("%20", "+")),
    ):
        yield Form(owner, how, escaped.lower().encode(), text=True)
    yield Form(owner, "hex", text.encode().hex().encode(), text=True)
    yield Form(owner, "backwards", lower[::-1].encode(), text=True)
    yield from _base64_forms(owner, "base64", text.encode())
    yield from forms_of_hashes(owner, text.encode())


def forms_of_address(address: str) -> Iterator[Form]:
    """An address as text, as a number, packed, and hashed; also the network that it is in."""
    parsed = ipaddress.ip_address(address)
    packed, number = parsed.packed, str(int(parsed))
    short = address.rpartition(".")[0] + "." if parsed.version == 4 else ":".join(parsed.exploded.split(":")[:4])
    for text in {address, parsed.exploded, short, number, parsed.reverse_pointer.removesuffix(".in-addr.arpa")}:
        yield from forms_of_text(address, text)
    yield Form(address, "hex", packed.hex().encode(), text=True)
    yield Form(address, "hex backwards", packed[::-1].hex().encode(), text=True)
    yield Form(address, "packed", packed)
    yield Form(address, "packed backwards", packed[::-1])
    if parsed.version == 6:
        yield Form(address, "packed network", packed[:8])
        yield Form(address, "packed network backwards", packed[:8][::-1])
        yield from _base64_forms(address, "packed, base64", packed)
    else:
        mapped = ipaddress.ip_address(f"::ffff:{address}")
        groups = mapped.exploded[-9:]
        yield Form(address, "mapped, packed", mapped.packed[-6:])
        yield Form(address, "mapped, packed backwards", mapped.packed[-6:][::-1])
        yield from forms_of_text(address, f"::ffff:{address}")
        yield from forms_of_text(address, groups)
        yield from forms_of_text(address, address.replace(".", "-"))
        yield from forms_of_hashes(address, mapped.packed)
    yield from forms_of_hashes(address, packed)


def forms_joined(owner: str, *parts: str) -> Iterator[Form]:
    """Hashes over several texts together, in each order and with the usual separators."""
    for order in permutations(parts):
        for separator in ("", "|", ":", "-", "\0", " "):
            yield from forms_of_hashes(owner, separator.join(order).encode())


def forms_of_hashes(owner: str, raw: bytes) -> Iterator[Form]:
    """The first eight bytes of common hashes without a key: in both orders, as hex, as decimal, as base64."""
    for name in HASHES:
        digest = hashlib.new(name, raw, usedforsecurity=False).digest()[:8]
        yield Form(owner, name, digest)
        yield Form(owner, f"{name} backwards", digest[::-1])
        yield Form(owner, f"{name} hex", digest.hex().encode(), text=True)
        yield Form(owner, f"{name} big", str(int.from_bytes(digest, "big")).encode())
        yield Form(owner, f"{name} little", str(int.from_bytes(digest, "little")).encode())
        yield Form(owner, f"{name} base64", base64.b64encode(digest)[:10])


def _base64_forms(owner: str, how: str, raw: bytes) -> Iterator[Form]:
    """Wherever in a longer text it begins, base64 of it has one of three forms."""
    for offset, skipped in enumerate(_BASE64_SKIPPED):
        whole = (offset + len(raw)) * 8 // 6
        encoded = base64.b64encode(bytes(offset) + raw)[skipped:whole]
        yield Form(owner, how, encoded)
        yield Form(owner, f"{how}, url", encoded.replace(b"+", b"-").replace(b"/", b"_"))


class Needles:
    """Forms of one length, and of one kind: letters in lower case, or bytes."""

    def __init__(self, forms: dict[bytes, Form]) -> None:
        self._forms = forms
        self._length = len(next(iter(forms)))
        # A needle of digits can only be in a run of digits.
        letters = re.escape(bytes(sorted(set().union(*forms))))
        self._runs = re.compile(b"[%s]{%d,}" % (letters, self._length), re.DOTALL)

    def within(self, content: bytes) -> Iterable[Form]:
        """The forms that `content` has somewhere."""
        if len(self._forms) < MANY:
            return [form for needle, form in self._forms.items() if needle in content]
        size, runs = self._length, self._runs.findall(content)
        parts = (run[end - size : end] for run in runs for end in range(size, len(run) + 1))
        return {self._forms[part] for part in parts if part in self._forms}


def find(forms: Iterable[Form], places: Iterable[tuple[str, bytes]]) -> list[str]:
    """Which forms are in which of `places` (name, bytes), in words that show no more than is needed."""
    groups: dict[tuple[bool, int], dict[bytes, Form]] = defaultdict(dict)
    for form in forms:
        groups[form.text, len(form.needle)].setdefault(form.needle, form)
    sought = [(text, Needles(group)) for (text, _), group in groups.items()]
    found = []
    for name, content in places:
        lower = content.lower()
        found += [(form, name) for text, needles in sought for form in needles.within(lower if text else content)]
    chance = {form.owner for form, _ in found if not form.certain}
    return sorted(f"{form.owner} ({form.how}) in {name}" for form, name in found if form.certain or len(chance) > 1)


def written_below(directory: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of every file below a directory, long runs of zeros shortened.

    Those that go while it is read are gone.
    """

    def unreadable(place: str) -> None:
        raise AssertionError(f"{place} cannot be listed")

    for path in files_below(directory, refuse=unreadable):
        try:
            if path.is_file():
                yield str(path.relative_to(directory)), _EMPTY.sub(bytes(64), path.read_bytes())
        except FileNotFoundError:
            continue
