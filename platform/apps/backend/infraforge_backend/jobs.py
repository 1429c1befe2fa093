"""Jobs on a project: asked for here, done by the workers, looked at here.

A job is acknowledged once its row and its message in the outbox are committed together. The client
may name the job itself and so ask again without having it done twice. When so many jobs wait that
more would only wait longer, the answer is 503 with Retry-After.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

import flask
from infraforge_shared.problems import Problem

from infraforge_backend import audit, relay, validation, web
from infraforge_backend.database import Connection

blueprint = flask.Blueprint("jobs", __name__)

KINDS = ("checksum", "report")
_LOCK = 0x1F0B10
_COLUMNS = """
j.id, j.kind, j.file, j.state, j.error, r.result, j.created_by, j.created_at, j.finished_at
FROM jobs j LEFT JOIN job_results r ON r.job_id = j.id
"""
_ONE = f"SELECT j.project_id, {_COLUMNS} WHERE j.id = %s"
_PAGE = f"""
SELECT {_COLUMNS} WHERE j.project_id = %(project)s
  AND (%(at)s::timestamptz IS NULL OR (j.created_at, j.id) < (%(at)s, %(id)s::uuid))
ORDER BY j.created_at DESC, j.id DESC LIMIT %(limit)s
"""
_WAITING = "SELECT count(*) AS jobs FROM jobs WHERE state = 'queued'"
_PROJECT = "SELECT id FROM projects WHERE id = %s FOR KEY SHARE"
_FILE = "SELECT 1 FROM files WHERE project_id = %s AND name = %s"
_INSERT = """
INSERT INTO jobs (id, project_id, kind, file, created_by) VALUES (%s, %s, %s, %s, %s)
RETURNING id, row_id, kind, tellings
"""


@dataclass(frozen=True)
class JobInput:
    """A job as a client may ask for it. file: what a checksum is of."""

    id: uuid.UUID
    kind: str
    file: str | None


def read_input(body: object) -> JobInput:
    """The job in a decoded JSON body; Invalid where it is none."""
    if not isinstance(body, dict):
        raise validation.Invalid("the body must be a JSON object")
    unknown = sorted(set(body) - {"id", "kind", "file"})
    if unknown:
        raise validation.Invalid(f"unknown field {unknown[0]!r}")
    kind, file, key = body.get("kind"), body.get("file"), body.get("id")
    if kind not in KINDS:
        raise validation.Invalid(f"kind must be one of {', '.join(KINDS)}")
    if kind == "checksum":
        if not isinstance(file, str):
            raise validation.Invalid("file must be the name of a file")
        file = validation.file_name(file)
    elif file is not None:
        raise validation.Invalid("a report is of the whole project, not of a file")
    if key is None:
        return JobInput(uuid.uuid4(), kind, file)
    return JobInput(validation.identifier(key), kind, file)


@blueprint.post("/api/projects/<uuid:project_id>/jobs")
def create(project_id: uuid.UUID) -> flask.Response:
    """Ask for a job: 202 once it is sure to be done, 200 where it was asked for before."""
    _must_have_a_queue()
    given, services, who = read_input(web.body()), web.services(), web.who()

    def insert(connection: Connection) -> tuple[dict[str, Any], bool]:
        # one at a time, so that the limit is one
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        known = connection.execute(_ONE, (given.id,)).fetchone()
        if known is not None:
            if (known["project_id"], known["kind"], known["file"]) != (
                project_id,
                given.kind,
                given.file,
            ):
                raise Problem(409, "another job has this id")
            return known, False
        if connection.execute(_PROJECT, (project_id,)).fetchone() is None:
            raise Problem(404, "there is no such project")
        if (
            given.file is not None
            and not connection.execute(_FILE, (project_id, given.file)).fetchone()
        ):
            raise Problem(404, "there is no such file")
        waiting = connection.execute(_WAITING).fetchone()
        if waiting is None or waiting["jobs"] >= services.config.jobs_limit:
            raise Problem(503, "too many jobs are waiting", {"Retry-After": "5"})
        values = (given.id, project_id, given.kind, given.file, who.user)
        inserted = connection.execute(_INSERT, values).fetchone()
        assert inserted is not None
        # under the row's own id, not the client's: after a deletion that one may come again
        relay.tell_of(connection, inserted)
        audit.record(connection, who, "job.create", f"{project_id}/{given.id}")
        made = connection.execute(_ONE, (given.id,)).fetchone()
        assert made is not None
        return made, True

    row, new = services.database.write((), insert)
    services.wake_relay()
    if new:
        audit.tell(who, "job.create", f"{project_id}/{given.id}")
    place = {"Location": f"/api/projects/{project_id}/jobs/{given.id}"}
    return web.answer(_shape(row), 202 if new else 200, place)


@blueprint.get("/api/projects/<uuid:project_id>/jobs")
def page(project_id: uuid.UUID) -> flask.Response:
    """One page of the project's jobs, latest first."""
    _must_have_a_queue()
    arguments = flask.request.args
    validation.only(arguments, "limit", "after")
    limit = validation.limit(arguments.get("limit"))
    at, key = validation.read_cursor(arguments["after"]) if "after" in arguments else (None, None)
    values = {"project": project_id, "at": at, "id": key, "limit": limit + 1}

    def query(connection: Connection) -> list[dict[str, Any]]:
        rows = connection.execute(_PAGE, values).fetchall()
        if (
            not rows
            and not connection.execute(
                "SELECT 1 FROM projects WHERE id = %s", (project_id,)
            ).fetchone()
        ):
            raise Problem(404, "there is no such project")
        return rows

    rows = web.services().database.read(query)
    last = rows[limit - 1] if len(rows) > limit else None
    following = validation.cursor(last["created_at"], last["id"]) if last else None
    return web.answer({"items": [_shape(row) for row in rows[:limit]], "next": following})


@blueprint.get("/api/projects/<uuid:project_id>/jobs/<uuid:job_id>")
def read(project_id: uuid.UUID, job_id: uuid.UUID) -> flask.Response:
    """One job: queued, done with its result, or dead with the reason."""
    _must_have_a_queue()
    row = web.services().database.read(lambda c: c.execute(_ONE, (job_id,)).fetchone())
    if row is None or row["project_id"] != project_id:
        raise Problem(404, "there is no such job")
    return web.answer(_shape(row))


def _must_have_a_queue() -> None:
    if not web.services().outbox.enabled:
        raise Problem(501, "this platform was stood up without a queue")


def _shape(row: dict[str, Any]) -> dict[str, Any]:
    ended = row["finished_at"]
    return {
        "id": str(row["id"]),
        "kind": row["kind"],
        "file": row["file"],
        "state": row["state"],
        "error": row["error"],
        "result": row["result"],
        "created_by": row["created_by"],
        "created_at": row["created_at"].isoformat(),
        "finished_at": ended.isoformat() if ended else None,
    }
