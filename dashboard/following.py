"""What belongs to a site goes when the site goes. When it only gets another name there is nothing to do: all of it
goes by the site's own id."""

from __future__ import annotations

from collections.abc import Callable

from collector.sites import Sites
from dashboard.annotations import Annotations
from dashboard.changes import Changes
from dashboard.editions import Editions
from dashboard.invitations import Invitations
from dashboard.segments import Segments
from dashboard.shares import Shares
from dashboard.users import User, Users
from dashboard.wording import N_

Follower = Callable[[str], None]


def followers(
    users: Users,
    invitations: Invitations,
    editions: Editions,
    shares: Shares,
    segments: Segments,
    annotations: Annotations,
) -> list[Follower]:
    """For `Deletions.followers`: each is told the id of a site that is no more, and may be told again. Blocking.

    API keys are not among them: one without its site would be for every site. It opens nothing any more.
    """
    return [
        users.forget_site,
        invitations.forget_site,
        editions.forget_site,
        shares.forget_site,
        segments.forget_site,
        annotations.forget_site,
    ]


def share_revoker(shares: Shares, sites: Sites, changes: Changes) -> Callable[[User], None]:
    """For `Users.access_reduced`: links end with the access of who made them, and the list of changes says so."""

    def revoke(user: User) -> None:
        for share in shares.forget_sites_of(user):
            site = sites.by_id(share.site)
            if site is not None:
                what = N_("Share link revoked, as its maker lost access")
                changes.insert(user.name, site.domain, what, share.name, site_id=site.id)

    return revoke
