"""API behind `tyst mail`: a test of the mail server."""

from __future__ import annotations

from http import HTTPStatus

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from collector.core.errors import RecordError
from collector.ingest.request_origin import public_base
from dashboard.access.api_keys import ApiKey, ApiKeys
from dashboard.api.auth import ApiError, json_answer
from dashboard.api.key_handlers import operating
from dashboard.api.request_bodies import read_as, read_fields
from dashboard.notifications.letters import Letters
from dashboard.notifications.smtp import MailError


class MailTest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body that asks for a test mail."""

    to: str


def routes(letters: Letters, keys: ApiKeys) -> list[Route]:
    """The route of this part; its key must be one that may do everything."""

    async def send_test(request: Request, _: ApiKey) -> Response:
        """`POST /api/v1/mail/test`: one mail to the address `to`."""
        wanted = read_as(await read_fields(request), MailTest)
        try:
            await letters.test(wanted.to, public_base(request))
        except RecordError as error:
            raise ApiError(HTTPStatus.BAD_REQUEST, "to", error.reason) from None
        except MailError as error:
            raise ApiError(HTTPStatus.BAD_GATEWAY, "mail", str(error)) from None
        return json_answer({"sent": True})

    return [Route("/api/v1/mail/test", operating(keys, send_test), methods=["POST"])]
