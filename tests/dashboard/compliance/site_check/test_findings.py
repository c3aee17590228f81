"""What a look at a site's page finds, and what it says to do about it."""

from __future__ import annotations

import dataclasses
import threading
import time
from typing import ClassVar, cast

import anyio
import httpx
import pytest

from collector.sites.model import Policy, Site
from dashboard.compliance.site_check.cmp_detection import BANNERS, find_banners
from dashboard.compliance.site_check.csp import ResourceRequest, blocking, read_policies
from dashboard.compliance.site_check.errors import FetchError
from dashboard.compliance.site_check.fetcher import Fetched, Fetcher
from dashboard.compliance.site_check.findings import findings
from dashboard.compliance.site_check.html_scan import Script, read_source
from dashboard.compliance.site_check.inspector import Inspector
from dashboard.compliance.site_check.page_inspection import PageInspection
from dashboard.compliance.site_check.tag_finder import find_tags
from dashboard.compliance.site_check.tag_snippets import VARIANTS, TagOptions, code_of, tag_of

SITE = Site(domain="example.com")
EXEMPT = Site(domain="example.com", consent="exempt")
BASE = "https://stats.example.net/"
TAG = tag_of(SITE, BASE)
SNIPPET = "…tyst_consent=…"


def fetched(text: str, url: str = "https://example.com/", status: int = 200, **headers: str) -> Fetched:
    """An answer; underscores in names of headers are dashes."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return Fetched(httpx.URL(url), status, httpx.Headers(given), text, whole=True)


def look(
    page: str | Fetched, site: Site = SITE, script: Fetched | FetchError | None = None, base: str = BASE
) -> dict[str, tuple[str, str]]:
    """The findings about a page, by what they are about: state, and text with advice and what is there to copy."""
    answer = fetched(page) if isinstance(page, str) else page
    source = read_source(answer.text)
    script = script or fetched(SNIPPET, f"{base}js/tyst.js")
    found = findings(PageInspection(site, base, answer, source, find_tags(source), script))
    assert all(check.found for check in found)
    assert all(check.advice for check in found if check.state != "ok")
    return {check.name: (check.state, f"{check.found} {check.advice} {check.code}".strip()) for check in found}


def code_for(page: str) -> str:
    """What the finding about the banner has to copy."""
    source = read_source(page)
    given = PageInspection(SITE, BASE, fetched(page), source, find_tags(source), fetched(SNIPPET, f"{BASE}js/tyst.js"))
    (finding,) = [check for check in findings(given) if check.name == "Banner"]
    return finding.code


def states(found: dict[str, tuple[str, str]]) -> dict[str, str]:
    return {name: state for name, (state, _) in found.items()}


KLARO = '<script src="/klaro.js"></script>'


def test_all_is_well() -> None:
    """Tag, script, policy and banner are named one by one."""
    page = f"<head>{KLARO}{tag_of(SITE, BASE, 'klaro')}</head>"
    assert states(look(page)) == {
        "Page": "ok", "Tag": "ok", "Domain": "ok", "Script": "ok", "Policy": "ok", "Banner": "ok"
    }  # fmt: skip
    assert states(look(f"<head>{tag_of(EXEMPT, BASE)}</head>", EXEMPT)) == {
        "Page": "ok", "Tag": "ok", "Domain": "ok", "Script": "ok", "Policy": "ok"
    }  # fmt: skip


INERT = {
    '<script type="text/plain" data-category="analytics" src="https://stats.example.net/js/tyst.js"></script>': (
        'has type="text/plain"'
    ),
    f"<!-- {TAG} -->": "inside a comment",
    f"<noscript>{TAG}</noscript>": "inside <noscript>",
    f'<template data-purpose="analytics">{TAG}</template>': "inside <template>",
}


@pytest.mark.parametrize(("page", "said"), INERT.items())
def test_a_tag_that_does_not_run_is_found(page: str, said: str) -> None:
    """Held back by a type, a comment, or an element that browsers do not run."""
    state, text = look(page)["Tag"]
    assert (state, said in text) == ("failed", True)


def test_no_tag_is_said_with_the_one_to_paste() -> None:
    """Or, where a tag manager may add it, with where to look."""
    state, text = look("<head><title>Shop</title></head>")["Tag"]
    assert (state, TAG in text) == ("failed", True)
    managed = "<script>(function(w){…'https://www.googletagmanager.com/gtm.js?id='+i…})(window,'GTM-ABC123')</script>"
    assert look(managed)["Tag"][0] == "warning"


def test_a_tag_that_is_twice_there_is_said() -> None:
    """The first counts."""
    other = TAG.replace("example.com", "other.example")
    found = look(f"{TAG}{other}")
    assert found["Tag"][0] == "warning"
    assert "2 tags" in found["Tag"][1]
    assert found["Domain"][0] == "ok"
    assert look(f"{other}{TAG}")["Domain"][0] == "failed"


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name != "wordpress"])
@pytest.mark.parametrize("policy", ["required", "limited", "exempt"])
def test_every_form_of_the_tag_is_found(variant: str, policy: str) -> None:
    """As its own page offers it: standing there, or made by a script."""
    site = Site(domain="example.com", consent=cast("Policy", policy))
    code = code_of(site, BASE, TagOptions(variant, "klaro"))
    if variant == "nextjs":
        # What Next.js renders of the element: its properties in the stream of the page.
        attributes = dict(part.split("=") for part in code.split("<Script ")[1].split(" />")[0].split())
        properties = ",".join(f'\\"{name}\\":\\{value[:-1]}\\"' for name, value in attributes.items())
        code = f'<script>self.__next_f.push([1,"[{{{properties}}}]"])</script>'
    found = look(f"<body>{KLARO}{code}</body>", site)
    assert set(states(found).values()) == {"ok"}, found


@pytest.mark.parametrize(
    ("given", "state"),
    [("example.com", "ok"), ("www.example.com", "failed"), ("other.example, example.com", "ok"), ("", "failed")],
)
def test_the_domain_must_be_the_sites(given: str, state: str) -> None:
    """Exactly, as one of several or alone."""
    found = look(TAG.replace('data-domain="example.com"', f'data-domain="{given}"' if given else ""))
    assert found["Domain"][0] == state


@pytest.mark.parametrize(("given", "state"), [("www.example.com", "failed"), ("old.example", "warning")])
def test_a_name_that_counts_for_the_site_is_said_to(given: str, state: str) -> None:
    """Beacons lose `www.`, and those of a former name count."""
    site = Site(domain="example.com", aliases=("old.example",))
    found = look(TAG.replace('data-domain="example.com"', f'data-domain="{given}"'), site)["Domain"]
    assert found[0] == state
    assert found[1].startswith("It counts for example.com, ")


@pytest.mark.parametrize(("given", "state"), [("xn--rkor-loa.example", "ok"), ("räkor.example", "failed")])
def test_a_site_of_another_alphabet_is_named_as_browsers_name_hosts(given: str, state: str) -> None:
    """The snippet compares it with the page's host: else hosts of the site do not share a visitor's choice."""
    site = Site(domain="räkor.example")
    offered = tag_of(site, BASE)
    assert 'data-domain="xn--rkor-loa.example"' in offered
    found = look(offered.replace("xn--rkor-loa.example", given), site)["Domain"]
    assert found[0] == state
    assert (offered in found[1]) == (state == "failed")


LIMITED = Site(domain="example.com", consent="limited")
SOURCE = f'src="{BASE}js/tyst.js"></script>'
WRONG = {
    "another domain": (SITE, f'<script defer data-domain="www.example.com" data-hash {SOURCE}', "Domain"),
    "no domain": (SITE, f'<script defer data-hash="" {SOURCE}', "Domain"),
    "another policy": (SITE, f'<script data-domain="example.com" data-consent="exempt" data-hash {SOURCE}', "Policy"),
    "no policy": (LIMITED, f'<script defer data-domain="example.com" data-hash {SOURCE}', "Policy"),
    "held back": (SITE, f'<script type="text/plain" data-domain="example.com" data-hash {SOURCE}', "Tag"),
    "in a comment": (SITE, f'<!-- <script defer data-domain="www.example.com" data-hash {SOURCE} -->', "Tag"),
}


@pytest.mark.parametrize(("site", "tag", "about"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_comes_with_the_corrected_line(site: Site, tag: str, about: str) -> None:
    """All of the line, to be copied: it has what was right, and every check of it passes."""
    state, said = look(tag, site)[about]
    line = said[said.index("<script") :]
    assert state == "failed"
    assert "data-hash" in line
    assert {look(line, site)[name][0] for name in ("Tag", "Domain", "Policy", "Script")} == {"ok"}


def test_a_script_from_elsewhere_comes_with_its_right_address() -> None:
    """The corrected line loads it from this server."""
    tag = TAG.replace("stats.example.net", "old.example.net")
    state, said = look(tag, script=fetched("no", status=404))["Script"]
    assert (state, said[said.index("<script") :]) == ("failed", TAG)


SCRIPTS = {
    "another status": (fetched("no", status=404), "failed", "responded with status 404"),
    "another script": (fetched("alert(1)"), "failed", "is another script"),
    "Plausible's": (fetched("window.plausible="), "warning", "Plausible"),
    "this server, not reached from here": (FetchError("address", "stats.example.net"), "warning", "from this server"),
}


@pytest.mark.parametrize(("script", "state", "said"), SCRIPTS.values(), ids=SCRIPTS)
def test_the_script_must_be_there(script: Fetched | FetchError, state: str, said: str) -> None:
    """What its address answers is looked at too."""
    found = look(TAG, script=script)
    assert (found["Script"][0], said in found["Script"][1]) == (state, True)


def test_the_script_may_come_from_the_site_itself() -> None:
    """Where the site's own server passes it on; from a third server it does not come to this one."""
    page = '<script defer data-domain="example.com" src="/js/tyst.js"></script>'
    assert look(page, script=fetched(SNIPPET))["Script"][0] == "ok"
    page = TAG.replace("stats.example.net", "elsewhere.example")
    assert look(page, script=fetched(SNIPPET))["Script"][0] == "warning"
    missing = FetchError("name", "elsewhere.example")
    assert look(page, script=missing)["Script"][0] == "failed"


