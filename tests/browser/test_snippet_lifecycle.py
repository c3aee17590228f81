"""Pages that the browser renders ahead, or keeps and shows again: in a Chromium without a debugger.

Under a debugger Chromium does neither, so that a test would pass whatever the snippet does. Here pages drive
themselves, and only what the recording website was sent is looked at.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.conftest import ARGUMENTS, CHROMIUM
from tests.browser.recorder import Recorder
from tests.served import DEADLINE


@contextlib.contextmanager
def browsing(profile: Path, url: str) -> Iterator[None]:
    """A Chromium that shows `url`, on its own."""
    command = [CHROMIUM, *ARGUMENTS, "--window-size=1280,800", f"--user-data-dir={profile}", url]
    with (profile / "output").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        yield
    finally:
        process.terminate()
        process.wait(DEADLINE)


def seen(recorder: Recorder, last: str) -> list[tuple[str, str]]:
    """Name and path of what was sent, in order, until the event `last`; engagement is left out."""
    found: list[tuple[str, str]] = []
    while last not in [name for name, _ in found]:
        for sent in recorder.wait(1):
            assert "sec-purpose" not in sent.headers
            if sent.beacon["n"] != "engagement":
                found.append((sent.beacon["n"], sent.path))
    return found


BACK = """<script>
addEventListener('pageshow', (event) => {
  if (event.persisted) setTimeout(() => tyst('Kept'), 500)
  else if (location.pathname == '/first') setTimeout(() => location = '/second', 500)
  else setTimeout(() => { SECOND; setTimeout(() => history.back(), 500) }, 500)
})
</script>"""


@pytest.mark.parametrize(
    ("policy", "second", "expected"),
    [
        ("exempt", "", ["/first", "/second", "/first"]),
        ("required", "tyst.consent('granted')", ["/second", "/first"]),
        ("exempt", "tyst.consent('granted')", ["/first", "/second", "/first"]),
    ],
)
def test_a_page_that_was_kept_is_a_new_pageview(
    tmp_path: Path, recorder: Recorder, policy: str, second: str, expected: list[str]
) -> None:
    """Once, under the choice of now: what was held when it was left is not counted beside it."""
    recorder.page(f'data-consent="{policy}"', BACK.replace("SECOND", second))
    with browsing(tmp_path, recorder.url + "/first"):
        events = seen(recorder, "Kept")
    assert events[-1] == ("Kept", "/first")
    pages = [path for name, path in events if name == "pageview"]
    # Under `exempt` a page that is agreed to is evidence of more, and is not counted again.
    assert pages == expected


AHEAD = """<script type=speculationrules>{"prerender": [{"urls": ["/next"], "eagerness": "immediate"}]}</script>
<script>
if (document.prerendering) {
  document.addEventListener('prerenderingchange', () => setTimeout(() => tyst('Shown'), 500))
  document.addEventListener('DOMContentLoaded', () => tyst('Early'))
  addEventListener('load', () => fetch('/ahead'))
} else if (location.pathname == '/first') {
  // One question after the other: two answers of yes would be two events.
  const ask = async () => {
    if (await (await fetch('/asked/ahead')).text() == 'yes') setTimeout(() => location = '/next', 1000)
    else setTimeout(ask, 100)
  }
  ask()
}
</script>"""


def test_a_page_that_was_rendered_ahead_is_counted_when_it_is_shown(tmp_path: Path, recorder: Recorder) -> None:
    """With a request that the collector takes for a visit, and the page before its events."""
    recorder.page('data-consent="exempt"', head=AHEAD)
    with browsing(tmp_path, recorder.url + "/first"):
        events = seen(recorder, "Shown")
    assert events == [("pageview", "/first"), ("pageview", "/next"), ("Early", "/next"), ("Shown", "/next")]


def test_a_page_that_was_rendered_ahead_and_never_shown_is_not_counted(tmp_path: Path, recorder: Recorder) -> None:
    """The visitor goes elsewhere."""
    recorder.page('data-consent="exempt"', head=AHEAD.replace("location = '/next'", "tyst('Stayed')"))
    with browsing(tmp_path, recorder.url + "/first"):
        events = seen(recorder, "Stayed")
    assert events == [("pageview", "/first"), ("Stayed", "/first")]
