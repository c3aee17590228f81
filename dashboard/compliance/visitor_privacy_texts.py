"""Texts of the visitors' privacy page: in English from `data/visitor_privacy.toml`, translated by the catalogues."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

from dashboard.i18n.translations import translated

DATA: Final = Path(__file__).resolve().parents[1] / "data" / "visitor_privacy.toml"


@cache
def english() -> Mapping[str, str]:
    """The texts as the data file has them, by their names."""
    return tomllib.loads(DATA.read_text("utf-8"))


def page_texts(language: str) -> Mapping[str, str]:
    """The texts in a language, which must be one of `languages()`; what it does not translate is in English."""
    return translated(english(), language)
