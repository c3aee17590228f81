"""User agents of programs and of people, as packages of the tests list them."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

from crawleruseragents import CRAWLER_USER_AGENTS_DATA

SAMPLED = Path(__file__).parents[2] / "dashboard/frontend/node_modules/user-agents/dist/user-agents.json"


def programs() -> list[str]:
    """Every user agent that `crawler-user-agents` has seen of a program."""
    return [text for crawler in CRAWLER_USER_AGENTS_DATA for text in crawler["instances"]]


def people() -> list[str]:
    """Every different user agent in `fake-useragent`, which are those of browsers that people use."""
    spec = importlib.util.find_spec("fake_useragent")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("fake-useragent is not installed")
    lines = (Path(spec.origin).parent / "data/browsers.jsonl").read_text("utf-8").splitlines()
    return sorted({json.loads(line)["useragent"] for line in lines})


def sampled_people() -> dict[str, str]:
    """Every different user agent in npm's `user-agents`, a sample of real visits, with its class of device."""
    return {record["userAgent"]: record["deviceCategory"] for record in json.loads(SAMPLED.read_text("utf-8"))}
