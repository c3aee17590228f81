"""Rendering of templates: one environment, one set of security header fields."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context, select_autoescape
from jinja2.runtime import Context
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import HTMLResponse

from collector.core.response_headers import SANDBOX_POLICY
from collector.sites.model import Site
from dashboard.access.guests import is_guest
from dashboard.access.users import User
from dashboard.i18n import formatting, translations
from dashboard.i18n.translations import N_, _
from dashboard.reports.icons import icon
from dashboard.reports.labels import policy_title
from dashboard.reports.metric_help import metric_help
from dashboard.web.public_path import below
from dashboard.web.site_order import other_sites
from dashboard.web.static_files import Assets

TEMPLATES = Path(__file__).resolve().parents[1] / "templates"

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)

HEADERS: Final = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=(), browsing-topics=()",
    # A page holds an account's figures, and the same address answers whole pages and fragments.
    "cache-control": "private, no-store",
    "vary": "cookie, accept-language, hx-request, hx-target",
}


DATA_HEADERS: Final = {**HEADERS, "content-security-policy": SANDBOX_POLICY.decode()}
"""On what is not a page: figures and lists as files."""


class Pages:
    """Renders templates with the context that every page needs; links lead below `public_path`. `sites` gives all
    sites, of which each page of one offers those that its reader sees."""

    def __init__(self, assets: Assets, public_path: str = "", sites: Callable[[], Iterable[Site]] = tuple) -> None:
        self.assets = assets
        self._public_path = public_path
        self._prepared = set[str]()
        self._environment = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=select_autoescape(default=True),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        translations.install(self._environment)
        self._environment.globals["ngettext"] = _numbered(self._environment.globals["ngettext"])
        self._environment.globals["static_url"] = assets.url
        self._environment.globals["icon_url"] = partial(_icon_url, assets)
        self._environment.globals["metric_help"] = metric_help
        self._environment.globals["policy_title"] = policy_title
        self._environment.globals["other_sites"] = lambda user, site: other_sites(sites(), user, site)
        self._environment.globals["chart_units"] = formatting.chart_units
        self._environment.tests["guest"] = is_guest
        self._environment.filters.update(
            number=formatting.number,
            compact=formatting.compact,
            day=formatting.date,
            listed=formatting.listed,
            breakable=breakable,
        )

    def text(self, template: str, **values: Any) -> str:
        """The template with these values, as text."""
        return below(self._public_path, self._environment.get_template(template).render(**values))

    @property
    def is_prepared(self) -> bool:
        """Whether `prepare` was called for the reader's language."""
        return translations.language() in self._prepared

    def prepare(self) -> None:
        """Read all templates, and what the reader's language needs, so that the first page of figures need not."""
        self._prepared.add(translations.language())
        # Mails have an environment of their own.
        for name in self._environment.list_templates(filter_func=lambda name: not name.startswith("mail/")):
            self._environment.get_template(name)
        formatting.prepare()

    def html(
        self, template: str, status: int = 200, headers: Mapping[str, str] | None = None, /, **values: Any
    ) -> HTMLResponse:
        """The template with these values, as an answer with every security header."""
        return HTMLResponse(self.text(template, **values), status, headers={**HEADERS, **(headers or {})})


def _icon_url(assets: Assets, dimension: str, value: str) -> str:
    """The address of a value's icon, the general one where it has none; "" for dimensions without icons."""
    name = icon(dimension, value)
    return assets.url(name if name in assets else icon(dimension, "")) if name else ""


def breakable(name: str) -> Markup:
    """A path or host that may be broken after its slashes and before its dots; anything with spaces as it is."""
    text = escape(name)
    if " " in name:
        return text
    return text.replace("/", Markup("/<wbr>")).replace(".", Markup("<wbr>."))


def _numbered(ngettext: Any) -> Callable[..., Any]:
    """The same, with `%(num)s` as the reader's language writes numbers."""

    @pass_context
    def counted(context: Context, one: str, many: str, count: int, /, **values: Any) -> Any:
        return ngettext(context, one, many, count, **{"num": formatting.number(count), **values})

    return counted


def fragment_asked(request: Request) -> str:
    """The id of the element that htmx will replace, or "" for a whole page."""
    if request.headers.get("hx-request") != "true" or "hx-history-restore-request" in request.headers:
        return ""
    return request.headers.get("hx-target", "")


EXPLANATIONS: Final = {
    400: (N_("Bad request"), N_("Something in the address or the form is invalid. Go back, or check the link.")),
    403: (
        N_("You don’t have access to this page"),
        N_(
            "You are signed in, but your account does not have permission. "
            "Ask an owner of the site or an administrator."
        ),
    ),
    404: (N_("Page not found"), N_("This page does not exist, or your account has no access to it.")),
    405: (N_("Unsupported request"), N_("This page does not accept this kind of request.")),
    408: (N_("Request timed out"), N_("The request did not arrive in time. Try again.")),
    413: (N_("Request too large"), N_("The form is larger than this page accepts. Go back and send less.")),
    421: (
        N_("Unknown host"),
        N_(
            "This server is not configured for the host name in the address. Whoever runs it sets "
            "TYST_PUBLIC_URL to the address by which it is reached."
        ),
    ),
    422: (N_("Request too large"), N_("This report takes too long. Choose a shorter period or fewer filters.")),
    429: (N_("Too many attempts"), N_("Wait a moment, then try again.")),
    500: (N_("Something went wrong"), N_("The error is recorded in the server’s log. Please try again later.")),
    503: (
        N_("Temporarily unavailable"),
        N_("The database is not responding. No data is lost. Please try again shortly."),
    ),
    507: (N_("The disk is full"), N_("Nothing was changed. Whoever runs this server has to make room on its disk.")),
}
REFUSED_STRANGER: Final = (
    N_("Request refused"),
    N_(
        "According to your browser, the request did not come from a page of this server. Reload the page and try again."
    ),
)
"""403 for somebody who is not signed in."""
UNKNOWN_TO_STRANGER: Final = (
    N_("Page not found"),
    N_("This page does not exist, or the link to it is no longer valid."),
)
"""404 for somebody who is not signed in, such as a guest whose link was revoked."""
UNEXPLAINED: Final = (N_("Request failed"), N_("The request could not be answered."))


def error_page(
    pages: Pages, status: int, headers: Mapping[str, str] | None = None, user: User | None = None
) -> HTMLResponse:
    """A page that says what went wrong, in words, and where to go from there."""
    title, text = EXPLANATIONS.get(status, UNEXPLAINED)
    if status == 403 and user is None:
        title, text = REFUSED_STRANGER
    if status == 404 and user is None:
        title, text = UNKNOWN_TO_STRANGER
    return pages.html("error.html", status, headers, title=_(title), text=_(text), code=status, user=user)
