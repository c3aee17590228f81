"""How far Tyst agrees with the user agents that the package `device-detector` has labelled.

Counted are the browsers of desktops, phones, tablets and televisions. Left out are apps, players and libraries,
other kinds of device (consoles, cars, cameras, watches), and Dalvik, which is Android's own HTTP client: none of
them runs the scripts of a page. The labels are brought to Tyst's names first: two names for one family (Edge,
Microsoft Edge) are no disagreement, another family is.
"""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import user_agents
import yaml_rs

from collector.enrichment.user_agent import UserAgentParser

FORMS = {
    "desktop": "desktop",
    "smartphone": "mobile",
    "phablet": "mobile",
    "feature phone": "mobile",
    "tablet": "tablet",
    "tv": "tv",
}

BROWSERS = {
    "360 Phone Browser": "360 Browser",
    "ANTGalio": "ANT Galio",
    "BlackBerry Browser": "BlackBerry",
    "Chrome Mobile": "Chrome",
    "Chrome Mobile iOS": "Chrome",
    "Chrome Webview": "Android WebView",
    "DuckDuckGo Privacy Browser": "DuckDuckGo",
    "Espial TV Browser": "Espial",
    "Firefox Mobile": "Firefox",
    "Firefox Mobile iOS": "Firefox",
    "GNOME Web": "Epiphany",
    "HONOR Browser": "Honor Browser",
    "Hawk Quick Browser": "Hawk Browser",
    "HeyTapBrowser": "HeyTap Browser",
    "Huawei Browser Mobile": "Huawei Browser",
    "IE Mobile": "Internet Explorer",
    "MAUI WAP Browser": "MAUI",
    "Microsoft Edge": "Edge",
    "Mobile Safari": "Safari",
    "Mobile Silk": "Amazon Silk",
    "Opera Devices": "Opera",
    "Opera Mini": "Opera",
    "Opera Mobile": "Opera",
    "Opera Next": "Opera",
    "Opera Touch": "Opera",
    "Openwave Mobile Browser": "Openwave",
    "PocketBook Browser": "PocketBook",
    "Puffin Web Browser": "Puffin",
    "Samsung Browser": "Samsung Internet",
    "Seraphic Sraf": "Sraf",
    "Sogou Mobile Browser": "Sogou Browser",
    "UC Browser Mini": "UC Browser",
    "UC Browser Turbo": "UC Browser",
    "Yandex Browser Lite": "Yandex Browser",
}

ANDROIDS = (
    "Android TV", "CyanogenMod", "MocorDroid", "YaOS", "Smartisan OS", "Lineage OS", "ClearOS Mobile",
    "HyperOS", "YunOS", "Remix OS", "Resurrection Remix OS", "MyOS", "Armadillo OS", "MildWild", "Sirin OS",
    "Google TV",
)  # fmt: skip
LINUXES = (
    "GNU/Linux", "Ubuntu", "Kubuntu", "Debian", "Fedora", "Red Hat", "CentOS", "SUSE", "Gentoo", "Arch Linux",
    "Mint", "Mandriva", "Sabayon", "Slackware", "Ordissimo", "Opera TV", "TiVo OS", "Whale OS", "ViziOS",
    "BrightSignOS", "Orsay",
)  # fmt: skip
SYSTEMS = {
    **dict.fromkeys(ANDROIDS, "Android"),
    **dict.fromkeys(LINUXES, "Linux"),
    "Chrome OS": "ChromeOS",
    "HarmonyOS NEXT": "HarmonyOS",
    "Java ME": "Java",
    "KIN OS": "Windows",
    "Mac": "macOS",
    "OpenHarmony": "HarmonyOS",
    "Roku OS": "Roku",
    "Symbian OS": "Symbian",
    "Symbian OS Series 40": "Symbian",
    "Symbian OS Series 60": "Symbian",
    "Symbian^3": "Symbian",
    "Windows CE": "Windows",
    "Windows RT": "Windows",
    "iPadOS": "iOS",
}


@dataclass(frozen=True, slots=True)
class Agreement:
    """Shares from 0 to 1 over `entries`, and the commonest disagreements as text: times, label, what Tyst says."""

    entries: int
    system: float
    browser: float
    form: float
    disagreements: str


def labelled() -> Iterator[dict[str, Any]]:
    """Return the entries that count, in a fixed order."""
    spec = importlib.util.find_spec("device_detector")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("device-detector is not installed")
    folder = Path(spec.origin).parent / "tests/fixtures/upstream"
    for path in sorted(folder.glob("*.yml")):
        if path.stem != "bots":
            entries: Any = yaml_rs.loads(path.read_text("utf-8"))
            yield from filter(_counts, entries)


def _counts(entry: dict[str, Any]) -> bool:
    client = entry.get("client")
    return (
        isinstance(client, dict)
        and client.get("type") == "browser"
        and (entry.get("device") or {}).get("type") in FORMS
        and not entry["user_agent"].startswith("Dalvik/")
        and "headers" not in entry
    )


def measure(devices: UserAgentParser) -> Agreement:
    """Compare every entry that counts."""
    agreed: Counter[str] = Counter()
    differing: Counter[tuple[str, str, str]] = Counter()
    entries = 0
    for entry in labelled():
        entries += 1
        said = devices.read(entry["user_agent"])
        for what, label, ours in (
            ("system", _system(entry), said.os),
            ("browser", _browser(entry), said.browser),
            ("form", FORMS[entry["device"]["type"]], said.kind),
        ):
            if label == ours:
                agreed[what] += 1
            else:
                differing[what, label, ours] += 1
    lines = (
        f"{times:5} {what}: {label or '-'} | {ours or '-'}" for (what, label, ours), times in differing.most_common(40)
    )
    return Agreement(
        entries, agreed["system"] / entries, agreed["browser"] / entries, agreed["form"] / entries, "\n".join(lines)
    )


def second_opinion(user_agent: str) -> str:
    """Class of device by the package `user-agents`: desktop, mobile, tablet or empty."""
    parsed = user_agents.parse(user_agent)
    kinds = {"tablet": parsed.is_tablet, "mobile": parsed.is_mobile, "desktop": parsed.is_pc}
    return next((kind for kind, true in kinds.items() if true), "")


def _system(entry: dict[str, Any]) -> str:
    system = entry.get("os")
    name = system.get("name", "") if isinstance(system, dict) else ""
    return SYSTEMS.get(name, name)


def _browser(entry: dict[str, Any]) -> str:
    name: str = entry["client"]["name"]
    return BROWSERS.get(name, name)
