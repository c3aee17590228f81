"""Routes of the management API: sites, users, keys and status.

Sites are spoken of as in Plausible's Sites API where that says anything. Every error is JSON and names the field:
`{"error": "timezone: …", "errors": {"timezone": ["…"]}}`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from collector.erasure.job_runner import SiteJobRunner
from collector.sites.registry import Sites
from dashboard.access.api_keys import ApiKey, ApiKeys
from dashboard.access.audit_log import AuditLog
from dashboard.access.passwords import Passwords
from dashboard.access.sessions import Sessions
from dashboard.access.two_factor import TwoFactorAuth
from dashboard.access.users import Users
from dashboard.api.auth import json_answer
from dashboard.api.goals import GoalsApi
from dashboard.api.key_handlers import KeyHandler, answering, require_full_key
from dashboard.api.keys import KeysApi
from dashboard.api.sites import SitesApi
from dashboard.api.users import UsersApi
from dashboard.compliance.health_report import Status


def routes(
    *,
    sites: Sites,
    users: Users,
    passwords: Passwords,
    sessions: Sessions,
    two_factor: TwoFactorAuth,
    keys: ApiKeys,
    status: Callable[[], Awaitable[Status]],
    audit_log: AuditLog,
    jobs: SiteJobRunner,
) -> list[Route]:
    """The API's routes."""
    of_sites, goals = SitesApi(sites, audit_log, jobs), GoalsApi(sites, audit_log)
    of_users = UsersApi(sites, users, passwords, sessions, two_factor, keys, audit_log)
    of_keys = KeysApi(sites, keys, audit_log)

    async def show_status(_: Request, key: ApiKey) -> Response:
        """`GET /api/v1/status`."""
        require_full_key(key)
        return json_answer(msgspec.to_builtins(await status()))

    table: list[tuple[str, str, KeyHandler]] = [
        ("GET", "/api/v1/sites/goals", goals.list_goals),
        ("PUT", "/api/v1/sites/goals", goals.put_goal),
        ("DELETE", "/api/v1/sites/goals/{goal_id}", goals.delete_goal),
        ("GET", "/api/v1/sites", of_sites.list_sites),
        ("POST", "/api/v1/sites", of_sites.create_site),
        ("GET", "/api/v1/sites/{domain}", of_sites.get_site),
        ("PUT", "/api/v1/sites/{domain}", of_sites.change_site),
        ("DELETE", "/api/v1/sites/{domain}", of_sites.remove_site),
        ("POST", "/api/v1/sites/{domain}/reset", of_sites.reset_site),
        ("GET", "/api/v1/users", of_users.list_users),
        ("POST", "/api/v1/users", of_users.create_user),
        ("PUT", "/api/v1/users/{name}", of_users.change_user),
        ("DELETE", "/api/v1/users/{name}", of_users.remove_user),
        ("DELETE", "/api/v1/users/{name}/two-factor", of_users.reset_two_factor),
        ("DELETE", "/api/v1/users/{name}/sessions", of_users.end_sessions),
        ("GET", "/api/v1/keys", of_keys.list_keys),
        ("POST", "/api/v1/keys", of_keys.create_key),
        ("DELETE", "/api/v1/keys/{id}", of_keys.revoke_key),
        ("GET", "/api/v1/status", show_status),
    ]
    return [Route(path, answering(keys, handler), methods=[method]) for method, path, handler in table]
