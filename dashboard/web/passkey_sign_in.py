"""Signing in with a passkey: a challenge for the browser, and its answer."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dashboard.access.audit_log import EVERYWHERE
from dashboard.access.csrf import same_origin
from dashboard.access.passkeys.refusal import CounterWentBack, PasskeyRefused
from dashboard.access.passkeys.service import Passkeys
from dashboard.i18n.translations import N_, _
from dashboard.web.app_context import Dashboard, Endpoint, network_of_request, read_form
from dashboard.web.login import sign_in, sign_in_page, too_many

log = logging.getLogger(__name__)

ATTEMPTS: Final = "passkey"
"""What goes wrong is counted under it."""


def routes(dashboard: Dashboard, middleware: Sequence[Middleware]) -> list[Route]:
    """The addresses of signing in with a passkey; they are absent where there can be none."""
    return [
        Route("/login/passkey/options", _options(dashboard), methods=["POST"]),
        Route("/login/passkey", _answer(dashboard), methods=["POST"], middleware=middleware),
    ]


def _options(dashboard: Dashboard) -> Endpoint:
    async def options(request: Request) -> Response:
        service = _service(dashboard, request)
        challenge = service.challenges.new()
        response = json_options(service.party.request_options(challenge))
        service.challenges.remember(request, response, challenge)
        return response

    return options


def _answer(dashboard: Dashboard) -> Endpoint:
    async def answer(request: Request) -> Response:
        service, network = _service(dashboard, request), network_of_request(dashboard, request)
        wait = dashboard.probes.wait(ATTEMPTS, network)
        if wait:
            return sign_in_page(dashboard, "/", problem=too_many(wait), status=429, headers={"retry-after": str(wait)})
        form = await read_form(request)
        target = form.get("next", "/")
        challenge = service.challenges.read(request)
        if challenge is None:
            problem = _("This sign-in took too long, or began in another browser. Try again.")
            return sign_in_page(dashboard, target, problem=problem, status=401)
        try:
            user = await service.sign_in(challenge, form.get("credential", ""))
            response = await sign_in(dashboard, request, user, target, "passkey")
        except PasskeyRefused as error:
            dashboard.probes.count(ATTEMPTS, network)
            await _note(dashboard, error)
            problem = _("This passkey was not accepted. Try again, or sign in with your password.")
            response = sign_in_page(dashboard, target, problem=problem, status=401)
        service.challenges.forget(request, response)
        return response

    return answer


async def _note(dashboard: Dashboard, error: PasskeyRefused) -> None:
    log.warning("a passkey was refused: %s", error.reason)
    if isinstance(error, CounterWentBack):
        what = N_("Passkey refused: its counter went back, so it may have been copied")
        await dashboard.changes.note(error.user, EVERYWHERE, what, "", error.passkey)


def json_options(options: Mapping[str, Any]) -> Response:
    """Options for a browser, which nobody is to keep."""
    return Response(msgspec.json.encode(options), media_type="application/json", headers={"cache-control": "no-store"})


def _service(dashboard: Dashboard, request: Request) -> Passkeys:
    if not same_origin(request.headers):
        raise HTTPException(403)
    if dashboard.passkeys is None:
        raise HTTPException(404)
    return dashboard.passkeys
