"""Projects: list, create, read (through the cache), change, delete."""

from __future__ import annotations

import datetime
import json
import uuid
from typing import Any

import flask
from infraforge_shared import conditions
from infraforge_shared.problems import Problem

from infraforge_backend import audit, cache, validation, web
from infraforge_backend.database import Connection

blueprint = flask.Blueprint("projects", __name__)

_COLUMNS = "id, name, description, version, created_by, created_at, updated_at"
_SELECT = f"SELECT {_COLUMNS} FROM projects WHERE id = %s"  # noqa: S608  constants only
_PAGE = f"""
SELECT {_COLUMNS} FROM projects
WHERE %(at)s::timestamptz IS NULL OR (created_at, id) < (%(at)s, %(id)s::uuid)
ORDER BY created_at DESC, id DESC LIMIT %(limit)s
"""  # noqa: S608
_INSERT = f"""
INSERT INTO projects (id, name, description, created_by) VALUES (%s, %s, %s, %s)
RETURNING {_COLUMNS}
"""  # noqa: S608
_UPDATE = f"""
UPDATE projects SET name = %s, description = %s, version = version + 1, updated_at = now()
WHERE id = %s RETURNING {_COLUMNS}
"""  # noqa: S608
_LOCKED = "SELECT version, updated_at FROM projects WHERE id = %s FOR UPDATE"
_DISCARD_FILES = """
INSERT INTO discarded_objects (object_key, delete_after)
SELECT object_key, now() + make_interval(secs => %s) FROM files WHERE project_id = %s
"""


@blueprint.get("/api/projects")
def page() -> flask.Response:
    """One page of the list, latest first. Not cached: every change to any project would end it."""
    arguments = flask.request.args
    validation.only(arguments, "limit", "after")
    limit = validation.limit(arguments.get("limit"))
    at, key = validation.read_cursor(arguments["after"]) if "after" in arguments else (None, None)
    values = {"at": at, "id": key, "limit": limit + 1}
    rows = web.services().database.read(lambda c: c.execute(_PAGE, values).fetchall())
    last = rows[limit - 1] if len(rows) > limit else None
    following = validation.cursor(last["created_at"], last["id"]) if last else None
    found = {"items": [_shape(row) for row in rows[:limit]], "next": following}
    return web.answer(found, more={"X-Cache": "bypass"})


@blueprint.post("/api/projects")
def create() -> flask.Response:
    given = validation.project(web.body())
    if given.version is not None:
        raise validation.Invalid("a new project has no version yet")
    project_id, who = uuid.uuid4(), web.who()

    def insert(connection: Connection) -> dict[str, Any]:
        values = (project_id, given.name, given.description, who.user)
        audit.record(connection, who, "project.create", str(project_id))
        _tell(connection, "project.created", project_id)
        return _found(connection.execute(_INSERT, values).fetchone())

    row = web.services().database.write((), insert)  # nobody can have cached it yet
    audit.tell(who, "project.create", str(project_id))
    return web.answer(_shape(row), 201, {"Location": f"/api/projects/{project_id}", **_tag(row)})


@blueprint.get("/api/projects/<uuid:project_id>")
def read(project_id: uuid.UUID) -> flask.Response:
    """The project, from the cache or else from the database. X-Cache says which."""

    def load() -> bytes | None:
        row = web.services().database.read(lambda c: c.execute(_SELECT, (project_id,)).fetchone())
        return web.encode(_shape(row)) if row else None

    found = web.services().cache.read(cache.project_key(project_id), load)
    if found.body is None:
        raise Problem(404, "there is no such project", {"X-Cache": found.how})
    row = json.loads(found.body)
    conditions.changed_at(datetime.datetime.fromisoformat(row["updated_at"]))
    return web.answer(found.body, more={"X-Cache": found.how, **_tag(row)})


@blueprint.put("/api/projects/<uuid:project_id>")
def change(project_id: uuid.UUID) -> flask.Response:
    """Replace name and description. With `version`, only if that is still the version: else 409.

    If-Match and its like are looked at in the same transaction: else 412.
    """
    given, who = validation.project(web.body()), web.who()

    def update(connection: Connection) -> dict[str, Any]:
        if conditions.given().on_a_change:
            _lock(connection, project_id)
        values = (given.name, given.description, project_id)
        row = _found(connection.execute(_UPDATE, values).fetchone())
        if given.version is not None and row["version"] != given.version + 1:
            raise Problem(409, f"the project is at version {row['version'] - 1}")
        audit.record(connection, who, "project.change", str(project_id))
        _tell(connection, "project.changed", project_id, version=row["version"])
        return row

    row = web.services().database.write([cache.project_key(project_id)], update)
    audit.tell(who, "project.change", str(project_id))
    return web.answer(_shape(row), more=_tag(row))


@blueprint.delete("/api/projects/<uuid:project_id>")
def delete(project_id: uuid.UUID) -> flask.Response:
    """Delete the project and its files."""
    services, who = web.services(), web.who()

    def remove(connection: Connection) -> None:
        # locked first: no file can join while its project goes
        _lock(connection, project_id)
        connection.execute(_DISCARD_FILES, (services.config.garbage_seconds, project_id))
        connection.execute("DELETE FROM projects WHERE id = %s", (project_id,))
        audit.record(connection, who, "project.delete", str(project_id))
        _tell(connection, "project.deleted", project_id)

    keys = [cache.project_key(project_id), cache.files_key(project_id)]
    services.database.write(keys, remove)
    audit.tell(who, "project.delete", str(project_id))
    return flask.Response(status=204)


def _tell(connection: Connection, event: str, project_id: uuid.UUID, **more: object) -> None:
    web.services().outbox.event(connection, event, web.who().user, project_id, **more)


def _lock(connection: Connection, project_id: uuid.UUID) -> None:
    """Nobody else changes the project until the transaction is over; 404, or 412 where not to."""
    row = _found(connection.execute(_LOCKED, (project_id,)).fetchone())
    conditions.given().require(_tag(row)["ETag"], row["updated_at"])


def _tag(row: dict[str, Any]) -> dict[str, str]:
    """A project is as it is for as long as its version is."""
    return {"ETag": conditions.etag(f"v{row['version']}")}


def _found(row: dict[str, Any] | None) -> dict[str, Any]:
    if row is None:
        raise Problem(404, "there is no such project")
    return row


def _shape(row: dict[str, Any]) -> dict[str, Any]:
    """A project as it is sent: times in ISO 8601, the id as text."""
    return {
        "id": str(row["id"]),
        "name": row["name"],
        "description": row["description"],
        "version": row["version"],
        "created_by": row["created_by"],
        "created_at": row["created_at"].isoformat(),
        "updated_at": row["updated_at"].isoformat(),
    }
