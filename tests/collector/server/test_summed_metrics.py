"""Metrics of several workers as one text."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from collector.core.metrics import Counters
from collector.server.summed_metrics import labelled, summed


def text(accepted: int, age: float) -> bytes:
    """One worker's metrics."""
    counters = Counters()
    for _ in range(accepted):
        counters.accept("site.test")
    counters.drop("site.test", "bot", "crawler")
    counters.insert_seconds.observe(0.02)
    counters.watch(lambda: {"tyst_spool_oldest_seconds": ("Age.", age), "tyst_spool_rows": ("Rows.", age)})
    return counters.text()


def samples(shown: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Values by name and labels."""
    families = text_string_to_metric_families(shown.decode())
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def test_counts_are_added_up_and_of_ages_the_greatest_is_shown() -> None:
    """Counters, labels, histograms and gauges alike."""
    found = samples(summed({1: text(3, 2.0), 2: text(4, 7.0)}, workers=3))
    assert found["tyst_accepted_total", ()] == 7
    assert found["tyst_dropped_total", (("reason", "bot"),)] == 2
    assert found["tyst_insert_seconds_bucket", (("le", "0.025"),)] == 2
    assert found["tyst_spool_oldest_seconds", ()] == 7
    assert found["tyst_spool_rows", ()] == 9
    assert (found["tyst_workers_answering", ()], found["tyst_workers", ()]) == (2, 3)


def test_each_worker_can_be_told_apart() -> None:
    """By a label."""
    found = samples(labelled({1: text(3, 2.0), 2: text(4, 7.0)}))
    assert found["tyst_accepted_total", (("worker", "1"),)] == 3
    assert found["tyst_accepted_total", (("worker", "2"),)] == 4
