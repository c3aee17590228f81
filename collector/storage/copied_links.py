"""Links of an embedded database that was copied by a program that follows them, such as `scp -r`.

ClickHouse has the tables of a database in `store`, and links to them in `metadata` and `data`. Where a copy has
directories in the place of these it does not start, and what is in `data` would stay there whatever is erased.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Final

_STORED: Final = re.compile(r"UUID '((\w{3})[\w-]+)'\s+ENGINE = Atomic")


def remove_copied_links(database: Path) -> None:
    """Remove such directories, whose files are in `store`; the engine makes the links anew. Where it runs there are
    none."""
    for described in (database / "metadata").glob("*.sql"):
        found, copied = _STORED.search(described.read_text()), described.with_suffix("")
        # Only of one's own: whoever else owns the directory could lead a root elsewhere.
        if found is None or copied.is_symlink() or not copied.is_dir() or copied.stat().st_uid != os.geteuid():
            continue
        if _names(copied) <= _names(database / "store" / found[2] / found[1]):
            for link in (*(database / "data" / copied.name).glob("*"), copied):
                if not link.is_symlink():
                    shutil.rmtree(link)


def _names(directory: Path) -> set[str]:
    return {path.name for path in directory.glob("*")}
