"""The form that builds a funnel, with its preview: new, changed, and deleted funnels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, cast
from urllib.parse import quote

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from collector.core.errors import RecordError
from collector.sites.model import Site
from dashboard.access.users import User
from dashboard.analytics.filters import FunnelOrder, FunnelWindow
from dashboard.analytics.funnels import (
    FEWEST_STEPS,
    MOST_STEPS,
    Funnel,
    FunnelStep,
    StepKind,
    checked_funnel,
    conditions_text,
    path_of,
    read_conditions,
)
from dashboard.analytics.funnels_service import FunnelQuery, run_funnel
from dashboard.analytics.period import Period
from dashboard.analytics.query import OTHER, Query
from dashboard.i18n import formatting
from dashboard.i18n.translations import N_, error_text
from dashboard.reports.funnel_report import ORDERS, STEP_KINDS, WINDOWS, FunnelReport, build_funnel_report
from dashboard.reports.funnels import described
from dashboard.reports.view_state import ViewState
from dashboard.web.app_context import Dashboard, changeable_site, read_form
from dashboard.web.view_state_loader import view_state_of

ORDER_HINTS: Final = {
    "sequential": N_("Other pages and events may come between the steps."),
    "strict": N_("Nothing may come between the steps, except reloads of the same step."),
    "any": N_("All steps so far, in any order."),
}
WINDOW_HINTS: Final = {
    "visit": N_("All steps in one visit. Counts visits."),
    "day": N_("All steps on one day, across visits. Counts visitors."),
}
MOST_SUGGESTED: Final = 100


@dataclass(frozen=True, slots=True)
class FormStep:
    """A step as the form has it, valid or not."""

    kind: str = "page"
    match: str = ""
    where: str = ""


@dataclass(frozen=True, slots=True)
class FunnelForm:
    """What was filled in. `id` is that of the funnel that is changed, "" of a new one."""

    id: str = ""
    name: str = ""
    order: str = "sequential"
    window: str = "visit"
    steps: tuple[FormStep, ...] = (FormStep(), FormStep())
    problems: Mapping[str, str] = field(default_factory=dict)

    def funnel(self) -> Funnel:
        """The funnel; steps that are not filled in are left out. Raises `RecordError`."""
        filled = [each for each in self.steps if each.match.strip()]
        steps = tuple(
            FunnelStep(
                kind=cast("StepKind", each.kind), match=each.match, where=read_conditions(each.where, f"steps.{n}")
            )
            for n, each in enumerate(filled, 1)
        )
        order, window = cast("FunnelOrder", self.order), cast("FunnelWindow", self.window)
        return Funnel(name=self.name, steps=steps, order=order, window=window)

    def acted(self, act: str) -> FunnelForm:
        """The form with one step more, with one moved up, or without one."""
        verb, _, number = act.partition("-")
        steps, at = (
            list(self.steps),
            int(number) - 1 if number.isascii() and number.isdigit() and len(number) < 3 else -1,
        )
        if verb == "more" and len(steps) < MOST_STEPS:
            steps.append(FormStep())
        elif verb == "drop" and 0 <= at < len(steps) > FEWEST_STEPS:
            del steps[at]
        elif verb == "up" and 0 < at < len(steps):
            steps[at - 1 : at + 1] = [steps[at], steps[at - 1]]
        return FunnelForm(self.id, self.name, self.order, self.window, tuple(steps))


async def edit_funnel(dashboard: Dashboard, request: Request, user: User) -> Response:
    """`/SITE/funnels/edit`: the form for a new funnel or, with `?funnel=ID`, for one that there is."""
    site = changeable_site(dashboard, request, user)
    if request.method == "GET":
        funnel = dashboard.funnels.get(site, request.query_params.get("funnel", ""))
        return await _page(dashboard, request, site, user, _form_of(funnel) if funnel else FunnelForm())
    given = await read_form(request)
    act = given.get("act", "")
    if act == "delete":
        return await _delete(dashboard, site, user, given.get("funnel", ""))
    form = _read(given)
    if act == "save":
        return await _save(dashboard, request, site, user, form)
    return await _page(dashboard, request, site, user, form.acted(act))


async def _save(dashboard: Dashboard, request: Request, site: Site, user: User, form: FunnelForm) -> Response:
    try:
        if form.id:
            old, new = await dashboard.funnels.change(site, form.id, form.funnel())
            await dashboard.changes.note(user.name, site.domain, N_("Funnel changed"), described(old), described(new))
        else:
            new = await dashboard.funnels.add(site, form.funnel())
            await dashboard.changes.note(user.name, site.domain, N_("Funnel added"), "", described(new))
    except RecordError as error:
        return await _page(dashboard, request, site, user, _with_problems(form, site, error), 422)
    return RedirectResponse(f"/{quote(site.domain)}/funnels/{new.id}", 303)


async def _delete(dashboard: Dashboard, site: Site, user: User, id_: str) -> Response:
    funnel = dashboard.funnels.get(site, id_)
    if funnel is None:
        raise HTTPException(404)
    await dashboard.funnels.remove(funnel)
    await dashboard.changes.note(user.name, site.domain, N_("Funnel deleted"), described(funnel), "")
    return RedirectResponse(f"/{quote(site.domain)}/funnels", 303)


async def _page(
    dashboard: Dashboard, request: Request, site: Site, user: User, form: FunnelForm, status: int = 200
) -> Response:
    state, dates = await view_state_of(dashboard, site, request, user)
    preview = await _preview(dashboard, site, state, dates.period, form)
    return dashboard.pages.html(
        "funnel_form.html",
        status,
        site=site,
        user=user,
        form=form,
        preview=preview,
        dates=formatting.dates(dates.period.first, dates.period.last),
        suggestions=await _suggested(dashboard, site, dates.period),
        kinds=STEP_KINDS,
        orders=ORDERS,
        order_hints=ORDER_HINTS,
        windows=WINDOWS,
        window_hints=WINDOW_HINTS,
        most_steps=MOST_STEPS,
        fewest_steps=FEWEST_STEPS,
    )


async def _preview(
    dashboard: Dashboard, site: Site, state: ViewState, period: Period, form: FunnelForm
) -> FunnelReport | str:
    """The funnel as it is filled in, over the period; or why it cannot be counted yet."""
    try:
        given = form.funnel()
        if len(given.steps) < FEWEST_STEPS:
            return ""
        named = Funnel(name=given.name.strip() or "?", steps=given.steps, order=given.order, window=given.window)
        funnel = checked_funnel(named, site.goals)
    except RecordError as error:
        return error_text(error)
    asked = FunnelQuery(site.domain, path_of(funnel, site.goals), period, details=False)
    return build_funnel_report(state, funnel, await run_funnel(dashboard.stats, asked))


async def _suggested(dashboard: Dashboard, site: Site, period: Period) -> list[tuple[str, str]]:
    """What steps may be: the site's goals, its pages and its events, with what each is."""
    pages, events = await dashboard.stats.run(
        [
            Query(site.domain, ("visitors",), period, (name,), limit=MOST_SUGGESTED)
            for name in ("event:page", "event:name")
        ]
    )
    own = {"pageview", "engagement", OTHER}
    found = [("goal", goal.name) for goal in site.goals]
    found += [("event", row.dimensions[0]) for row in events.rows if row.dimensions[0] not in own]
    found += [("page", row.dimensions[0]) for row in pages.rows if row.dimensions[0] != OTHER]
    return found


