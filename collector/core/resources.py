"""Packaged files: inside the package in a wheel, at the top level of a checkout."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
_PLACES = {
    "schema.sql": ("files/schema.sql", "../schema.sql"),
    "tyst.js": ("files/tyst.js", "../snippet/dist/tyst.js"),
    "tyst.js.br": ("files/tyst.js.br", "../snippet/dist/tyst.js.br"),
}


def resource_path(name: str) -> Path:
    """Path of the shipped file `name`. Raises `FileNotFoundError` saying how to build it."""
    for place in _PLACES[name]:
        path = _PACKAGE / place
        if path.is_file():
            return path
    raise FileNotFoundError(f"{name} is missing from this installation; in a checkout, run: make build")
