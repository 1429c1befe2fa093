"""Schema migrations: SQL files in order, each once, one process at a time.

Run at every start, under an advisory lock. A file that was applied must not change afterwards.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from importlib import resources

from infraforge_backend.database import Connection

log = logging.getLogger(__name__)

_LOCK = 0x1F0B5E
_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version    integer PRIMARY KEY,
    name       text NOT NULL,
    sha256     text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""


@dataclass(frozen=True)
class Migration:
    """One file `NNNN_what.sql`."""

    version: int
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


class ChangedMigration(RuntimeError):
    """A migration was edited after it had been applied somewhere."""


def known() -> list[Migration]:
    """All migrations of this version of the app, in order."""
    folder = resources.files("infraforge_backend") / "migrations"
    found = [
        Migration(int(entry.name[:4]), entry.name, entry.read_text(encoding="utf-8"))
        for entry in folder.iterdir()
        if entry.name.endswith(".sql")
    ]
    return sorted(found, key=lambda migration: migration.version)


def apply(connection: Connection) -> list[str]:
    """Bring the schema up to date; names of what was applied. In one transaction, all or none."""
    applied = []
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        connection.execute(_TABLE)
        rows = connection.execute("SELECT version, sha256 FROM schema_migrations").fetchall()
        done = {row["version"]: row["sha256"] for row in rows}
        for migration in known():
            if migration.version in done:
                if done[migration.version] != migration.sha256:
                    raise ChangedMigration(f"{migration.name} was changed after it was applied")
                continue
            connection.execute(migration.sql.encode())
            connection.execute(
                "INSERT INTO schema_migrations (version, name, sha256) VALUES (%s, %s, %s)",
                (migration.version, migration.name, migration.sha256),
            )
            applied.append(migration.name)
    log.info("schema is up to date", extra={"applied": applied})
    return applied
