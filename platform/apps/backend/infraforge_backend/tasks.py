"""What a worker does for a job: work out the result, then write it down once.

The result and the job's end are one transaction, and the job's id is the result's key: however
often a job is delivered, it has one effect. A message names the row, too, that it was written with:
one about a job that went with its project is nothing to another job that was given its id.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Jsonb

from infraforge_backend import outbox
from infraforge_backend.database import Connection, Database
from infraforge_backend.objects import Gone, Objects

_JOB = """
SELECT id, row_id, project_id, kind, file, state, created_by FROM jobs
WHERE id = %s AND (%s::uuid IS NULL OR row_id = %s)
"""
_LOCKED = "SELECT state FROM jobs WHERE id = %s AND row_id = %s FOR UPDATE"
_FILE = "SELECT object_key, size FROM files WHERE project_id = %s AND name = %s"
_REPORT = """
SELECT count(*) AS files, coalesce(sum(size), 0)::bigint AS bytes FROM files WHERE project_id = %s
"""
_RESULT = "INSERT INTO job_results (job_id, result) VALUES (%s, %s)"
_END = "UPDATE jobs SET state = %s, error = %s, finished_at = now() WHERE id = %s"
_LOOKS = 3

Job = Mapping[str, Any]


@dataclass(frozen=True)
class Name:
    """Which job a message is about. row: None in messages from before there was one."""

    job: uuid.UUID
    row: uuid.UUID | None = None


class Hopeless(Exception):
    """The job cannot be done, now or later; the text says why."""


class Tasks:
    """The jobs of one worker. Unavailable when something it needs does not answer."""

    def __init__(self, database: Database, objects: Objects) -> None:
        self._database = database
        self._objects = objects
        self._kinds: Mapping[str, Callable[[Job], Mapping[str, object]]] = {
            "checksum": self._checksum,
            "report": self._report,
        }

    def do(self, name: Name) -> str:
        """Have the job done: `done`; `known` when it was over before, `gone` with its project."""
        job = self._find(name)
        if job is None:
            return "gone"
        if job["state"] != "queued":
            return "known"
        if job["kind"] not in self._kinds:
            raise Hopeless(f"nobody knows how to do a {job['kind']!r}")
        result = self._kinds[job["kind"]](job)

        def finish(connection: Connection) -> str:
            return _end(connection, job, "done", result=result)

        return self._database.write((), finish)

    def over(self, name: Name) -> bool:
        """Whether nothing is left to be done for the job."""
        job = self._find(name)
        return job is None or job["state"] != "queued"

    def give_up(self, name: Name, why: str) -> str:
        """Write down that the job will never be done; `dead`, or as `do` where it is over."""
        job = self._find(name)
        if job is None:
            return "gone"
        return self._database.write((), lambda c: _end(c, job, "dead", error=why))

    def _find(self, name: Name) -> Job | None:
        values = (name.job, name.row, name.row)
        return self._database.read(lambda c: c.execute(_JOB, values).fetchone())

    def _checksum(self, job: Job) -> Mapping[str, object]:
        place = (job["project_id"], job["file"])
        for _ in range(_LOOKS):  # replaced and collected between the two looks: look again
            row = self._database.read(lambda c: c.execute(_FILE, place).fetchone())
            if row is None:
                raise Hopeless("there is no such file any more")
            sha = hashlib.sha256()
            try:
                for piece in self._objects.get(row["object_key"], row["size"]):
                    sha.update(piece)
            except Gone:
                continue
            return {"sha256": sha.hexdigest(), "size": row["size"]}
        raise RuntimeError("the file's object is missing from the store")

    def _report(self, job: Job) -> Mapping[str, object]:
        row = self._database.read(lambda c: c.execute(_REPORT, (job["project_id"],)).fetchone())
        return dict(row or {})


def _end(
    connection: Connection,
    job: Job,
    state: str,
    *,
    result: Mapping[str, object] | None = None,
    error: str = "",
) -> str:
    locked = connection.execute(_LOCKED, (job["id"], job["row_id"])).fetchone()
    if locked is None:
        return "gone"
    if locked["state"] != "queued":
        return "known"
    if result is not None:
        connection.execute(_RESULT, (job["id"], Jsonb(dict(result))))
    connection.execute(_END, (state, error[:1000], job["id"]))
    outbox.tell(connection, f"job.{state}", "worker", job["project_id"], job=str(job["id"]))
    return state
