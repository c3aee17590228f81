"""Installation snippets of the tag, in the form that each platform takes, and corrected tags of a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final
from urllib.parse import quote, urlencode

from starlette.datastructures import QueryParams

from collector.sites.model import Site
from dashboard.compliance.site_check.cmp_detection import BANNERS
from dashboard.compliance.site_check.html_scan import Script
from dashboard.compliance.site_check.platforms import PLAIN, PLATFORMS
from dashboard.i18n.translations import _

STUB: Final = (
    "<script>window.tyst=window.tyst||function(){(tyst.q=tyst.q||[]).push(arguments)};"
    "tyst.consent=tyst.consent||function(c){return tyst.c=c||tyst.c}</script>"
)
"""Makes calls work before the script has loaded; the same line as in the README."""


OWN: Final = ""
"""A banner that is not in the list: the page calls, or has a function of its own."""

OWN_FUNCTION: Final = """<script>
function my_consent() {
  // true, false, or undefined while the visitor has not answered
  return myBanner.answered ? myBanner.accepted('statistics') : undefined
}
</script>"""
"""What a page may offer the tag to ask; its name is the value of `data-cmp`."""

NO_BANNER: Final = "none"
"""The page has no banner at all."""

MEASURABLE: Final = ("outbound", "downloads", "forms", "hash")
"""What the tag measures when it has the attribute `data-` and this name (snippet/README.md)."""

EVENT_CALLS: Final = """<script>
tyst("Signup", { props: { plan: "pro" } })
tyst("Purchase", { revenue: { amount: 19.90, currency: "EUR" } })
</script>"""
"""What a page calls where something happens that is worth counting."""

VARIANTS: Final = {key: platform.name for key, platform in PLATFORMS.items()}
"""Names of the platforms, by what addresses of the installation page call them."""


@dataclass(frozen=True, slots=True)
class TagOptions:
    """Which form of the tag, for which banner, and what it measures beside pageviews (of `MEASURABLE`); read from an
    address and written back into links."""

    variant: str = PLAIN
    banner: str = OWN
    measure: tuple[str, ...] = ()

    def href(self, site: Site, below: str = "", **other: str) -> str:
        """The address of the page of the tag, or of one below it, with these, or with `other` in place of one."""
        pairs = {"variant": self.variant, "banner": self.banner, "measure": self.measure, **other}
        plain = TagOptions()
        said = {name: value for name, value in pairs.items() if value != getattr(plain, name)}
        return f"/{quote(site.domain)}/install{below}" + (f"?{urlencode(said, doseq=True)}" if said else "")


def read_wanted(params: QueryParams) -> TagOptions:
    """The options in a URL; invalid ones are the defaults."""
    variant, banner = params.get("variant", PLAIN), params.get("banner", OWN)
    known = banner in BANNERS or banner == NO_BANNER
    asked = params.getlist("measure")
    measure = tuple(name for name in MEASURABLE if name in asked)
    return TagOptions(variant if variant in VARIANTS else PLAIN, banner if known else OWN, measure)


def tag_of(site: Site, base: str, banner: str = OWN, measure: Sequence[str] = ()) -> str:
    """The line of HTML that the site's pages need; `base` is this server's address, with a slash at the end."""
    return tag_line(_attributes(site, TagOptions(banner=banner, measure=tuple(measure))), f"{base}js/tyst.js")


def tag_line(attributes: list[tuple[str, str]], source: str) -> str:
    """A tag with these attributes, as HTML."""
    pairs = "".join(f' {name}="{escape(value)}"' if value else f" {name}" for name, value in attributes)
    return f'<script defer{pairs} src="{escape(source)}"></script>'


def following(tag: Script, site: Site, base: str, banner: str) -> str:
    """The tag of a page with what it needs to follow that banner, and the function before it where it needs one."""
    return "\n".join([*script_lines(banner), corrected(tag, site, base, banner=banner)])


def corrected(tag: Script, site: Site, base: str, *, banner: str = OWN, source: str = "") -> str:
    """The tag of a page as it should be: it counts for the site, under its policy, and runs. With `banner` it follows
    that one, with `source` it loads the script from there; all else stays as it is."""
    kept = {name: value for name, value in tag.attributes.items() if name not in _ANEW}
    source = source or tag.source or f"{base}js/tyst.js"
    # What a page says is repeated to a terminal as well.
    odd = tag.made or not all(
        text.isprintable() and len(text) <= MAX_REPEATED for pair in kept.items() for text in pair
    )
    if odd or not source.isprintable() or len(source) > MAX_REPEATED:
        return tag_of(site, base, banner)
    if site.host not in (part.strip() for part in kept.get("data-domain", "").split(",")):
        kept["data-domain"] = site.host
    if site.consent != kept.get("data-consent", "required"):
        kept.pop("data-consent", None)
        kept |= {} if site.consent == "required" else {"data-consent": site.consent}
    cmp = BANNERS[banner].cmp if banner in BANNERS else tag.attributes.get("data-cmp", "")
    return tag_line([*kept.items(), *([("data-cmp", cmp)] if cmp else [])], source)


_ANEW: Final = frozenset({"src", "type", "defer", "async", "data-cmp"})
"""Attributes of a page's tag that are not taken over."""
MAX_REPEATED: Final = 200
"""Characters of one attribute that are repeated from a page."""


