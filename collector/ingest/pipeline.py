"""The ingestion pipeline: the steps from a beacon to an event, in their order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from collector.ingest import steps
from collector.ingest.context import BeaconRequest, EventContext, PipelineServices, Rejection
from collector.ingest.event import Event
from collector.ingest.event_builder import build_event, build_limited_event

Step = Callable[[EventContext, PipelineServices], Rejection | None]

STEPS: tuple[Step, ...] = (
    steps.drop_unknown_site,
    steps.drop_without_consent,
    steps.drop_prefetch,
    steps.drop_bot,
    steps.put_day,
    steps.put_page,
    steps.put_datacenter,
    steps.put_country,
    steps.drop_excluded,
    steps.drop_spam_referrer,
    steps.drop_datacenter,
    steps.put_device,
    steps.put_visitor,
    steps.put_visit,
    steps.put_origin,
    steps.put_visit_counters,
)


def run(
    request: BeaconRequest, domain: str, services: PipelineServices, order: Sequence[Step] = STEPS
) -> Event | Rejection:
    """Take one beacon through the steps for one of its sites."""
    draft = EventContext(request, domain)
    for step in order:
        dropped = step(draft, services)
        if dropped is not None:
            return dropped
    return build_limited_event(draft, services) if draft.limited else build_event(draft)
