"""What bears the name of a site follows it when it gets another, and goes when the site goes."""

from __future__ import annotations

from collections.abc import Callable

import anyio.from_thread

from dashboard.annotations import Annotations
from dashboard.editions import Editions
from dashboard.invitations import Invitations
from dashboard.keys import Keys
from dashboard.segments import Segments
from dashboard.shares import Shares
from dashboard.users import Users

Follower = Callable[[str, str | None], None]


def followers(
    users: Users,
    invitations: Invitations,
    editions: Editions,
    keys: Keys,
    shares: Shares,
    segments: Segments,
    annotations: Annotations,
) -> list[Follower]:
    """For `Deletions.followers`: each is told of the old name and the new, or None. They are called from threads of
    the event loop, and may be told again."""

    def shared(old: str, new: str | None) -> None:
        # Links to a site that is no more open nothing, and are not those of another that takes its name.
        if new is not None:
            anyio.from_thread.run(shares.move, old, new)

    def segmented(old: str, new: str | None) -> None:
        if new is None:
            anyio.from_thread.run(segments.leave, old)
        else:
            anyio.from_thread.run(segments.move, old, new)

    def annotated(old: str, new: str | None) -> None:
        if new is None:
            anyio.from_thread.run(annotations.forget, old)
        else:
            anyio.from_thread.run(annotations.move, old, new)

    return [users.follow, invitations.follow, editions.follow, keys.follow, shared, segmented, annotated]
