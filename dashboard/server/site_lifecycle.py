"""What belongs to a site goes when the site goes, and what names a user when the user goes. When a site only gets
another name there is nothing to do: all of it goes by the site's own id."""

from __future__ import annotations

from collections.abc import Callable

from collector.imports.imports import Imports
from collector.sites.registry import Sites
from dashboard.access.api_keys import ApiKeys
from dashboard.access.audit_log import EVERYWHERE, AuditLog
from dashboard.access.one_time_links import Invitations
from dashboard.access.sessions import Sessions
from dashboard.access.share_links import ShareLinks
from dashboard.access.users import User, Users
from dashboard.compliance.notice_versions import NoticeVersions
from dashboard.i18n.translations import N_
from dashboard.notifications.services import Notifications
from dashboard.reports.annotations import Annotations
from dashboard.reports.funnels import Funnels
from dashboard.reports.segments import Segments

Follower = Callable[[str], None]


def site_lifecycle_hooks(
    users: Users,
    invitations: Invitations,
    notice_versions: NoticeVersions,
    shares: ShareLinks,
    segments: Segments,
    annotations: Annotations,
    funnels: Funnels,
    notifications: Notifications,
) -> list[Follower]:
    """For `SiteJobRunner.followers`: each is told the id of a site that is no more, and may be told again. Blocking.

    API keys are not among them: one without its site would be for every site. It opens nothing any more.
    """
    return [
        users.forget_site,
        invitations.forget_site,
        notice_versions.forget_site,
        shares.forget_site,
        segments.forget_site,
        annotations.forget_site,
        funnels.forget_site,
        notifications.forget_site,
    ]


def user_lifecycle_hooks(
    sessions: Sessions,
    invitations: Invitations,
    segments: Segments,
    annotations: Annotations,
    notifications: Notifications,
    imports: Imports,
) -> list[Follower]:
    """For `Users.followers`: each is told the name of a user who is no more. Blocking."""
    return [
        sessions.forget_user,
        invitations.forget_user,
        segments.forget_user,
        annotations.forget_user,
        notifications.forget_user,
        imports.forget_user,
    ]


def key_revoker(keys: ApiKeys, audit_log: AuditLog) -> Callable[[User], None]:
    """For `Users.access_reduced`: an account's API keys end where they may do more than its user may."""

    def revoke(user: User) -> None:
        for key in keys.forget_access_of(user):
            what = N_("API key revoked, as its owner lost access")
            audit_log.insert(user.name, EVERYWHERE, what, key.name or key.id)

    return revoke


def share_revoker(shares: ShareLinks, sites: Sites, audit_log: AuditLog) -> Callable[[User], None]:
    """For `Users.access_reduced`: links end with the access of who made them, and the list of changes says so."""

    def revoke(user: User) -> None:
        for share in shares.forget_sites_of(user):
            site = sites.by_id(share.site)
            if site is not None:
                what = N_("Shared link revoked, as its creator lost access")
                audit_log.insert(user.name, site.domain, what, share.name, site_id=site.id)

    return revoke