def script_lines(banner: str) -> list[str]:
    """Lines of HTML before the tag: the banner's function, or nothing."""
    script = BANNERS[banner].script if banner in BANNERS else ""
    if not script:
        return []
    return ["<script>", *script.split("\n"), "</script>"] if "\n" in script else [f"<script>{script}</script>"]


def code_of(site: Site, base: str, options: TagOptions) -> str:
    """The complete code to paste."""
    tag = tag_of(site, base, options.banner, options.measure)
    before = script_lines(options.banner)
    if site.consent != "exempt" and options.banner == OWN:
        before = [STUB]
    match PLATFORMS[options.variant].form:
        case "wordpress":
            return _wordpress([*before, tag])
        case "gtm":
            return "\n".join([*before, _tag_manager(site, base, options)])
        case "nextjs":
            return _nextjs(site, base, options, "\n".join(before))
        case "astro":
            return "\n".join([*before, tag]).replace("<script", "<script is:inline")
    return "\n".join([*before, tag])


def where_of(variant: str) -> str:
    """Where that form is pasted, in words."""
    return _(PLATFORMS[variant].steps)


def _attributes(site: Site, options: TagOptions) -> list[tuple[str, str]]:
    # The snippet compares it with the page's host.
    pairs = [("data-domain", site.host)]
    if site.consent != "required":
        pairs.append(("data-consent", site.consent))
    if options.banner in BANNERS:
        pairs.append(("data-cmp", BANNERS[options.banner].cmp))
    return pairs + [(f"data-{name}", "") for name in options.measure]


def _spelled(site: Site, options: TagOptions) -> str:
    # Without a value React would make it "true".
    return " ".join(f'{name}="{value}"' for name, value in _attributes(site, options))


def _wordpress(lines: list[str]) -> str:
    # In a string between single quotes PHP reads backslashes and single quotes alone (PHP manual, Strings).
    quoted = (line.replace("\\", "\\\\").replace("'", "\\'") for line in lines)
    echoed = "".join(f"\n    echo '{line}', \"\\n\";" for line in quoted)
    return (
        "<?php\n/* Plugin Name: Tyst */\nadd_action('wp_head', function () {\n"
        "    if (current_user_can('edit_posts')) {\n        return; // editors of the site are not counted\n    }"
        f"{echoed}\n}}, 1);"
    )


def _tag_manager(site: Site, base: str, options: TagOptions) -> str:
    # The manager takes unknown attributes off the elements of a tag, so that the element has to be made by script.
    attributes = "".join(f"\n  tag.setAttribute('{name}', '{value}');" for name, value in _attributes(site, options))
    return (
        "<script>\n(function () {\n  var tag = document.createElement('script');\n  tag.defer = true;"
        f"{attributes}\n  tag.src = '{base}js/tyst.js';\n  document.head.appendChild(tag);\n}})();\n</script>"
    )


def _nextjs(site: Site, base: str, options: TagOptions, before: str) -> str:
    plain = before.removeprefix("<script>").removesuffix("</script>")
    # It becomes a template literal of JavaScript.
    literal = plain.replace("\\", "\\\\").replace("`", "\\`").replace("${", "\\${")
    early = f'\n        <Script id="tyst-calls" strategy="beforeInteractive">{{`{literal}`}}</Script>' if plain else ""
    return (
        "import Script from 'next/script'\n\n"
        "export default function RootLayout({ children }: { children: React.ReactNode }) {\n"
        '  return (\n    <html lang="en">\n      <body>\n        {children}'
        f'{early}\n        <Script {_spelled(site, options)} src="{base}js/tyst.js" />\n'
        "      </body>\n    </html>\n  )\n}"
    )
