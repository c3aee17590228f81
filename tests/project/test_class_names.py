"""Names of classes across the whole program."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_no_two_modules_define_a_public_class_of_the_same_name() -> None:
    """A name means one thing wherever it is read."""
    found: dict[str, list[str]] = defaultdict(list)
    for package in ("collector", "dashboard", "bench"):
        for path in sorted((ROOT / package).rglob("*.py")):
            if "node_modules" in path.parts:
                continue
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    found[node.name].append(str(path.relative_to(ROOT)))
    assert found
    assert {name: paths for name, paths in found.items() if len(paths) > 1} == {}
