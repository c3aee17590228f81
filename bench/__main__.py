"""`python -m bench [NAME …]`: run one or more of the benches, all of them without a name. Each prints a table."""

from __future__ import annotations

import importlib
import sys

NAMES = (
    "collection",
    "ingest",
    "bounds",
    "scale",
    "faults",
    "attack",
    "deliveries",
    "imports",
    "cluster",
    "replicas",
    "tests",
)


def main() -> int:
    """Run what is asked for. `python -m bench NAME --help` tells a bench's own options."""
    if len(sys.argv) > 1 and sys.argv[1] in NAMES:
        name, *arguments = sys.argv[1:]
        status: int = importlib.import_module(f"bench.{name}").main(arguments)
        return status
    if len(sys.argv) > 1:
        print(f"unknown: {sys.argv[1]}; there are: {', '.join(NAMES)}")
        return 2
    return max(importlib.import_module(f"bench.{name}").main([]) for name in NAMES)


if __name__ == "__main__":
    sys.exit(main())
