"""Anonymous readers of one site's dashboard, public or by a shared link."""

from __future__ import annotations

from typing import Final, Literal, TypeGuard, get_args

from collector.sites.model import Site
from dashboard.access.users import User

Theme = Literal["auto", "light", "dark"]
THEMES: Final[tuple[Theme, ...]] = get_args(Theme)


class Guest(User, frozen=True, kw_only=True):
    """A viewer of one site who has no name here and may change nothing."""

    base: str = ""
    """Address that every link of the view begins with; empty is the site's own page."""
    embedded: bool = False
    """Whether the view stands in a frame of another page, without Tyst's own head and foot."""
    theme: Theme = "auto"

    @property
    def kept(self) -> tuple[tuple[str, str], ...]:
        """What every link of the view says besides the choice."""
        themed = (("theme", self.theme),) if self.theme != "auto" else ()
        return (*((("embed", "true"),) if self.embedded else ()), *themed)


def guest_of(site: Site, base: str = "", *, embedded: bool = False, theme: str = "auto") -> Guest:
    """Somebody who may read that site. A theme that there is not is the reader's own."""
    known: Theme = next((each for each in THEMES if each == theme), "auto")
    return Guest(name="", password="", sites=(site.id,), base=base, embedded=embedded, theme=known)


def is_guest(user: object) -> TypeGuard[Guest]:
    """Whether the reader of a page has no account. Templates ask `user is guest`."""
    return isinstance(user, Guest)
