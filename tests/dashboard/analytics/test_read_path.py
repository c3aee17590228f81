"""The size of the path that a query takes to its result."""

from __future__ import annotations

from pathlib import Path

import dashboard.analytics

MODULES, LINES = 14, 2_200

BESIDE = {
    "what a query and its result are": {"query", "period", "filters", "errors"},
    "the tables of names that queries are written in": {"dimensions", "metrics", "goal_filters"},
    "funnels": {
        "funnels", "funnels_counts", "funnels_filter", "funnels_service", "funnel_places", "funnel_statements",
        "funnel_units",
    },
    "journeys": {
        "journeys", "journeys_filter", "journeys_protection", "journeys_query", "journeys_statements", "journey_paths",
    },
    "other questions about a site": {"property_keys", "current_visitors"},
    "requests of the web": {"client_disconnect"},
    "packages": {"__init__"},
}  # fmt: skip
"""Modules of the package that are not on the path, by what they are."""


def test_the_path_from_a_query_to_its_result_stays_small() -> None:
    """Whoever changes it can read it first: so many modules at most, and so many lines in all of them."""
    (package,) = dashboard.analytics.__path__
    modules = {path.stem: path for path in Path(package).rglob("*.py")}
    beside = set[str]().union(*BESIDE.values())
    assert beside <= modules.keys()
    lines = {name: len(modules[name].read_text().splitlines()) for name in modules.keys() - beside}
    assert len(lines) <= MODULES, lines
    assert sum(lines.values()) <= LINES, lines
