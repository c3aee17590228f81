"""The privacy notice of a site, generated from its settings.

A notice is a list of sections, so that it can be a page, HTML or Markdown. It says what is so under the settings of
the moment; what only the operator knows (who it is, where the server stands) comes from settings too, and is marked
plainly where it is missing. The sections follow articles 13 and 14 of the GDPR.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from html import escape
from urllib.parse import quote

import msgspec

from collector.sites.model import Policy, Site
from dashboard.compliance.privacy_notice_texts import NoticeTexts, notice_texts
from dashboard.i18n.translations import speaking
from dashboard.reports.labels import retention_text

EDITION = 10
"""Of the texts themselves; raised whenever they come to say something else. The first is stored as nothing."""


class Facts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All facts that the notice depends on; a change of one makes a new version."""

    domain: str
    consent: Policy
    retention_days: int
    timezone: str
    controller: str = ""
    contact: str = ""
    hosting: str = ""
    query_keys: tuple[str, ...] = ()
    datacenter: str = ""
    """`mark` where visits from data centers are marked, else empty: then nothing is stored of that."""
    edition: int = 1

    @property
    def digest(self) -> str:
        """Eight characters that differ where the facts do."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:8]


class Section(msgspec.Struct, frozen=True):
    """A heading, paragraphs, and a list under them."""

    title: str
    paragraphs: tuple[str, ...]
    items: tuple[str, ...] = ()


class NoticeVersion(msgspec.Struct, frozen=True):
    """A version of a site's notice: number, Unix second from which it applies, and facts."""

    number: int
    since: int
    facts: Facts


def facts_of(site: Site) -> Facts:
    """What the site's notice depends on."""
    return Facts(
        domain=site.domain,
        consent=site.consent,
        retention_days=site.retention_days,
        timezone=site.timezone,
        controller=site.controller,
        contact=site.contact,
        hosting=site.hosting,
        query_keys=site.query_keys,
        datacenter="mark" if site.datacenter == "mark" else "",
        edition=EDITION,
    )


def sections(facts: Facts, language: str, page: str) -> list[Section]:
    """The notice. `page` is the address of the visitors' page."""
    words = notice_texts(language)
    legal = words.legal[facts.consent]
    with speaking(language):
        kept = words.kept_days.format(period=retention_text(facts.retention_days))
    kept = words.kept_today if facts.retention_days == 1 else kept
    collected = [*words.collected, *([words.keys.format(keys=", ".join(facts.query_keys))] if facts.query_keys else [])]
    collected += [words.datacenter] if facts.datacenter else []
    return [
        Section(words.who_title, (words.who.format(
            controller=facts.controller or words.missing_controller, contact=facts.contact or words.missing_contact,
            site=facts.domain,
        ),)),
        Section(words.why_title, words.why),
        Section(words.what_title, (words.what[facts.consent],), tuple(collected)),
        Section(words.never_title, (), words.never),
        Section(words.legal_title, legal),
        Section(words.kept_title, (kept, *words.kept), ()),
        Section(words.cookie_title, (words.cookie[facts.consent],)),
        Section(words.recipients_title, (
            words.recipients, words.hosting.format(hosting=facts.hosting or words.missing_hosting),
        )),
        Section(words.rights_title, (
            words.rights_intro.format(page=page), words.withdrawal.format(site=facts.domain),
        ), words.rights),
        Section(words.complaint_title, (words.complaint,)),
    ]  # fmt: skip


def missing(facts: Facts) -> list[str]:
    """Settings that only the operator can give and that are not given."""
    return [name for name in ("controller", "contact", "hosting") if not getattr(facts, name)]


def changed(before: Facts, after: Facts, language: str) -> list[str]:
    """What one version says differently from the one before, in words."""
    words = notice_texts(language)
    found = []
    for name, label in words.labels.items():
        old, new = getattr(before, name), getattr(after, name)
        if old != new:
            found.append(f"{label}: {_value(old, words)} → {_value(new, words)}")
    return found


def _value(value: object, texts: NoticeTexts) -> str:
    text = ", ".join(value) if isinstance(value, tuple) else str(value)
    return text or texts.nothing


def heading(facts: Facts, language: str) -> str:
    """The notice's own title."""
    return notice_texts(language).title.format(site=facts.domain)


def version_line(editions: Sequence[NoticeVersion], language: str, day: str) -> str:
    """Which version this is, and since when."""
    last = editions[-1]
    return notice_texts(language).version.format(number=last.number, digest=last.facts.digest, day=day)


def change_log(editions: Sequence[NoticeVersion], language: str, days: Sequence[str]) -> list[str]:
    """One line per version, the newest first; `days` are the dates since which they hold. What the oldest has changed
    is not known any more, unless it is the first."""
    words = notice_texts(language)
    oldest = words.first_version if editions[0].number == 1 else words.later_version
    lines = [oldest.format(number=editions[0].number, day=days[0], what="…")]
    for (before, after), day in zip(itertools.pairwise(editions), days[1:], strict=True):
        what = "; ".join(changed(before.facts, after.facts, language)) or words.reworded
        lines.append(words.later_version.format(number=after.number, day=day, what=what))
    return lines[::-1]


def as_markdown(title: str, body: Sequence[Section], version: str, log_title: str, log: Sequence[str]) -> str:
    """The notice as Markdown."""

    def lines() -> Iterator[str]:
        yield f"# {_plain(title)}"
        for section in body:
            yield f"## {_plain(section.title)}"
            yield from map(_plain, section.paragraphs)
            if section.items:
                yield "\n".join(f"- {_plain(item)}" for item in section.items)
        yield f"## {log_title}"
        yield _plain(version)
        yield "\n".join(f"- {_plain(line)}" for line in log)

    return "\n\n".join(lines()) + "\n"


def _plain(text: str) -> str:
    """Text whose angle brackets are no HTML."""
    return text.replace("&", "&amp;").replace("<", "&lt;")


def as_html(title: str, body: Sequence[Section], version: str, log_title: str, log: Sequence[str]) -> str:
    """The notice as a piece of HTML, to be pasted into a page of the site."""

    def listed(items: Sequence[str]) -> str:
        return "<ul>\n" + "\n".join(f"  <li>{escape(item)}</li>" for item in items) + "\n</ul>"

    def lines() -> Iterator[str]:
        yield f"<h1>{escape(title)}</h1>"
        for section in body:
            yield f"<h2>{escape(section.title)}</h2>"
            yield from (f"<p>{escape(paragraph)}</p>" for paragraph in section.paragraphs)
            if section.items:
                yield listed(section.items)
        yield f"<h2>{escape(log_title)}</h2>"
        yield f"<p>{escape(version)}</p>"
        yield listed(log)

    return "\n".join(lines()) + "\n"


def visitor_page_path(site: Site) -> str:
    """The path of the site's page for visitors."""
    return f"/privacy/{quote(site.domain)}"
