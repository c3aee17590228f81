"""Figures of collection: how far labels made by others agree, how many programs are known, how small the snippet is.

Needs the packages of the tests. `python -m bench.collection` prints the table.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from collector.core.resources import resource_path
from collector.enrichment.bot_detection import BotDetector
from collector.enrichment.referrer_sources import KINDS
from collector.enrichment.user_agent import UserAgentParser
from tests.oracle.devices import measure, second_opinion
from tests.oracle.programs import people, programs, sampled_people


@dataclass(frozen=True, slots=True)
class AgreementRow:
    """One row of the table."""

    what: str
    found: str
    reach: str
    over: str


def figures() -> Iterator[AgreementRow]:
    """Measure everything; half a minute."""
    devices, bots = UserAgentParser(), BotDetector()
    yield from _devices(devices)
    yield from _bots(bots)
    hosts = sum(len(hosts) for table in KINDS.values() for hosts in table.values())
    names = sum(len(table) for table in KINDS.values())
    yield AgreementRow("sources known by name", f"{names:,}", "300", f"{hosts:,} hosts and apps")
    plain = resource_path("tyst.js").read_bytes()
    size = len(gzip.compress(plain, compresslevel=9, mtime=0))
    brotli = len(resource_path("tyst.js.br").read_bytes())
    yield AgreementRow("snippet, Brotli", f"{brotli:,} bytes", "2,370", "as browsers take it over TLS")
    yield AgreementRow("snippet, gzipped", f"{size:,} bytes", "2,600", f"{len(plain):,} bytes plain")


def _devices(devices: UserAgentParser) -> Iterator[AgreementRow]:
    agreement = measure(devices)
    over = f"{agreement.entries:,} labelled user agents"
    yield AgreementRow("system agrees", _share(agreement.system), "95 %", over)
    yield AgreementRow("browser agrees", _share(agreement.browser), "93 %", over)
    yield AgreementRow("class of device agrees", _share(agreement.form), "95 %", over)
    sampled = sampled_people()
    agreed = sum(devices.read(text).kind == second_opinion(text) for text in sampled)
    yield AgreementRow(
        "class, a second opinion", _share(agreed / len(sampled)), "99 %", f"{len(sampled):,} sampled visits"
    )


def _bots(bots: BotDetector) -> Iterator[AgreementRow]:
    known = programs()
    dropped = sum(bool(bots.kind(text)) for text in known)
    yield AgreementRow("programs dropped", _share(dropped / len(known)), "99 %", f"{len(known):,} seen by others")
    for what, texts in (("listed", people()), ("sampled", list(sampled_people()))):
        wrongly = sum(bool(bots.kind(text)) for text in texts)
        yield AgreementRow(f"people dropped, {what}", str(wrongly), "0", f"{len(texts):,} browsers")


def _share(share: float) -> str:
    return f"{share:.2%}".replace("%", " %")


def main(_: Sequence[str] = ()) -> int:
    """Print the table."""
    print(f"{'what':26} {'found':>12}  {'reach':>6}  over")
    for figure in figures():
        print(f"{figure.what:26} {figure.found:>12}  {figure.reach:>6}  {figure.over}")
    return 0


if __name__ == "__main__":
    main()
