"""Findings about an inspected page, with advice."""

from __future__ import annotations

from collections.abc import Iterator

from collector.sites.hostnames import ascii_host
from dashboard.compliance.health_report import Check
from dashboard.compliance.site_check.banner_findings import banner_findings
from dashboard.compliance.site_check.html_scan import Script
from dashboard.compliance.site_check.page_inspection import PageInspection, quoted
from dashboard.compliance.site_check.script_findings import content_policy_findings, script_findings
from dashboard.compliance.site_check.tag_snippets import OWN, TagOptions, code_of, corrected, following, tag_of
from dashboard.i18n.translations import _, plural
from dashboard.reports.labels import policy_title


def findings(inspection: PageInspection) -> list[Check]:
    """Every finding, in the order in which things have to work."""
    found = [*_page(inspection), *_tag(inspection)]
    if inspection.tag is not None:
        found += [
            *_domain(inspection, inspection.tag),
            *script_findings(inspection, inspection.tag),
            *_policy(inspection, inspection.tag),
        ]
        found += [*content_policy_findings(inspection, inspection.tag)]
    return [*found, *banner_findings(inspection)]


def _page(inspection: PageInspection) -> Iterator[Check]:
    page, name = inspection.page, _("Page")
    if page.status >= 400:
        yield Check(
            name=name,
            state="failed",
            found=_("{url} responded with status {status}.").format(url=page.url, status=page.status),
            advice=_("Check a page that visitors can open. A firewall or a password may block automated requests."),
        )
    elif page.hops and page.hops[0].host.removeprefix("www.") != page.url.host.removeprefix("www."):
        yield Check(
            name=name,
            state="warning",
            found=_("{url} redirects to another host: {target}").format(url=page.hops[0], target=page.url),
            advice=_("That page was checked. If it is not the site you meant, enter the correct address."),
        )
    else:
        yield Check(name=name, state="ok", found=_("{url} was fetched.").format(url=page.url))
    if not page.whole:
        yield Check(
            name=name,
            state="warning",
            found=_("It is larger than two megabytes; only its beginning was checked."),
            advice=_("Put the tag into the <head>."),
        )


def _tag(inspection: PageInspection) -> Iterator[Check]:
    name, tags = _("Tag"), inspection.tags
    wanted = TagOptions(banner=inspection.traces.found[0].key if inspection.traces.found else OWN)
    code = (
        code_of(inspection.site, inspection.base, wanted) if wanted.banner else tag_of(inspection.site, inspection.base)
    )
    if inspection.tag is None and tags.inert:
        yield _held_back(inspection, tags.inert[0])
    elif inspection.tag is None and tags.manager:
        yield Check(
            name=name,
            state="warning",
            found=_("The page has no tag but a tag manager, which may add one that this check cannot see."),
            advice=_("Open the page in a browser and watch “Incoming data”."),
        )
    elif inspection.tag is None:
        yield Check(
            name=name,
            state="failed",
            found=_("The page has no tag."),
            advice=_("Put this into its <head>:"),
            code=code,
        )
    elif inspection.tag.made:
        yield Check(name=name, state="ok", found=_("A script of the page adds the tag."))
    elif len(tags.active) > 1:
        count = len(tags.active)
        text = plural("The page has {count} tag.", "The page has {count} tags.", count)
        yield Check(
            name=name,
            state="warning",
            found=text.format(count=count),
            advice=_(
                "Keep one. The first that runs counts; the others do nothing. A theme and a plugin may both "
                "have added one."
            ),
        )
    else:
        yield Check(name=name, state="ok", found=_("The page has the tag."))


def _held_back(inspection: PageInspection, script: Script) -> Check:
    code = ""
    if script.inert == "type":
        found = _('The tag has type="{type}", which browsers do not run.').format(
            type=quoted(script.attributes.get("type", ""))
        )
        advice = _(
            "Remove the type so that the tag always runs: it sends nothing before the visitor has chosen. "
            "Started by the banner it would not learn of the choice. Add data-cmp for your banner instead."
        )
        if inspection.site.consent == "exempt":
            advice = _("Remove the type: under this site’s policy the tag does not wait for consent.")
        elif inspection.traces.found:
            code = following(script, inspection.site, inspection.base, inspection.traces.found[0].key)
    elif script.inert == "comment":
        found, advice = _("The tag is inside a comment."), _("Remove the comment’s <!-- and -->.")
    else:
        found = _("The tag is inside <{element}>, where browsers do not run scripts.").format(element=script.inert)
        advice = _("Move it into the <head>.")
    code = code or corrected(script, inspection.site, inspection.base)
    return Check(name=_("Tag"), state="failed", found=found, advice=advice, code=code)


def _domain(inspection: PageInspection, tag: Script) -> Iterator[Check]:
    given, site, name = tag.attributes.get("data-domain", ""), inspection.site, _("Domain")
    domain, wanted = site.domain, site.host
    parts = [part.strip() for part in given.split(",")]
    # As the collector reads them.
    counted = {ascii_host(part.lower()).removeprefix("www.") for part in parts}
    advice = _('It must be data-domain="{domain}". Replace the tag with this:').format(domain=wanted)
    code = corrected(tag, inspection.site, inspection.base)
    if wanted in parts:
        yield Check(name=name, state="ok", found=_("It counts for {domain}.").format(domain=domain))
    elif wanted in counted:
        found = _("It counts for {domain}, but a visitor’s choice applies to one host only.").format(domain=domain)
        yield Check(name=name, state="failed", found=found, advice=advice, code=code)
    elif not counted.isdisjoint(map(ascii_host, site.aliases)):
        found = _("It counts for {domain}, under a former name of the site.").format(domain=domain)
        yield Check(name=name, state="warning", found=found, advice=advice, code=code)
    elif given:
        found = _("It counts for {given}, not for {domain}.").format(given=quoted(given), domain=domain)
        yield Check(name=name, state="failed", found=found, advice=advice, code=code)
    elif tag.made:
        found = _("The site that it counts for could not be determined.")
        advice = _('It must be data-domain="{domain}".').format(domain=wanted)
        yield Check(name=name, state="warning", found=found, advice=advice)
    else:
        yield Check(name=name, state="failed", found=_("The tag has no data-domain."), advice=advice, code=code)


def _policy(inspection: PageInspection, tag: Script) -> Iterator[Check]:
    given, wanted = tag.attributes.get("data-consent", "required"), inspection.site.consent
    name = _("Policy")
    if given == wanted:
        yield Check(
            name=name,
            state="ok",
            found=_("The tag and the settings use the same policy: “{policy}”.").format(policy=policy_title(wanted)),
        )
        return
    found = _("The tag says data-consent=“{given}”, but the site’s policy “{policy}” needs “{wanted}”.").format(
        given=quoted(given), policy=policy_title(wanted), wanted=wanted
    )
    advice = _("Replace the tag with this, or change the policy in the settings:")
    code = corrected(tag, inspection.site, inspection.base)
    yield Check(name=name, state="failed", found=found, advice=advice, code=code)
