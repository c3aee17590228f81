"""Texts of the privacy notice: in English from `data/privacy_notice.toml`, translated by the catalogues."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

import msgspec

from collector.sites.model import Policy
from dashboard.i18n.translations import translated

DATA: Final = Path(__file__).resolve().parents[1] / "data" / "privacy_notice.toml"

Texts = tuple[str, ...]


class NoticeTexts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The sentences of a notice in one language."""

    title: str
    who_title: str
    who: str
    missing_controller: str
    missing_contact: str
    missing_hosting: str
    why_title: str
    why: Texts
    what_title: str
    what: Mapping[Policy, str]
    collected: Texts
    keys: str
    datacenter: str
    never_title: str
    never: Texts
    legal_title: str
    legal: Mapping[Policy, Texts]
    kept_title: str
    kept_days: str
    kept_today: str
    kept: Texts
    cookie_title: str
    cookie: Mapping[Policy, str]
    recipients_title: str
    recipients: str
    hosting: str
    rights_title: str
    rights_intro: str
    withdrawal: str
    rights: Texts
    complaint_title: str
    complaint: str
    changes_title: str
    version: str
    first_version: str
    later_version: str
    reworded: str
    nothing: str
    labels: Mapping[str, str]
    """Names of the facts whose change makes a new version."""


@cache
def english() -> NoticeTexts:
    """The texts as the data file has them."""
    return msgspec.toml.decode(DATA.read_bytes(), type=NoticeTexts)


def notice_texts(language: str) -> NoticeTexts:
    """The texts in a language, which must be one of `languages()`; what it does not translate is in English."""
    return msgspec.convert(translated(msgspec.to_builtins(english()), language), NoticeTexts)
