"""Findings about a tag's script: its presence, and whether browsers would load it."""

from __future__ import annotations

from collections.abc import Iterator

import httpx

from dashboard.compliance.health_report import Check
from dashboard.compliance.site_check.csp import Directives, ResourceRequest, blocking, read_policies
from dashboard.compliance.site_check.errors import FetchError
from dashboard.compliance.site_check.html_scan import Script
from dashboard.compliance.site_check.page_inspection import PageInspection, collects_at, is_local, obstacle, origin
from dashboard.compliance.site_check.tag_snippets import corrected
from dashboard.i18n.translations import _


def script_findings(inspection: PageInspection, tag: Script) -> Iterator[Check]:
    name, url = _("Script"), inspection.address(tag.source)
    home = f"{inspection.base}js/tyst.js"
    right = _("Its address should be {url}").format(url=home)
    code = corrected(tag, inspection.site, inspection.base, source=home)
    if url is None or url.scheme not in ("http", "https"):
        yield Check(name=name, state="failed", found=_("The tag’s src is not a web address."), advice=right, code=code)
        return
    for each in (url, collects_at(inspection, tag, url)):
        if each is not None and inspection.page.url.scheme == "https" and each.scheme == "http" and not is_local(each):
            found = _("{url} is not encrypted; browsers block it on https pages.").format(url=each)
            yield Check(
                name=name,
                state="failed",
                found=found,
                advice=_("Serve it over https, and use the https address in the tag."),
            )
            return
    yield _answered(inspection, url, right, code)


def _answered(inspection: PageInspection, url: httpx.URL, right: str, code: str) -> Check:
    """What the script's address answers."""
    name, script = _("Script"), inspection.script
    home = httpx.URL(inspection.base)
    if isinstance(script, FetchError) and url.host == home.host:
        found = _("{url} could not be fetched from this server ({reason}).").format(url=url, reason=obstacle(script))
        return Check(
            name=name, state="warning", found=found, advice=_("Open it in a browser: it should show a script.")
        )
    if script is None or isinstance(script, FetchError):
        reason = obstacle(script) if script else _("no response")
        found = _("{url} could not be fetched: {reason}.").format(url=url, reason=reason)
        return Check(name=name, state="failed", found=found, advice=right, code=code)
    if script.status != 200:
        found = _("{url} responded with status {status}.").format(url=url, status=script.status)
        return Check(name=name, state="failed", found=found, advice=right, code=code)
    if "tyst_consent" not in script.text:
        if "plausible" in script.text:
            found = _("{url} is Plausible’s script.").format(url=url)
            return Check(
                name=name,
                state="warning",
                found=found,
                advice=_("It works if it sends to this server, but it does not handle consent."),
            )
        found = _("{url} is another script.").format(url=url)
        return Check(name=name, state="failed", found=found, advice=right, code=code)
    if url.host not in (home.host, inspection.page.url.host):
        found = _("{url} is served by another server.").format(url=url)
        return Check(name=name, state="warning", found=found, advice=right, code=code)
    return Check(name=name, state="ok", found=_("{url} serves the script.").format(url=url))


def content_policy_findings(inspection: PageInspection, tag: Script) -> Iterator[Check]:
    """What the page's own policy says of the script, and of where it sends."""
    policies = read_policies(
        [*inspection.page.headers.get_list("content-security-policy"), *inspection.source.policies]
    )
    url = inspection.address(tag.source)
    if not policies or url is None:
        return
    nonce = tag.attributes.get("nonce", "")
    script = ResourceRequest("script", url, inspection.page.url, nonce, tag.made)
    collected = collects_at(inspection, tag, url)
    asked = [script, *([ResourceRequest("connect", collected, inspection.page.url)] if collected else [])]
    problems = [problem for each in asked if (problem := _blocked(policies, each))]
    yield from problems or [
        Check(name=_("Content policy"), state="ok", found=_("The page’s Content-Security-Policy allows it."))
    ]


def _blocked(policies: list[Directives], asked: ResourceRequest) -> Check | None:
    directive = blocking(policies, asked)
    if not directive:
        return None
    what = _("the script") if asked.kind == "script" else _("its requests")
    found = _("The page’s Content-Security-Policy blocks {what}: {directive} does not allow {origin}.").format(
        what=what, directive=directive, origin=origin(asked.url)
    )
    wanted = f"{asked.kind}-src"
    advice = _("Add {origin} to {directive}.").format(origin=origin(asked.url), directive=wanted)
    if asked.kind == "script" and any("'strict-dynamic'" in policy.get(directive, ()) for policy in policies):
        advice = _("Give the tag the nonce of the page’s other scripts.")
    return Check(name=_("Content policy"), state="failed", found=found, advice=advice)