@pytest.mark.parametrize(
    "tag",
    [
        TAG.replace("https://stats", "http://stats"),
        TAG.replace("src=", 'data-api="http://stats.example.net/api/event" src='),
    ],
)
def test_mixed_content_is_found(tag: str) -> None:
    """A page over https cannot use what is not encrypted; a page over http can."""
    assert "not encrypted" in look(tag)["Script"][1]
    assert look(fetched(tag, "http://example.com/"))["Script"][0] == "ok"


@pytest.mark.parametrize("settings", ["required", "limited", "exempt"])
@pytest.mark.parametrize("given", ["required", "limited", "exempt", "optional"])
def test_tag_and_settings_must_agree(settings: str, given: str) -> None:
    """On the policy; what is not said is `required`."""
    site = Site(domain="example.com", consent=cast("Policy", settings))
    tag = TAG.replace("defer", f'defer data-consent="{given}"')
    assert look(tag, site)["Policy"][0] == ("ok" if given == settings else "failed")
    assert look(TAG, site)["Policy"][0] == ("ok" if settings == "required" else "failed")


BANNER_PAGES = {
    '<script defer src="https://cdn.example/vanilla-cookieconsent@3/cookieconsent.umd.js"></script>': "cookieconsent",
    "<script>CookieConsent.run({})</script>": "cookieconsent",
    "<script>initCookieConsent()</script>": "cc_consent",
    "<script>window.cookieconsent.initialise({})</script>": "osano_popup_consent",
    '<script src="https://cdnjs.example/ajax/libs/cookieconsent2/3.1.1/cookieconsent.min.js"></script>': (
        "osano_popup_consent"
    ),
    '<script defer src="/klaro-no-css.js"></script>': "klaro",
    "<script>tarteaucitron.init({})</script>": "tarteaucitron",
    "<script>window.orejimeConfig={}</script>": "orejime",
    "<script>gtag('consent', 'default', {})</script>": "gcm",
    "<script>window.__tcfapi = function () {}</script>": "tcf",
    "<script>var url = 'https://cmp.inmobi.com'.concat('/choice/')</script>": "tcf",
    '<script src="/wp-content/plugins/wp-consent-api/assets/js/wp-consent-api.min.js"></script>': "wp",
    '<script src="/wp-content/plugins/complianz-gdpr/cookiebanner.js"></script>': "complianz_consent",
}  # fmt: skip


