"""Goals page: list, and the forms that add, change and remove goals."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast
from urllib.parse import quote

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from collector.core.errors import RecordError
from collector.sites.goals import EVENTS_OF_KINDS, Goal, GoalError, GoalKind, checked_goals, default_name
from collector.sites.model import Site
from dashboard.access.users import User
from dashboard.analytics.period import parse_period
from dashboard.analytics.query import OTHER, Query
from dashboard.i18n.translations import N_, _, error_text, instruction
from dashboard.reports.filter_params import FilterParam
from dashboard.reports.view_state import ViewState
from dashboard.web.app_context import Dashboard, read_form, visible_site


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of goal, as the form explains it. `match` is the label of its field, `hint` what may stand there.

    `meaning` and `hint` are HTML.
    """

    title: str
    meaning: str
    match: str
    hint: str


KINDS: Final[dict[GoalKind, Kind]] = {
    "event": Kind(
        N_("Custom event"),
        N_('Your page calls <code>tyst("Signup")</code> when it happens.'),
        N_("Name of the event"),
        N_("Exactly as it is sent, such as <code>Signup</code>."),
    ),
    "page": Kind(
        N_("Page"),
        N_("A page was viewed, such as a thank-you page."),
        N_("Path"),
        N_(
            "Such as <code>/thanks</code>. <code>*</code> matches anything within a part of the path, "
            "<code>**</code> any number of parts: <code>/blog/**</code>"
        ),
    ),
    "outbound": Kind(
        N_("Outbound link"),
        N_("A link to another site was followed; the tag needs <code>data-outbound</code>."),
        N_("Link URL"),
        N_(
            "Leave empty for any. <code>*</code> matches anything within a part of the URL, "
            "<code>**</code> any number of parts: <code>github.com/**</code>"
        ),
    ),
    "download": Kind(
        N_("Download"),
        N_("A file was downloaded; the tag needs <code>data-downloads</code>."),
        N_("File URL"),
        N_(
            "Leave empty for any. <code>*</code> matches anything within a part of the URL, "
            "<code>**</code> any number of parts: <code>**.pdf</code>"
        ),
    ),
    "form": Kind(
        N_("Form"),
        N_("A form was submitted; the tag needs <code>data-forms</code>."),
        N_("Path of its page"),
        N_("Leave empty for any page."),
    ),
    "404": Kind(
        N_("404 page"),
        N_('A page was not found; your 404 page calls <code>tyst("404")</code>.'),
        N_("Path"),
        N_("Leave empty for any page."),
    ),
    "scroll": Kind(
        N_("Scroll depth"),
        N_("A page was scrolled to this depth."),
        N_("Path"),
        N_("Leave empty for any page."),
    ),
}
"""Kinds of goals, in the order of the form."""

SUGGESTED_DAYS: Final = 30
MOST_SUGGESTED: Final = 20
_OWN: Final = frozenset({"pageview", "engagement", OTHER})
_KIND_OF_EVENT: Final = {event: kind for kind, event in EVENTS_OF_KINDS.items()}


async def show_goals(dashboard: Dashboard, request: Request, user: User) -> Response:
    """`/SITE/goals`: the list, and what its forms send."""
    site = visible_site(dashboard, request, user)
    if not user.may_change(site):
        raise HTTPException(403)
    if request.method == "GET":
        editing = next((goal for goal in site.goals if goal.name == request.query_params.get("goal")), None)
        form = _form_of(editing) if editing else {"kind": request.query_params.get("kind", "event")}
        return await _page(dashboard, site, user, form)
    form = await read_form(request)
    if form.get("act") == "remove":
        return await _remove(dashboard, site, user, form.get("goal", ""))
    if form.get("act") == "take":
        return await _take(dashboard, site, user, form.get("match", ""))
    return await _save(dashboard, site, user, form)


async def _save(dashboard: Dashboard, site: Site, user: User, form: dict[str, str]) -> Response:
    """Add a goal, or put it in the place of the one that was edited."""
    old = next((goal for goal in site.goals if goal.name == form.get("goal")), None)
    problem = _depth_problem(form)
    goal = _goal_of(form)
    others = tuple(each for each in site.goals if each is not old)
    if problem is None:
        problem = _problem(goal, others)
    if problem is not None:
        return await _page(dashboard, site, user, form, dict([problem]))
    (goal,) = checked_goals((goal,))

    def changed(goals: tuple[Goal, ...]) -> tuple[Goal, ...]:
        return tuple(goal if each == old else each for each in goals) if old in goals else (*goals, goal)

    what = N_("Goal changed") if old else N_("Goal added")
    return await _store(dashboard, site, user, changed, what, _words(old), _words(goal))


