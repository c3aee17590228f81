"""Journeys over the API, and as a file of the page: the answer of the service, spelt out."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from tests.served import CHROME, PASSWORD, served

PATH = "/api/v1/sites/site.test/journeys"


def test_the_api_and_the_page_answer_journeys(tmp_path: Path) -> None:
    """As JSON by both methods, and as CSV; a wrong field is named; a small group is called hidden."""
    with served(tmp_path, TYST_FLUSH_SECONDS="0.05") as server:
        server.add_site("site.test", consent="exempt")
        for number in range(5):
            for path in ("/", "/a", "/a", "/b") if number < 4 else ("/", "/a"):
                beacon = {"n": "pageview", "u": f"https://site.test{path}", "d": "site.test"}
                who = {"user-agent": f"{CHROME} person/{number}"}
                assert server.http.post("/api/event", json=beacon, headers=who).status_code == 202
        server.drain()
        headers = {"authorization": f"Bearer {server.key}"}

        def ask(**body: Any) -> Any:
            return server.http.post(PATH, json={"date_range": "day", **body}, headers=headers).json()

        found = ask(columns=3)
        # In the third column one left the site: that nobody sees it, nobody is told who went on.
        assert found == {
            "visits": 5,
            "columns": [[{"step": "page:/", "visits": 5}], [{"step": "page:/a", "visits": 5}]],
            "links": [{"column": 1, "step": "page:/", "next_step": "page:/a", "visits": 5}],
            "meta": {"unit": "visits", "anonymous_events_left_out": 0},
        }
        query = "date_range=day&columns=3&choices=%5Bnull%2C%22page%3A%2Fa%22%5D"
        assert server.http.get(f"{PATH}?{query}", headers=headers).json() == found
        rows = [*csv.reader(server.http.get(f"{PATH}?{query}&format=csv", headers=headers).text.splitlines())]
        assert rows == [
            ["kind", "column", "step", "next_step", "visits"],
            ["step", "1", "page:/", "", "5"],
            ["step", "2", "page:/a", "", "5"],
            ["link", "1", "page:/", "page:/a", "5"],
        ]
        assert ask(anchor="page:/never")["visits"] == 0
        assert ask(choices=[None, {"not": ["end"]}])["visits"] == 5
        assert ask(choices=[None, {"not": ["page:/a"]}])["visits"] == 0
        wrong: list[Any] = [{"not": []}, {"not": [None]}, {"but": ["end"]}, {"not": "end"}, 1]
        for choice in wrong:
            assert "choices" in ask(choices=[choice])["errors"]
        assert ask(choices=[None, None, "end"])["meta"] == {
            "unit": "visits", "anonymous_events_left_out": 0, "hidden": True, "min_visitors": 3,
        }  # fmt: skip
        for field, value in {"columns": 11, "anchor": "/a", "by": "path", "filters": [["is"]], "size": 3}.items():
            assert field in next(iter(ask(**{field: value})["errors"])), field
        server.http.post("/login", data={"name": "admin", "password": PASSWORD})
        page = server.http.get("/site.test/journeys?period=day&columns=3")
        assert page.status_code == 200
        assert "5 visits" in page.text
        file = server.http.get("/site.test/journeys.csv?period=day&columns=3&separator=comma").text
        assert [*csv.reader(file.lstrip("\ufeff").splitlines())] == rows