@pytest.mark.parametrize(("banner", "cmp"), BANNER_PAGES.items())
def test_a_banner_that_is_not_followed_is_found(banner: str, cmp: str) -> None:
    """With the lines that the page needs in place of its tag; with them, all is well."""
    assert look(f"{banner}{TAG}")["Banner"][0] == "failed"
    code = code_for(f"{banner}{TAG}")
    assert f'data-cmp="{cmp}"' in code
    assert look(f"{banner}{code}")["Banner"][0] == "ok"


def test_the_lines_to_copy_keep_what_the_tag_says() -> None:
    """Its own attributes and address; not what a page says at length or in characters that a terminal acts on."""
    kept = 'data-domain="example.com" data-exclude="/a&amp;b" nonce="n"'
    assert code_for(f'{KLARO}<script async {kept} data-cmp="tcf" src="/t.js"></script>') == (
        f'<script defer {kept} data-cmp="klaro" src="/t.js"></script>'
    )
    for odd in ("x" * 300, "a\x1bb"):
        tag = TAG.replace("defer", f'data-exclude="{odd}"')
        assert code_for(f"{KLARO}{tag}") == tag_of(SITE, BASE, "klaro")


def test_products_of_one_name_are_told_apart() -> None:
    """What follows one of them hears nothing of the others. Where nothing tells which it is, all are named."""
    follows_3 = tag_of(SITE, BASE, "vanilla-cookieconsent-3")
    for start, cmp in (("cookieconsent.initialise({})", "osano_popup_consent"), ("initCookieConsent()", "cc_consent")):
        state, text = look(f'<script src="/cookieconsent.js"></script><script>{start}</script>{follows_3}')["Banner"]
        assert (state, f'data-cmp="{cmp}"' in text) == ("failed", True)
    unknown = '<script src="/js/cookieconsent.min.js"></script>'
    for tag, wanted in ((TAG, "failed"), (follows_3, "warning")):
        state, text = look(f"{unknown}{tag}")["Banner"]
        assert state == wanted
        for name in ("Osano Cookie Consent 3.1", "vanilla-cookieconsent 2", "vanilla-cookieconsent 3"):
            assert name in text


