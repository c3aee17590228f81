"""Lines of access logs, made up: visitors, pages, assets and bots in the order of time."""

from __future__ import annotations

import datetime
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Final

DAYS: Final = 90
PAGES: Final = 400
FIRST: Final = datetime.datetime(2025, 6, 1, tzinfo=datetime.UTC)
ASSETS: Final = ("/static/site.css", "/static/site.js", "/images/logo.png", "/favicon.ico")
REFERRERS: Final = ("-", "-", "https://www.google.com/", "https://news.ycombinator.com/", "https://example.com/")
CHROME: Final = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{0}.0.0.0"
BROWSERS: Final = tuple(
    agent.format(version)
    for version in range(110, 146)
    for agent in (
        f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {CHROME} Safari/537.36",
        "Mozilla/5.0 (X11; Linux x86_64; rv:{0}.0) Gecko/20100101 Firefox/{0}.0",
        f"Mozilla/5.0 (Linux; Android 10; K) {CHROME} Mobile Safari/537.36",
    )
)
BOT: Final = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"


def lines(count: int, seed: int, days: int = DAYS) -> Iterator[str]:
    """Lines of a combined log: of ten requests three are of assets and one is a bot's."""
    chosen = random.Random(seed)  # noqa: S311 -- made up, not secret
    step = days * 86_400 / count
    for number in range(count):
        at = FIRST + datetime.timedelta(seconds=number * step)
        visitor = int(chosen.paretovariate(0.4)) % (count // 8 + 1)
        kind = chosen.random()
        page = f"/articles/{int(chosen.paretovariate(0.6)) % PAGES}" if kind < 0.9 else "/"
        path = chosen.choice(ASSETS) if 0.3 < kind < 0.6 else page
        agent = BOT if kind > 0.95 or 0.6 < kind < 0.65 else BROWSERS[visitor % len(BROWSERS)]
        yield (
            f"10.{visitor >> 16 & 255}.{visitor >> 8 & 255}.{visitor & 255} - - [{at:%d/%b/%Y:%H:%M:%S} +0000] "
            f'"GET {path} HTTP/1.1" 200 5120 "{chosen.choice(REFERRERS)}" "{agent}"\n'
        )


def write_log(path: Path, count: int, seed: int, days: int = DAYS) -> None:
    """Write the log."""
    with path.open("w") as log:
        log.writelines(lines(count, seed, days))
