"""Names of countries in the languages of other products, as CLDR has them."""

from __future__ import annotations

from functools import cache
from typing import Final

from babel import Locale

from collector.imports.formats.names import country

LANGUAGES: Final = (
    "en", "de", "fr", "es", "it", "pt", "nl", "sv", "da", "nb", "fi", "pl", "cs", "sk", "hu", "ro", "bg", "hr", "sl",
    "sr", "lt", "lv", "et", "el", "tr", "ru", "uk", "ja", "zh", "zh_Hant", "ko", "id", "vi", "th", "ar", "he", "hi",
    "ca",
)  # fmt: skip
"""In the order in which they are looked in."""
_OTHERS: Final = {
    "türkiye": "TR", "turkey": "TR", "czech republic": "CZ", "hong kong": "HK", "macao": "MO", "macau": "MO",
    "south korea": "KR", "russian federation": "RU", "the netherlands": "NL", "myanmar (burma)": "MM",
    "côte d’ivoire": "CI", "ivory coast": "CI", "united states of america": "US",
}  # fmt: skip


@cache
def _names(language: str) -> dict[str, str]:
    territories = Locale.parse(language).territories
    return {str(name).casefold(): code for code, name in territories.items() if len(code) == 2 and code.isalpha()}


def country_named(name: str) -> str:
    """ISO 3166-1 alpha-2 code of a name in one of the languages, or of the code itself; empty where it is none."""
    if len(name) == 2 and name.isascii() and name.isupper():
        return country(name)
    folded = name.strip().casefold()
    if not folded:
        return ""
    found = _OTHERS.get(folded) or next((names[folded] for each in LANGUAGES if folded in (names := _names(each))), "")
    return country(found)
