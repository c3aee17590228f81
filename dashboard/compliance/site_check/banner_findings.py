"""Findings about a page's consent banner, and whether the tag follows it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from typing import Final

from dashboard.compliance.health_report import Check, State
from dashboard.compliance.site_check.cmp_detection import ADAPTERS, FUNCTIONS, Banner, BannerTraces
from dashboard.compliance.site_check.html_scan import Script
from dashboard.compliance.site_check.page_inspection import PageInspection, quoted
from dashboard.compliance.site_check.tag_snippets import following
from dashboard.i18n.translations import _

MAX_NAMED: Final = 3
_FUNCTION: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,31}")
"""A function's name that the collector takes as evidence."""
_CALL: Final = re.compile(r"\btyst\.consent\(\s{0,9}([^\s),]{1,40})")
_YES: Final = frozenset({"'granted'", '"granted"', "`granted`", "true", "!0"})


def banner_findings(inspection: PageInspection) -> Iterator[Check]:
    """At most one finding: which banner the page has, and whether the tag hears what its visitors answer."""
    cmp = inspection.tag.attributes.get("data-cmp", "") if inspection.tag else ""
    traces = inspection.traces
    if cmp:
        yield _followed(inspection, inspection.tag, cmp, traces) if inspection.tag else _none()
    elif inspection.site.consent == "exempt" and not traces.found and not traces.possible:
        return
    elif calls := [call for script in inspection.source.scripts for call in _CALL.findall(script.inner)]:
        yield _called(inspection, calls, traces)
    elif traces.found:
        yield _unheard(inspection, traces.found)
    elif traces.possible:
        yield _uncertain(inspection, traces.possible)
    else:
        yield _none()


def banner_of(inspection: PageInspection) -> str:
    """The key of the page's banner: of one that the tag follows, else of the first that was found; "" where only
    visitors could tell."""
    cmp = inspection.tag.attributes.get("data-cmp", "") if inspection.tag else ""
    traces, followed = inspection.traces, ADAPTERS.get(cmp) or FUNCTIONS.get(cmp)
    if followed in (*traces.found, *traces.possible):
        return followed.key if followed else ""
    return traces.found[0].key if traces.found else ""


def _check(state: State, found: str, advice: str = "", code: str = "") -> Check:
    return Check(name=_("Banner"), state=state, found=found, advice=advice, code=code)


def _followed(inspection: PageInspection, tag: Script, cmp: str, traces: BannerTraces) -> Check:
    """A tag with `data-cmp`."""
    if cmp in ADAPTERS:
        return _followed_banner(inspection, tag, ADAPTERS[cmp], traces)
    if not _FUNCTION.fullmatch(cmp) or (cmp not in FUNCTIONS and difflib.get_close_matches(cmp, ADAPTERS, cutoff=0.75)):
        known = _("It may be one of: {names}; or the name of a function of the page.").format(names=", ".join(ADAPTERS))
        return _check("failed", _("There is no data-cmp=“{cmp}”.").format(cmp=quoted(cmp)), known)
    defined = _defines(inspection.source.scripts, cmp)
    if cmp in FUNCTIONS and not defined:
        found = _("The tag calls {function}(), which the page’s source does not contain.").format(function=cmp)
        advice = _("Replace the tag with these lines:")
        return _check("failed", found, advice, following(tag, inspection.site, inspection.base, FUNCTIONS[cmp].key))
    if cmp in FUNCTIONS:
        return _followed_banner(inspection, tag, FUNCTIONS[cmp], traces)
    if not defined:
        found = _("The tag calls {function}(), which the page’s source does not contain.").format(function=cmp)
        return _check("warning", found, _("If another script defines it, everything works: test it in the browser."))
    return _check("ok", _("The tag calls a function of the page, {function}().").format(function=cmp))


