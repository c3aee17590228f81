"""API keys of one's own account: what they may do is bounded by what the user may."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from starlette.exceptions import HTTPException

from collector.core.errors import RecordError, RecordGone
from collector.sites.model import Site
from dashboard.access.api_keys import RIGHTS, ApiKey
from dashboard.access.users import User
from dashboard.i18n import formatting
from dashboard.i18n.translations import N_, _
from dashboard.web.app_context import Dashboard, FormPost

RIGHT_NAMES: Final = {"read": N_("Read statistics"), "manage": N_("Read statistics and change settings")}


@dataclass(frozen=True, slots=True)
class KeyLine:
    """One key in the list: never the key itself."""

    id: str
    name: str
    may: str
    sites: str
    used: str
    until: str


async def key_lines(dashboard: Dashboard, user: User) -> list[KeyLine]:
    """The keys of the account, the newest first."""
    return [_line(dashboard, key) for key in await dashboard.keys.of(user)]


def _line(dashboard: Dashboard, key: ApiKey) -> KeyLine:
    found = (dashboard.sites.by_id(site_id) for site_id in key.sites)
    return KeyLine(
        id=key.id,
        name=key.name or key.id,
        may=_(RIGHT_NAMES[key.right]),
        sites=", ".join(site.domain for site in found if site) if key.sites else _("all sites"),
        used=formatting.date(key.last_used) if key.last_used else "",
        until=formatting.date(key.expires) if key.expires else "",
    )


def sites_to_choose(dashboard: Dashboard, user: User) -> Sequence[Site]:
    """The sites that a key of the user may be for."""
    return [site for site in dashboard.sites.all() if user.sees(site)]


async def create_key(post: FormPost) -> str:
    """A new key of the account, to be shown once. Raises `RecordError`."""
    right = post.form.get("right", "read")
    if right not in RIGHTS:
        raise HTTPException(400)
    wanted = post.form.get("site", "")
    sites = [site.id for site in sites_to_choose(post.dashboard, post.user) if wanted in ("", site.domain)]
    everything = not wanted and post.user.role == "admin"
    if not sites and not everything:
        raise RecordError("site", _("Choose a site you have access to."))
    ids = () if everything else tuple(sites)
    if not ApiKey(id="", hash="", sites=ids, right=right).is_within(post.user):
        raise RecordError("right", _("Your account cannot change that site’s settings."))
    name = post.form.get("key_name", "").strip()
    if not name:
        raise RecordError("name", _("Enter a name for the key."))
    made, shown = await post.dashboard.keys.create(
        sites=ids, right=right, name=name, by=post.user.name, user=post.user.name
    )
    current = await post.dashboard.users.newest(post.user.name)
    if current is None or not made.is_within(current):
        # The access went while the key was made, or at another collector.
        await post.dashboard.keys.revoke(made.id)
        raise RecordGone
    await post.note(N_("API key created"), "", made.name or made.id)
    return shown


async def revoke_key(post: FormPost) -> None:
    """One key of the account is refused from now on; of another account's there is none."""
    own = {key.id: key for key in await post.dashboard.keys.of(post.user)}
    key = own.get(post.form.get("id", ""))
    if key is None:
        raise HTTPException(404)
    await post.dashboard.keys.revoke(key.id)
    await post.note(N_("API key revoked"), key.name or key.id)
