"""The error hierarchy.

    TystError
    ├── SettingError            a setting or argument cannot be used; names it and its value
    ├── BeaconError             a beacon that breaks the contract; names the field
    ├── SpoolFull               the spool has reached its bound
    ├── SpoolUnavailable        the disk did not take a group of events
    ├── DataDirectoryInUse      another process holds the data directory
    ├── DatabaseUnreachable     ClickHouse does not answer at start
    ├── ServerUnsuitable        a ClickHouse server is too old, or its user lacks a grant
    ├── CannotJoin              a collector cannot share the database with the others
    ├── BackupError             a backup could not be written or restored
    ├── SchemaTooNew            a later release of Tyst has changed the database
    ├── UpgradeFailed           an embedded database could not be upgraded; a copy is as it was
    ├── ImportRefused           a file of another product's figures cannot be read; says which one can
    ├── JobTimeout              a job on a site's figures took longer than its time budget
    ├── RecordError             a site, user or key that cannot be stored as asked
    │   └── RecordGone          it was deleted meanwhile
    ├── CatalogueError          a file of translations cannot be used; names it
    └── InsertError             ClickHouse did not take a segment
        ├── InsertRetryable     it may take it later: unreachable, overloaded, out of space
        └── InsertRefused       it will never take it: the same segment fails the same way

Errors carry data; their text is made from it. None carries an address, a user agent or a password.
"""

from __future__ import annotations

from pathlib import Path


class TystError(Exception):
    """Base of every error that Tyst raises on purpose."""


class SettingError(TystError):
    """A setting cannot be used. `name` is the environment variable or option, `problem` what to do."""

    def __init__(self, name: str, value: str, problem: str) -> None:
        super().__init__(f"{name}={value!r}: {problem}")
        self.name = name
        self.value = value
        self.problem = problem


class BeaconError(TystError):
    """A beacon breaks the contract. `field` is the wire's long name, `reason` a short English phrase."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field} {reason}")
        self.field = field
        self.reason = reason


class ImportRefused(TystError):
    """Files cannot be imported. `field` names what to change; the reason says how to get the right file. It never
    quotes the file.

    The reason is a template, so that a page can say it in its reader's language.
    """

    def __init__(self, field: str, template: str, **values: object) -> None:
        self.field = field
        self.template = template
        self.values = values
        self.reason = template.format(**values) if values else template
        super().__init__(f"{field}: {self.reason}")


class JobTimeout(TystError):
    """A job on a site's figures took longer than its budget of `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"it took longer than {seconds:,.0f} s")
        self.seconds = seconds


class SpoolFull(TystError):
    """The spool holds as many bytes as it may; senders are asked to come back."""

    def __init__(self, held: int, bound: int) -> None:
        super().__init__(f"the spool holds {held:,} of at most {bound:,} bytes")
        self.held = held
        self.bound = bound


class SpoolUnavailable(TystError):
    """The disk did not take a group of events; none of them is acknowledged."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the spool cannot be written: {reason}")
        self.reason = reason


class DataDirectoryInUse(TystError):
    """Another process holds the data directory; an embedded database has room for one."""

    def __init__(self, directory: str, pid: int | None) -> None:
        holder = f"process {pid}" if pid else "another process"
        super().__init__(
            f"{directory} is in use by {holder}. Stop that one first, or choose another directory with TYST_DATA_DIR."
        )
        self.directory = directory
        self.pid = pid


class DatabaseUnreachable(TystError):
    """ClickHouse does not answer at start. `reason` is its short message, without credentials."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"ClickHouse does not answer: {reason}. Look at it, and at TYST_CLICKHOUSE_DSN.")
        self.reason = reason


class ServerUnsuitable(TystError):
    """A ClickHouse server that Tyst cannot run on; the text says why and what to do."""


class CannotJoin(TystError):
    """A collector cannot share the database with the others; the text says why and what to do."""


class BackupError(TystError):
    """A backup could not be written or restored. `name` is the backup's, `reason` the engine's short message."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"backup {name}: {reason}")
        self.name = name
        self.reason = reason


class SchemaTooNew(TystError):
    """The database's schema has a version that this release does not know."""

    def __init__(self, found: int, known: int) -> None:
        super().__init__(
            f"the database has version {found} of the schema and this release of Tyst knows {known}. "
            "Install the later release again, or restore a backup from before it."
        )
        self.found = found
        self.known = known


class UpgradeFailed(TystError):
    """An embedded database could not be upgraded. `copy` holds what was in `directory` before, if it is there."""

    def __init__(self, reason: str, directory: Path, copy: Path) -> None:
        back = f" To go back to the earlier release, put {copy} in the place of {directory}." if copy.exists() else ""
        super().__init__(
            f"the database could not be upgraded: {reason}. No data is lost; the next start tries again, from the step "
            f"that failed.{back}"
        )


class RecordError(TystError):
    """A site, user or key cannot be stored as asked. `field` names what to mend, `about` the one of several.

    The reason is a template, so that a page can say it in its reader's language; `values` are filled into it.
    """

    def __init__(self, field: str, template: str, about: str = "", **values: object) -> None:
        reason = template.format(**values) if values else template
        self.field = field
        self.template = template
        self.values = values
        self.reason = f"{about}: {reason}" if about else reason
        super().__init__(f"{field}: {self.reason}")


class RecordGone(RecordError):
    """A record was to be changed and is not there any more: somebody has deleted it meanwhile."""

    def __init__(self) -> None:
        super().__init__("name", "this has been deleted in the meantime; nothing was changed")


class RecordTaken(RecordError):
    """A record was to be created under an id that another has: another process may have created it just now."""

    def __init__(self, id_: str) -> None:
        super().__init__("name", "{name} already exists", name=id_)


class CatalogueError(TystError):
    """A file of translations cannot be used. `path` is the file, `problem` what is wrong with it."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path} {problem}")
        self.path = path
        self.problem = problem


class InsertError(TystError):
    """ClickHouse did not take a segment. `reason` is ClickHouse's own short message, without credentials."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class InsertRetryable(InsertError):
    """The same segment may be taken later: unreachable, overloaded, out of memory or disk."""


class InsertRefused(InsertError):
    """The same segment will be refused every time; it is set aside for the operator."""