def test_what_is_said_of_banners() -> None:
    """Another than is there, one that cannot be seen, none, and a page that tells by itself."""
    assert look(f"{KLARO}{tag_of(SITE, BASE, 'orejime')}")["Banner"][0] == "warning"
    assert look(tag_of(SITE, BASE, "orejime"))["Banner"][0] == "warning"
    assert look(TAG)["Banner"][0] == "warning"
    assert look(f"<script>onChoice((c) => tyst.consent(c))</script>{TAG}")["Banner"][0] == "ok"
    assert look(f"{KLARO}{tag_of(EXEMPT, BASE)}", EXEMPT)["Banner"][0] == "warning"
    assert find_banners([Script({"src": "/app.js"}, "let a = 1")]).found == ()


def test_a_function_of_the_page_may_speak_for_the_banner() -> None:
    """It is looked for in the page; a name that is none, or nearly that of a banner, is a mistake."""
    own = TAG.replace("defer", 'defer data-cmp="banana"')
    assert look(f"<script>function banana() {{}}</script>{own}")["Banner"][0] == "ok"
    assert look(f"<script>window.banana = () => 1</script>{own}")["Banner"][0] == "ok"
    assert look(own)["Banner"][0] == "warning"
    assert look(f'<script type="text/plain">function banana() {{}}</script>{own}')["Banner"][0] == "warning"
    for name in ("my banana", "ba-nana", "cookieconsents", "Klaro", "b" * 33):
        assert look(own.replace("banana", name))["Banner"][0] == "failed"
    line = BANNERS["cookiebot"].script
    state, text = look(TAG.replace("defer", 'defer data-cmp="cookiebot_consent"'))["Banner"]
    assert (state, line in text) == ("failed", True)