async def _take(dashboard: Dashboard, site: Site, user: User, event: str) -> Response:
    """Make a goal of an event that was seen."""
    kind = cast("GoalKind", _KIND_OF_EVENT.get(event, "event"))
    goal = Goal(kind=kind, match=event if kind == "event" else "")
    problem = _problem(goal, site.goals)
    if problem is not None:
        return await _page(dashboard, site, user, _form_of(goal), dict([problem]))
    (goal,) = checked_goals((goal,))
    return await _store(dashboard, site, user, lambda goals: (*goals, goal), N_("Goal added"), "", _words(goal))


async def _remove(dashboard: Dashboard, site: Site, user: User, name: str) -> Response:
    gone = next((goal for goal in site.goals if goal.name == name), None)
    if gone is None:
        raise HTTPException(404)

    def changed(goals: tuple[Goal, ...]) -> tuple[Goal, ...]:
        return tuple(goal for goal in goals if goal.name != name)

    return await _store(dashboard, site, user, changed, N_("Goal removed"), _words(gone), "")


async def _store(
    dashboard: Dashboard,
    site: Site,
    user: User,
    change: Callable[[tuple[Goal, ...]], tuple[Goal, ...]],
    what: str,
    before: str,
    after: str,
) -> Response:
    """Change the goals as they are now, which may be others than those that the page showed."""
    try:
        await dashboard.sites.update(site, lambda newest: msgspec.structs.replace(newest, goals=change(newest.goals)))
    except RecordError as error:
        return await _page(dashboard, site, user, {}, {"name": error_text(error)})
    await dashboard.changes.note(user.name, site.domain, what, before, after)
    return _back(site)


def _back(site: Site) -> Response:
    return RedirectResponse(f"/{quote(site.domain)}/goals", 303)


def _goal_of(form: dict[str, str]) -> Goal:
    kind: GoalKind = next((each for each in KINDS if each == form.get("kind")), "event")
    depth = form.get("depth", "").strip()
    return Goal(
        name=form.get("name", ""),
        kind=kind,
        match=form.get(f"match-{kind}", ""),
        depth=int(depth) if kind == "scroll" and depth else 0,
        currency=form.get("currency", ""),
    )


def _form_of(goal: Goal) -> dict[str, str]:
    return {
        "goal": goal.name,
        "name": "" if goal.name == default_name(goal) else goal.name,
        "kind": goal.kind,
        f"match-{goal.kind}": goal.match,
        "depth": str(goal.depth or ""),
        "currency": goal.currency,
    }


def _depth_problem(form: dict[str, str]) -> tuple[str, str] | None:
    depth = form.get("depth", "").strip()
    if form.get("kind") != "scroll" or (depth.isascii() and depth.isdigit() and len(depth) < 4):
        return None
    form["depth"] = ""
    return "depth", instruction(_("expected a scroll depth of 1 to 100 percent"))


def _problem(goal: Goal, others: tuple[Goal, ...]) -> tuple[str, str] | None:
    """The field that must be mended, and why; None when the goal may be stored beside the others."""
    try:
        checked = checked_goals((goal,))
    except GoalError as error:
        return f"match-{goal.kind}" if error.part == "match" else error.part, error_text(error)
    if any(each.name == checked[0].name for each in others):
        return "name", instruction(_("a goal with this name already exists"))
    try:
        checked_goals((*others, *checked))
    except RecordError as error:
        return "name", error_text(error)
    return None


def _words(goal: Goal | None) -> str:
    if goal is None:
        return ""
    parts = (goal.kind, goal.match, f"{goal.depth}%" if goal.depth else "", goal.currency)
    return f"{goal.name} ({', '.join(part for part in parts if part)})"


async def _seen(dashboard: Dashboard, site: Site) -> list[tuple[str, int]]:
    """Custom events of late that no goal counts yet, the most frequent first."""
    now = datetime.datetime.fromtimestamp(dashboard.clock(), datetime.UTC)
    asked = Query(
        site=site.domain,
        metrics=("visitors", "events"),
        period=parse_period("30d", site.timezone, now),
        dimensions=("event:name",),
        limit=MOST_SUGGESTED + len(_OWN),
    )
    (result,) = await dashboard.stats.run([asked])
    known = {goal.event for goal in site.goals if goal.plain}
    rows = ((row.dimensions[0], int(row.metrics[1] or 0)) for row in result.rows)
    return [(name, count) for name, count in rows if name not in known | _OWN][:MOST_SUGGESTED]


async def _page(
    dashboard: Dashboard, site: Site, user: User, form: dict[str, str], problems: dict[str, str] | None = None
) -> Response:
    listed = [
        (goal, ViewState(site.domain, chips=(FilterParam("is", "event:goal", goal.name),)).href())
        for goal in site.goals
    ]
    return dashboard.pages.html(
        "goals.html",
        422 if problems else 200,
        site=site,
        user=user,
        goals=listed,
        kinds=KINDS,
        seen=await _seen(dashboard, site),
        form=form,
        editing=form.get("goal", ""),
        problems=problems or {},
    )