def _read(given: Mapping[str, str]) -> FunnelForm:
    steps = tuple(
        FormStep(given.get(f"kind-{n}", ""), given.get(f"match-{n}", ""), given.get(f"where-{n}", ""))
        for n in range(1, MOST_STEPS + 1)
        if f"match-{n}" in given
    )
    return FunnelForm(
        given.get("funnel", ""),
        given.get("name", ""),
        given.get("order", ""),
        given.get("window", ""),
        (*steps, *[FormStep()] * (FEWEST_STEPS - len(steps))),
    )


def _form_of(funnel: Funnel) -> FunnelForm:
    steps = tuple(FormStep(each.kind, each.match, conditions_text(each.where)) for each in funnel.steps)
    return FunnelForm(funnel.id, funnel.name, funnel.order, funnel.window, steps)


def _with_problems(form: FunnelForm, site: Site, error: RecordError) -> FunnelForm:
    """The form with what is wrong, at its field; of a step, where the form has it. Beside a name, also its steps."""
    filled = [n for n, each in enumerate(form.steps, 1) if each.match.strip()]
    problems = {}
    for each in (error, _problem_of_steps(form, site) if error.field == "name" else None):
        if each is not None:
            where, _, number = each.field.partition(".")
            place = f"{where}.{filled[int(number) - 1]}" if number and int(number) <= len(filled) else each.field
            problems[place] = error_text(each)
    return FunnelForm(form.id, form.name, form.order, form.window, form.steps, problems)


def _problem_of_steps(form: FunnelForm, site: Site) -> RecordError | None:
    """What is wrong besides the name."""
    try:
        checked_funnel(msgspec.structs.replace(form.funnel(), name="-"), site.goals)
    except RecordError as error:
        return error
    return None
