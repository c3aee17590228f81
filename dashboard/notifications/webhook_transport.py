"""Posts webhook calls: to public addresses only, once, without following redirects."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

import anyio
import httpx

from collector.core.setting_values import Network
from dashboard.compliance.site_check.errors import FetchError, Obstacle
from dashboard.compliance.site_check.pinned_transport import PinnedTransport, Resolve, SystemResolver
from dashboard.i18n.translations import N_, _
from dashboard.notifications.errors import DeliveryError
from dashboard.notifications.handover_journal import Handover
from dashboard.notifications.webhook import WebhookCall

SECONDS: Final = 15.0
"""For everything together."""

REASONS: Final[dict[Obstacle, str]] = {
    "address": N_("the address is in a private network; whoever runs this server can allow it: TYST_WEBHOOK_NETWORKS"),
    "port": N_("the port is not one of the web; whoever runs this server can allow it: TYST_WEBHOOK_NETWORKS"),
    "name": N_("there is no such host"),
    "certificate": N_("its certificate is not valid"),
    "time": N_("it does not answer in time"),
    "connection": N_("it cannot be connected to"),
}


ANSWERED: Final = N_("it answers with status {status}")
REDIRECTED: Final = N_("it redirects (status {status}), which is not followed")


def reason_text(reason: str) -> str:
    """Why a call was not taken, in the reader's language; other reasons as they are."""
    found = re.search(r"status (\d+)", reason)
    status = found[1] if found else ""
    for template in (ANSWERED, REDIRECTED):
        if reason == template.format(status=status):
            return _(template).format(status=status)
    return _(reason) if reason else ""


class WebhookError(DeliveryError):
    """A call that its receiver did not take."""


class WebhookTransport:
    """Posts calls. `networks` may be reached although they are not public. The address is resolved once, by the guard
    that *Check my site* has."""

    def __init__(
        self, networks: Iterable[Network] = (), resolver: Resolve | None = None, context: ssl.SSLContext | None = None
    ) -> None:
        self._networks = tuple(networks)
        self._resolver = resolver or SystemResolver()
        self._context = context

    async def send(self, call: WebhookCall, handover: Handover | None = None) -> None:
        """Post the call, and note it at once when the receiver has said yes. Raises `WebhookError`."""
        try:
            with anyio.fail_after(SECONDS):
                status = await self._post(call, handover)
        except TimeoutError:
            raise WebhookError(REASONS["time"]) from None
        except FetchError as error:
            reason = REASONS.get(error.obstacle, error.obstacle)
            raise WebhookError(reason, permanent=error.obstacle in ("address", "port")) from None
        if 300 <= status < 400:
            raise WebhookError(REDIRECTED.format(status=status))
        if not 200 <= status < 300:
            raise WebhookError(ANSWERED.format(status=status), permanent=status == HTTPStatus.GONE)

    async def _post(self, call: WebhookCall, handover: Handover | None) -> int:
        """The status of the answer, whose body nobody reads."""
        self._context = self._context or httpx.create_ssl_context(trust_env=False)
        timeout = httpx.Timeout(SECONDS).as_dict()
        request = httpx.Request(
            "POST", call.url, headers=call.headers, content=call.body, extensions={"timeout": timeout}
        )
        async with PinnedTransport(self._networks, self._resolver, self._context) as transport:
            answer = await transport.handle_async_request(request)
            if answer.is_success and handover is not None:
                handover.note()
            await answer.aclose()
            return answer.status_code
