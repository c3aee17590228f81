"""Random salts of one import, one for each date: in memory only, and overwritten when the import has been read."""

from __future__ import annotations

import datetime

from collector.privacy.visitor_id import Salt, overwrite, random_salt


class ImportSalts:
    """Salts for the visitor ids of one import. Two imports of the same file give unrelated ids."""

    def __init__(self) -> None:
        self._salts: dict[datetime.date, bytearray] = {}

    def salt(self, date: datetime.date) -> Salt:
        """The salt of that date, made when it is first asked for."""
        return self._salts.get(date) or self._salts.setdefault(date, random_salt())

    def destroy(self) -> None:
        """Overwrite all of them: no id can be made or compared again."""
        for salt in self._salts.values():
            overwrite(salt)
        self._salts.clear()