def _followed_banner(inspection: PageInspection, tag: Script, banner: Banner, traces: BannerTraces) -> Check:
    """A tag that follows a banner of the list."""
    cmp = tag.attributes["data-cmp"]
    name, others = banner.name, traces.found
    if any(each.followed_by(cmp) for each in others):
        found = _("The tag follows {banner}.").format(banner=name)
        return _check("ok", found, _slow_answer(inspection, cmp))
    if others:
        text = _("The tag follows {banner}, but the page has {found}.").format(banner=name, found=_names(others))
        code = following(tag, inspection.site, inspection.base, others[0].key)
        # Of two products by one name the one is never heard by what follows the other.
        if any(banner.resembles and each.resembles == banner.resembles for each in others):
            text = _("The tag follows {banner}, but the page has {found}: nothing is counted.").format(
                banner=name, found=_names(others)
            )
            return _check("failed", text, _adapted(_("Replace the tag with this:"), others), code)
        advice = _("If that is the banner that visitors see, replace the tag with this:")
        return _check("warning", text, _adapted(advice, others), code)
    if banner in traces.possible:
        text = _("The tag follows {banner}. The page’s script may also be another product: {found}.").format(
            banner=name, found=_names(each for each in traces.possible if each != banner)
        )
        return _check("warning", text, _look_at_start())
    text = _("The tag follows {banner}, which the page’s source does not show.").format(banner=name)
    return _check("warning", text, _("If it is bundled with other scripts, everything works: test it in the browser."))


def _called(inspection: PageInspection, calls: Iterable[str], traces: BannerTraces) -> Check:
    """A page that calls `tyst.consent` itself; `calls` are the arguments."""
    if not all(call in _YES for call in calls):
        return _check("ok", _("The page itself reports visitors’ choices to the tag."))
    found = _("The page reports consent to the tag, but never a refusal or a withdrawal.")
    if inspection.tag and traces.found:
        advice = _("Replace the tag with this, and remove the calls from the page:")
        return _check(
            "failed", found, advice, following(inspection.tag, inspection.site, inspection.base, traces.found[0].key)
        )
    return _check(
        "failed", found, _("Have the banner run this after a refusal and a withdrawal:"), 'tyst.consent("denied")'
    )


def _unheard(inspection: PageInspection, banners: tuple[Banner, ...]) -> Check:
    """Banners that nothing follows."""
    if inspection.tag is None:
        found = _("The page has a banner ({found}).").format(found=_names(banners))
        return _check("warning", found, _adapted(_("With the lines above the tag follows it."), banners))
    found = _("The page has a banner ({found}), and the tag does not follow it.").format(found=_names(banners))
    code = following(inspection.tag, inspection.site, inspection.base, banners[0].key)
    state: State = "warning" if inspection.site.consent == "exempt" else "failed"
    return _check(state, found, _adapted(_("Replace the tag with this:"), banners), code)


def _uncertain(inspection: PageInspection, banners: tuple[Banner, ...]) -> Check:
    found = _("The page has a banner that is one of these: {found}.").format(found=_names(banners))
    return _check("warning" if inspection.site.consent == "exempt" else "failed", found, _look_at_start())


def _none() -> Check:
    return _check(
        "warning",
        _("No known consent banner was found."),
        _('Nothing is counted in full until the page calls tyst.consent("granted").'),
    )


def _look_at_start() -> str:
    return _(
        "Check how the page starts it: cookieconsent.initialise(…) is Osano Cookie Consent 3.1, "
        "initCookieConsent() is vanilla-cookieconsent 2, CookieConsent.run(…) is vanilla-cookieconsent "
        "3. Then choose that banner for the tag."
    )


def _slow_answer(inspection: PageInspection, cmp: str) -> str:
    """What owners of an exempt site have to know of Google Consent Mode."""
    if cmp != "gcm" or inspection.site.consent != "exempt":
        return ""
    return _(
        "Many banners set Google Consent Mode to denied before anybody has answered. Where yours does so by an update, "
        "that counts as a refusal, and nothing is counted until visitors agree."
    )


def _adapted(advice: str, banners: tuple[Banner, ...]) -> str:
    """The advice, after what an owner of that banner has to look at."""
    return " ".join(filter(None, (_(banners[0].adapt) if banners[0].adapt else "", advice)))


def _names(banners: Iterable[Banner]) -> str:
    return ", ".join(banner.name for banner in list(banners)[:MAX_NAMED])


def _defines(scripts: Iterable[Script], name: str) -> bool:
    defined = re.compile(rf"\bfunction\s{{1,9}}{name}\b|\b{name}\s{{0,9}}=")
    return any(defined.search(script.inner) for script in scripts if not script.inert)
