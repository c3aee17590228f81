"""Goals API, compatible with Plausible's Sites API.

Plausible knows goals of type `event` and `page`. Those of Tyst's further types are listed with their own type, and are
created with `goals` of `PUT /api/v1/sites/DOMAIN`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from collector.sites.goals import Goal, checked_goals
from collector.sites.model import Site
from collector.sites.registry import Sites
from dashboard.access.api_keys import ApiKey
from dashboard.access.audit_log import AuditLog
from dashboard.api.auth import ApiError, json_answer
from dashboard.api.key_handlers import key_name
from dashboard.api.request_bodies import read_as, read_fields

DEFAULT_LIMIT = 100


class NewGoal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body that finds or creates a goal."""

    site_id: str
    goal_type: str
    event_name: str = ""
    page_path: str = ""
    display_name: str = ""
    currency: str = ""


class SiteParam(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body that says which site's goal is deleted."""

    site_id: str


class GoalsApi:
    """The handlers, with what they need."""

    def __init__(self, sites: Sites, audit_log: AuditLog) -> None:
        self._sites = sites
        self._changes = audit_log

    async def list_goals(self, request: Request, key: ApiKey) -> Response:
        """`GET /api/v1/sites/goals?site_id=DOMAIN`: a page of them, in the site's order."""
        given = request.query_params
        for name in given:
            if name not in ("site_id", "after", "before", "limit"):
                raise ApiError(HTTPStatus.BAD_REQUEST, name[:80], "expected one of site_id, after, before, limit")
        site = self._site(given.get("site_id", ""), key.may_read)
        first, last = _page(given, [goal_id(goal) for goal in site.goals])
        goals = site.goals[first:last]
        meta = {
            "after": goal_id(goals[-1]) if goals and last < len(site.goals) else None,
            "before": goal_id(goals[0]) if goals and first else None,
            "limit": _limit(given),
        }
        return json_answer({"goals": [_shown(goal) for goal in goals], "meta": meta})

    async def put_goal(self, request: Request, key: ApiKey) -> Response:
        """`PUT /api/v1/sites/goals`: the goal of that type and value; created where there is none."""
        new = read_as(await read_fields(request), NewGoal)
        site = self._site(new.site_id, key.may_manage)
        wanted = _goal(new)
        goal = next((each for each in site.goals if _same(each, wanted)), None)
        if goal is None:
            changed = await self._change(site, lambda goals: (*goals, wanted), key)
            goal = next(each for each in changed.goals if _same(each, wanted))
        return json_answer({"domain": site.domain, **_shown(goal)})

    async def delete_goal(self, request: Request, key: ApiKey) -> Response:
        """`DELETE /api/v1/sites/goals/ID`, with `site_id` in the body or the query."""
        query = request.query_params
        site_id = query["site_id"] if "site_id" in query else read_as(await read_fields(request), SiteParam).site_id
        site = self._site(site_id, key.may_manage)
        id_ = request.path_params["goal_id"]
        if id_ not in map(goal_id, site.goals):
            raise ApiError(HTTPStatus.NOT_FOUND, "goal_id", "this site has no such goal")
        await self._change(site, lambda goals: tuple(goal for goal in goals if goal_id(goal) != id_), key)
        return json_answer({"deleted": True})

    async def _change(self, site: Site, change: Callable[[tuple[Goal, ...]], tuple[Goal, ...]], key: ApiKey) -> Site:
        """Change the goals as they are now; returns the site with them."""
        before, after = await self._sites.update(
            site, lambda newest: msgspec.structs.replace(newest, goals=change(newest.goals))
        )
        await self._changes.note_site(key_name(key), before, after)
        return after

    def _site(self, domain: str, may: Callable[[Site], bool]) -> Site:
        site = self._sites.get(domain)
        if site is None or not may(site):
            raise ApiError(HTTPStatus.NOT_FOUND, "site_id", f"{domain[:80]} is not registered, or not for this key")
        return site


def goal_id(goal: Goal) -> str:
    """A goal's id: it follows from its name, which is unique within its site."""
    return hashlib.blake2b(goal.name.encode(), digest_size=8).hexdigest()


def _goal(new: NewGoal) -> Goal:
    match new.goal_type:
        case "event":
            value, unused = new.event_name, "page_path"
        case "page":
            value, unused = new.page_path, "event_name"
        case _:
            raise ApiError(HTTPStatus.BAD_REQUEST, "goal_type", "expected event or page")
    field = "event_name" if unused == "page_path" else "page_path"
    if not value.strip():
        raise ApiError(HTTPStatus.BAD_REQUEST, field, "is required")
    if getattr(new, unused):
        raise ApiError(HTTPStatus.BAD_REQUEST, unused, f"is not for goals of type {new.goal_type}")
    goal = Goal(kind="event" if new.goal_type == "event" else "page", match=value,
                name=new.display_name, currency=new.currency)  # fmt: skip
    return checked_goals([goal])[0]


def _same(goal: Goal, other: Goal) -> bool:
    """Whether they are of the same type and value."""
    return (goal.kind, goal.match) == (other.kind, other.match)


def _shown(goal: Goal) -> dict[str, Any]:
    return {
        "id": goal_id(goal),
        "goal_type": goal.kind,
        "display_name": goal.name,
        "event_name": goal.event or None,
        "page_path": goal.pattern or None,
        "currency": goal.currency or None,
    }


def _limit(given: Mapping[str, str]) -> int:
    text = given.get("limit", str(DEFAULT_LIMIT))
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= DEFAULT_LIMIT):
        raise ApiError(HTTPStatus.BAD_REQUEST, "limit", f"expected a whole number from 1 to {DEFAULT_LIMIT}")
    return int(text)


def _page(given: Mapping[str, str], ids: list[str]) -> tuple[int, int]:
    """Where the page that is asked for begins and ends."""
    limit = _limit(given)
    for name in ("after", "before"):
        if name in given and given[name] not in ids:
            raise ApiError(HTTPStatus.BAD_REQUEST, name, "expected a cursor of an earlier answer")
    if "before" in given:
        last = ids.index(given["before"])
        return max(0, last - limit), last
    first = ids.index(given["after"]) + 1 if "after" in given else 0
    return first, min(len(ids), first + limit)
