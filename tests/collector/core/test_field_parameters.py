"""Parameters of header fields: as clients write them, and as attackers may."""

from __future__ import annotations

import pytest

from collector.core.field_parameters import read_parameters
from tests.timing import processor_seconds

LONGEST = 16_384
"""Bytes of a field that the server takes."""


@pytest.mark.parametrize(
    ("field", "value", "parameters"),
    [
        ('form-data; name="file"; filename="a b.csv"', "form-data", {"name": "file", "filename": "a b.csv"}),
        ('form-data; filename="a;b=c.csv"; name=x', "form-data", {"filename": "a;b=c.csv", "name": "x"}),
        (r'form-data; name="a\"b\\c"', "form-data", {"name": 'a"b\\c'}),
        ('form-data;name="";filename=""', "form-data", {"name": "", "filename": ""}),
        ("Multipart/Form-Data ; Boundary = abc", "multipart/form-data", {"boundary": "abc"}),
        ('multipart/form-data; boundary="a b"; boundary=c', "multipart/form-data", {"boundary": "a b"}),
        ("text/plain", "text/plain", {}),
        ("", "", {}),
    ],
)
def test_parameters_are_read(field: str, value: str, parameters: dict[str, str]) -> None:
    """In quotes or without, in any order; the first of a name counts."""
    assert read_parameters(field) == (value, parameters)


@pytest.mark.parametrize("unit", [";", '";', '\\";', "; ", ';a="', ";a=b", "a=;", ' ;a= "\\', " ", ";a" + " " * 99])
def test_no_field_takes_its_time(unit: str) -> None:
    """Each character is looked at a few times."""
    fields = [(start + unit * LONGEST)[:LONGEST] for start in ('form-data; name="', "form-data; ", "")]
    assert processor_seconds(lambda: [read_parameters(field) for field in fields]) < 0.2