@pytest.mark.parametrize("mark", ["", 'type="text/plain" data-category="analytics"'])
def test_a_yes_without_a_no_is_found(mark: str) -> None:
    """A page that can only say yes, in a marked script or not, has visitors who cannot withdraw."""
    yes = f"<script {mark}>tyst.consent('granted')</script>"
    state, text = look(f"{yes}{TAG}")["Banner"]
    assert (state, 'tyst.consent("denied")' in text) == ("failed", True)
    state, text = look(f"{KLARO}{yes}{TAG}")["Banner"]
    assert (state, 'data-cmp="klaro"' in text) == ("failed", True)
    no = "<script type=text/plain data-category=!analytics>tyst.consent('denied')</script>"
    assert look(f"{yes}{no}{TAG}")["Banner"][0] == "ok"


def test_owners_of_an_exempt_site_read_what_consent_mode_does() -> None:
    """A banner that updates it to denied before an answer leaves nothing to count."""
    page = f"<script>gtag('consent', 'default', {{}})</script>{tag_of(EXEMPT, BASE, 'google-consent-mode')}"
    state, text = look(page, EXEMPT)["Banner"]
    assert (state, "before anybody has answered" in text) == ("ok", True)
    assert "before anybody" not in look(page.replace('data-consent="exempt"', ""))["Banner"][1]


POLICIES = {
    "default-src 'self'": ("script-src", "connect-src"),
    "default-src 'self' https://stats.example.net": (),
    "default-src 'none'; script-src *; connect-src *": (),
    "default-src *; script-src 'self'": ("script-src",),
    "script-src https:; connect-src 'self'": ("connect-src",),
    "script-src *.example.net; connect-src https://*.example.net": (),
    "script-src *.example.com": ("script-src",),
    "script-src https://stats.example.net/js/; connect-src https://stats.example.net/api/event": (),
    "script-src https://stats.example.net/other/": ("script-src",),
    "script-src https://stats.example.net:8443": ("script-src",),
    "script-src https://stats.example.net:443; connect-src stats.example.net:*": (),
    "script-src-elem 'self'; script-src *": ("script-src",),
    "script-src 'nonce-abc' 'strict-dynamic' https:": ("script-src",),
    "script-src 'none'; script-src *": ("script-src",),
    "img-src 'none'": (),
    "script-src *, script-src 'self'": ("script-src",),
    "": (),
}


@pytest.mark.parametrize("placed", ["header", "meta"])
@pytest.mark.parametrize(("policy", "blocked"), POLICIES.items())
def test_what_a_pages_own_policy_blocks_is_found(policy: str, blocked: tuple[str, ...], placed: str) -> None:
    """In the header or in the page, for the script and for what it sends, with what to add."""
    if placed == "meta" and "," in policy:
        return
    meta = f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    page = fetched(TAG, content_security_policy=policy) if placed == "header" else fetched(meta + TAG)
    source = read_source(page.text)
    given = PageInspection(SITE, BASE, page, source, find_tags(source), fetched(SNIPPET))
    said = [check for check in findings(given) if check.name == "Content policy"]
    failed = [check for check in said if check.state == "failed"]
    assert len(failed) == len(blocked)
    for check, directive in zip(failed, blocked, strict=True):
        assert directive in check.advice or "nonce" in check.advice
    assert bool(said) == bool(policy)


def test_a_nonce_lets_the_tag_through() -> None:
    """Its own; a script that runs already may add others under strict-dynamic."""
    page = httpx.URL("https://example.com/")
    script = httpx.URL("https://stats.example.net/js/tyst.js")
    policies = read_policies(["script-src 'nonce-abc' 'strict-dynamic'"])
    assert blocking(policies, ResourceRequest("script", script, page, "abc")) == ""
    assert blocking(policies, ResourceRequest("script", script, page, "abd")) == "script-src"
    assert blocking(policies, ResourceRequest("script", script, page, made=True)) == ""


