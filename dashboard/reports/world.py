"""The map of the world: its place among the panels. Its outlines are drawn in the browser, from a built file."""

from __future__ import annotations

from typing import Final

MAP: Final = "map"
"""Name of the tab."""
COUNTRIES: Final = 260
"""More than ISO 3166-1 has codes for."""
