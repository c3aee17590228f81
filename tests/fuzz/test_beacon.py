"""A bounded run of the fuzzer over everything that reads a beacon."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

SEEDS = (
    b'{"n":"pageview","u":"https://a.se/b?utm_source=c#d","d":"a.se","r":"https://e.se/f","h":1,"w":390,"c":"tcf"}',
    b'{"n":"engagement","u":"https://a.se/","d":"a.se","e":4521,"sd":54,"v":36}',
    b'{"name":"Buy","url":"https://a.se/","domain":"a.se,b.se","props":"{\\"k\\":1}","revenue":{"amount":"9","currency":"EUR"}}',
)


def test_the_fuzzer_finds_nothing(tmp_path: Path) -> None:
    """Thirty thousand bodies made to reach as much code as they can: each gives a beacon or a `BeaconError`."""
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(SEEDS):
        (corpus / str(number)).write_bytes(seed)
    command = [sys.executable, "-m", "tests.fuzz.beacon", "-runs=30000", "-seed=7", "-max_len=600", "-timeout=10"]
    run = subprocess.run(
        [*command, f"-artifact_prefix={tmp_path}/", str(corpus)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-4000:]
    # That it was guided: it kept bodies of its own because they reached code that the seeds do not.
    assert re.search(r"#30000\s+DONE", run.stderr)
    assert len(list(corpus.iterdir())) > len(SEEDS)
