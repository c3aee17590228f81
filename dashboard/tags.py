"""The tag that a site's pages need, in the forms that it is pasted in: HTML, WordPress, tag manager, Next.js."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlencode

from collector.sites import Site
from dashboard.wording import N_, _

STUB: Final = (
    "<script>window.tyst=window.tyst||function(){(tyst.q=tyst.q||[]).push(arguments)};"
    "tyst.consent=tyst.consent||function(c){tyst.c=c}</script>"
)
"""Makes calls work before the script has loaded; the same line as in the README."""


@dataclass(frozen=True, slots=True)
class Banner:
    """A consent banner that the snippet follows by itself: its name there, what people call it, what to look at."""

    name: str
    title: str
    hint: str
    marked: str = ""
    """Lines that this banner runs by itself once its visitor has decided; "" where it has no such thing."""


BANNERS: Final = {
    banner.name: banner
    for banner in (
        Banner(
            "cookieconsent",
            "CookieConsent",
            N_(
                "The category that the visitor accepts must be called “analytics”; where yours has another name, add "
                'data-purpose="its name". Where the banner is bundled as a module, also set '
                "window.CookieConsent = CookieConsent."
            ),
            '<script type="text/plain" data-category="analytics">tyst.consent("granted")</script>\n'
            '<script type="text/plain" data-category="!analytics">tyst.consent("denied")</script>',
        ),
        Banner(
            "klaro",
            "Klaro",
            N_(
                "Add a service named “analytics” to Klaro’s configuration; where yours has another name, add "
                'data-purpose="its name".'
            ),
            '<script type="text/plain" data-type="application/javascript" data-name="analytics">'
            'tyst.consent("granted")</script>',
        ),
        Banner(
            "tarteaucitron",
            "tarteaucitron",
            N_(
                "Add a service of your own with the key “analytics” and push it to tarteaucitron.job; where it has "
                'another key, add data-purpose="its key".'
            ),
        ),
        Banner(
            "orejime",
            "Orejime",
            N_(
                "Add a purpose with the id “analytics” to orejimeConfig; where yours has another id, add "
                'data-purpose="its id". Orejime 3 is needed.'
            ),
            '<template data-purpose="analytics"><script>tyst.consent("granted")</script></template>',
        ),
        Banner(
            "tcf",
            "IAB TCF",
            N_("Any banner that speaks IAB TCF 2.2. Consent to the purposes 8 and 9 together counts."),
        ),
        Banner(
            "gcm",
            "Google Consent Mode",
            N_("Any banner that updates Google Consent Mode. The update must say analytics_storage: granted."),
        ),
        Banner(
            "wp",
            "WP Consent API",
            N_("Any WordPress banner, with the plugin WP Consent API. Consent to statistics counts."),
        ),
    )
}
"""Every `data-cmp` that the snippet knows."""

MARKED: Final = "marked"
"""The banner itself runs marked lines after consent."""
OWN: Final = ""
"""No banner that the snippet follows: the page calls."""

VARIANTS: Final = {
    "html": N_("HTML"),
    "wordpress": "WordPress",
    "gtm": "Google Tag Manager",
    "nextjs": "Next.js",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which form of the tag, and for which banner; read from an address and written back into links."""

    variant: str = "html"
    banner: str = OWN

    def href(self, site: Site, **other: str) -> str:
        """The address of the page of the tag with these, or with `other` in place of one of them."""
        pairs = {"variant": self.variant, "banner": self.banner, **other}
        plain = Wanted()
        said = {name: value for name, value in pairs.items() if value != getattr(plain, name)}
        return f"/{quote(site.domain)}/install" + (f"?{urlencode(said)}" if said else "")


def read_wanted(params: Mapping[str, str]) -> Wanted:
    """What an address asks for; what there is not is the plain form."""
    variant, banner = params.get("variant", "html"), params.get("banner", OWN)
    return Wanted(variant if variant in VARIANTS else "html", banner if banner in (*BANNERS, MARKED) else OWN)


def tag_of(site: Site, base: str, banner: str = OWN) -> str:
    """The line of HTML that the site's pages need; `base` is this server's address, with a slash at the end."""
    return f'<script defer {_spelled(site, banner)} src="{base}js/tyst.js"></script>'


def code_of(site: Site, base: str, wanted: Wanted) -> str:
    """What to paste, whole."""
    tag = tag_of(site, base, wanted.banner)
    stub = "" if site.consent == "exempt" or wanted.banner in BANNERS else STUB
    if wanted.variant == "wordpress":
        return _wordpress([line for line in (stub, tag) if line])
    if wanted.variant == "gtm":
        return _tag_manager(site, base, wanted.banner)
    if wanted.variant == "nextjs":
        return _nextjs(site, base, wanted.banner, stub)
    return f"{stub}\n{tag}" if stub else tag


def where_of(variant: str) -> str:
    """Where that form is pasted, in words."""
    return {
        "html": _("Put this into the <head> of every page."),
        "wordpress": _(
            "Save this as the file wp-content/mu-plugins/tyst.php, or paste it without its first line into a plugin "
            "for code snippets. A plugin that delays scripts must leave tyst.js alone."
        ),
        "gtm": _(
            "Make a tag of the type Custom HTML with this, to be fired on Initialization - All Pages. Under its "
            "consent settings choose that no additional consent is required: it sends nothing before the choice."
        ),
        "nextjs": _("Put the Script element into the root layout; with the pages router into pages/_app.tsx."),
    }[variant]


def _attributes(site: Site, banner: str) -> list[tuple[str, str]]:
    pairs = [("data-domain", site.domain)]
    if site.consent != "required":
        pairs.append(("data-consent", site.consent))
    if banner in BANNERS:
        pairs.append(("data-cmp", banner))
    return pairs


def _spelled(site: Site, banner: str) -> str:
    return " ".join(f'{name}="{value}"' for name, value in _attributes(site, banner))


def _wordpress(lines: list[str]) -> str:
    echoed = "".join(f"\n    echo '{line}', \"\\n\";" for line in lines)
    return (
        "<?php\n/* Plugin Name: Tyst */\nadd_action('wp_head', function () {\n"
        "    if (current_user_can('edit_posts')) {\n        return; // who writes the site is not its audience\n    }"
        f"{echoed}\n}}, 1);"
    )


def _tag_manager(site: Site, base: str, banner: str) -> str:
    # The manager takes unknown attributes off the elements of a tag, so that the element has to be made by script.
    attributes = "".join(f"\n  tag.setAttribute('{name}', '{value}');" for name, value in _attributes(site, banner))
    return (
        "<script>\n(function () {\n  var tag = document.createElement('script');\n  tag.defer = true;"
        f"{attributes}\n  tag.src = '{base}js/tyst.js';\n  document.head.appendChild(tag);\n}})();\n</script>"
    )


def _nextjs(site: Site, base: str, banner: str, stub: str) -> str:
    plain = stub.removeprefix("<script>").removesuffix("</script>")
    early = f'\n        <Script id="tyst-calls" strategy="beforeInteractive">{{`{plain}`}}</Script>' if stub else ""
    return (
        "import Script from 'next/script'\n\n"
        "export default function RootLayout({ children }: { children: React.ReactNode }) {\n"
        '  return (\n    <html lang="en">\n      <body>\n        {children}'
        f'{early}\n        <Script {_spelled(site, banner)} src="{base}js/tyst.js" />\n'
        "      </body>\n    </html>\n  )\n}"
    )
