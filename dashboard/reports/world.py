"""The world map's place among the panels. The outlines are drawn in the browser."""

from __future__ import annotations

from typing import Final

MAP: Final = "map"
"""Name of the tab."""
COUNTRIES: Final = 260
"""More than ISO 3166-1 has codes for."""