def test_what_a_page_says_is_repeated_without_control_characters() -> None:
    """A terminal that shows the findings obeys none of them; and nothing is repeated at length."""
    evil = "\x1b[2J\u202e" + "x" * 5_000
    page = f'<script src="/js/tyst.js" data-domain="{evil}" data-consent="{evil}" data-cmp="{evil}"></script>'
    held = f'<script src="/js/tyst.js" type="{evil}"></script>'
    for text in (text for each in (page, held) for _, text in look(each).values()):
        assert text.isprintable()
        assert len(text) < 600


def test_the_page_itself_is_spoken_of() -> None:
    """An error, another host, a page too long."""
    assert look(fetched(TAG, status=403))["Page"][0] == "failed"
    asked = (httpx.URL("https://example.com/"),)
    for target, state in (("https://www.example.com/", "ok"), ("https://parked.example/", "warning")):
        moved = Fetched(httpx.URL(target), 200, httpx.Headers(), TAG, whole=True, hops=asked)
        assert look(moved)["Page"][0] == state
    long = Fetched(httpx.URL("https://example.com/"), 200, httpx.Headers(), TAG, whole=False)
    assert look(long)["Page"][0] == "warning"


def test_pages_are_read_as_browsers_do() -> None:
    """Attributes in any spelling; scripts in scripts, styles, titles and attributes are none."""
    page = """<SCRIPT DEFER SRC = 'a.js' Data-Domain=x.example data-domain="second"></SCRIPT>
    <script>document.write("<script src=inner.js><\\/script>")</script>
    <style>/* <script src=style.js></script> */</style><title><script src=title.js></title>
    <p title="<script src=attribute.js>">1 < 2 <3 <</p><script src="b&amp;c.js" / async>x</script >
    <base href="/app/"><link rel=preload href=d.js><script src=last.js>"""
    source = read_source(page)
    assert [script.source for script in source.scripts] == ["a.js", "", "b&c.js", "last.js"]
    assert source.scripts[0].attributes["data-domain"] == "x.example"
    assert (source.base, source.links) == ("/app/", ["d.js"])


HOSTILE = (
    "<!--", "<!-- -->", "<a ", "<a b='", '<a b="', "<script", "<script>", "</script", "<noscript>", "<", "&lt;<a/",
    "<a b=c ", "<a" + " " * 50, "<title>", "<a b = ", "'\"<a x=\"'", "/tyst.js", '"/tyst.js', 'data-domain="',
)  # fmt: skip


@pytest.mark.parametrize("part", HOSTILE)
def test_no_page_takes_long_to_read(part: str) -> None:
    """However hostile, it is read in time that grows with the length alone."""
    began = time.process_time()
    for page in (part * (300_000 // len(part)), "<script>" + part * (300_000 // len(part)) + "</script>"):
        find_tags(read_source(page))
    assert time.process_time() - began < 5


class _Fetcher(Fetcher):
    """Answers every address with one page."""

    def __init__(self, page: Fetched) -> None:
        super().__init__()
        self._page = page

    async def fetch(self, url: str) -> Fetched:  # noqa: ARG002 # the interface's
        return self._page


class _Hops(tuple[httpx.URL, ...]):
    """Notes in which thread it is looked at."""

    __slots__ = ()
    threads: ClassVar[set[int]] = set()

    def __bool__(self) -> bool:
        self.threads.add(threading.get_ident())
        return False


def test_a_page_is_evaluated_beside_the_event_loop() -> None:
    """Beacons are answered meanwhile, however much a page of somebody else gives to read."""
    page = dataclasses.replace(fetched(f"<head>{TAG}</head>"), hops=_Hops())
    inspector = Inspector(_Fetcher(page), lambda: 0.0)
    found, _ = anyio.run(inspector.inspect, SITE, "https://example.com/", BASE)
    assert {check.name for check in found} >= {"Page", "Tag"}
    assert _Hops.threads
    assert threading.get_ident() not in _Hops.threads
