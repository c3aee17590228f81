"""Metrics of several workers as one text in Prometheus' format."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

# Of an age the greatest says something, of everything else the sum.
GREATEST = frozenset({"tyst_spool_oldest_seconds"})


class _Shown:
    """Metrics that are shown as they are."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = list(metrics)

    def collect(self) -> Iterator[Metric]:
        yield from self._metrics


def labelled(texts: Mapping[int, bytes]) -> bytes:
    """Every worker's own metrics, told apart by the label `worker`."""
    families: dict[str, Metric] = {}
    for slot, family, sample in _samples(texts):
        shown = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
        shown.samples.append(sample._replace(labels={**sample.labels, "worker": str(slot)}))
    return _text(families.values())


def summed(texts: Mapping[int, bytes], workers: int) -> bytes:
    """The workers' metrics added up, and how many of them answered."""
    families: dict[str, Metric] = {}
    totals: dict[tuple[str, str, tuple[tuple[str, str], ...]], float] = {}
    for _, family, sample in _samples(texts):
        families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
        key = (family.name, sample.name, tuple(sorted(sample.labels.items())))
        add: Callable[[float, float], float] = max if sample.name in GREATEST else float.__add__
        totals[key] = add(totals[key], sample.value) if key in totals else sample.value
    for (family_name, name, labels), value in totals.items():
        families[family_name].samples.append(Sample(name, dict(labels), value))
    answering = GaugeMetricFamily("tyst_workers_answering", "Workers whose metrics are in these sums.", len(texts))
    all_ = GaugeMetricFamily("tyst_workers", "Workers that there should be.", workers)
    return _text([*families.values(), answering, all_])


def _samples(texts: Mapping[int, bytes]) -> Iterator[tuple[int, Metric, Sample]]:
    for slot, text in texts.items():
        for family in text_string_to_metric_families(text.decode()):
            for sample in family.samples:
                yield slot, family, sample


def _text(metrics: Iterable[Metric]) -> bytes:
    registry = CollectorRegistry()
    registry.register(_Shown(metrics))
    return generate_latest(registry)
