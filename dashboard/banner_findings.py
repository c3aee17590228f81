"""What is found about a page's consent banner, and whether the tag follows it."""

from __future__ import annotations

from collections.abc import Iterator

from dashboard.banners import banners_of
from dashboard.look import Look, quoted
from dashboard.status import Check
from dashboard.tags import BANNERS
from dashboard.wording import _


def banner_findings(look: Look) -> Iterator[Check]:
    cmp = look.tag.attributes.get("data-cmp", "") if look.tag else ""
    found = banners_of(look.source.scripts)
    name, titles = _("Banner"), ", ".join(dict.fromkeys(trace.title for trace in found[:3]))
    if cmp and cmp not in BANNERS:
        known = _("It may be one of: {names}.").format(names=", ".join(BANNERS))
        yield Check(
            name=name, state="failed", found=_("There is no data-cmp=“{cmp}”.").format(cmp=quoted(cmp)), advice=known
        )
    elif look.site.consent == "exempt" and not found:
        return
    elif cmp and (not found or any(trace.cmp == cmp for trace in found)):
        text = (
            _("The tag follows {banner}.")
            if found
            else _("The tag follows {banner}, which the page’s source does not show.")
        )
        yield Check(
            name=name,
            state="ok" if found else "warning",
            found=text.format(banner=BANNERS[cmp].title),
            advice="" if found else _("Where it is bundled with other scripts, all is well: try it out."),
        )
    elif cmp:
        text = _("The tag follows {banner}, but the page has {found}.").format(banner=BANNERS[cmp].title, found=titles)
        advice = _("Where that is the banner that visitors see: data-cmp=“{cmp}”").format(cmp=found[0].cmp)
        yield Check(name=name, state="warning", found=text, advice=advice)
    elif any("tyst.consent(" in script.inner for script in look.source.scripts):
        yield Check(name=name, state="ok", found=_("The page tells the tag itself what its visitors choose."))
    elif found:
        text = _("The page has a banner ({found}), and the tag does not follow it.").format(found=titles)
        advice = _('Add data-cmp="{cmp}" to the tag.').format(cmp=found[0].cmp)
        state = "warning" if look.site.consent == "exempt" else "failed"
        yield Check(name=name, state="failed" if state == "failed" else "warning", found=text, advice=advice)
    else:
        yield Check(
            name=name,
            state="warning",
            found=_("No consent banner that we know was found."),
            advice=_('Nothing is counted in full until the page calls tyst.consent("granted").'),
        )
