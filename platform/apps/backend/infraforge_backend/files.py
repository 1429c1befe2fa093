"""Files of a project: bytes in the object store, names and checksums in the database.

A file never disagrees with its metadata: each upload gets an object of its own; only when all of
it is stored does one transaction switch the row to it. Whichever objects no row names stand in
`discarded_objects` from before they exist, and the collector removes them. Conditions of a request
(If-Match and its like) are looked at in that transaction, with the project locked; before an upload
too, so that it need not be sent for nothing.
"""

from __future__ import annotations

import uuid
from typing import Any

import flask
from infraforge_shared import conditions
from infraforge_shared.problems import Problem

from infraforge_backend import audit, cache, headers, transfers, validation, web
from infraforge_backend.database import Connection
from infraforge_backend.objects import Gone, Stored, too_large
from infraforge_backend.uploads import GRACE

blueprint = flask.Blueprint("files", __name__)

MOST_FILES = 1000

_LIST = """
SELECT name, size, sha256, created_by, updated_at FROM files
WHERE project_id = %s ORDER BY name
"""
_FILE = """
SELECT object_key, size, sha256, updated_at FROM files WHERE project_id = %s AND name = %s
"""
_PROJECT = """
SELECT (SELECT count(*) FROM files WHERE project_id = p.id) AS files
FROM projects p WHERE id = %s
"""
# one switch at a time in a project: two first uploads of a name would not see each other's row,
# and the object of the one that is overwritten would be in no list
_LOCK_PROJECT = "SELECT id FROM projects WHERE id = %s FOR NO KEY UPDATE"
_DISCARD = """
INSERT INTO discarded_objects (object_key, delete_after)
VALUES (%s, now() + make_interval(secs => %s))
"""
_KEEP = "DELETE FROM discarded_objects WHERE object_key = %s AND NOT going"
_OLD = f"{_FILE} FOR UPDATE"
_SWITCH = """
INSERT INTO files (project_id, name, object_key, size, sha256, created_by)
VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT (project_id, name) DO UPDATE SET object_key = excluded.object_key,
  size = excluded.size, sha256 = excluded.sha256, created_by = excluded.created_by,
  updated_at = now()
"""
_DELETE = "DELETE FROM files WHERE project_id = %s AND name = %s"


@blueprint.get("/api/projects/<uuid:project_id>/files")
def listing(project_id: uuid.UUID) -> flask.Response:
    """All files of the project by name, from the cache or else from the database."""

    def query(connection: Connection) -> list[dict[str, Any]] | None:
        rows = connection.execute(_LIST, (project_id,)).fetchall()
        if not rows and connection.execute(_PROJECT, (project_id,)).fetchone() is None:
            return None
        return rows

    def load() -> bytes | None:
        rows = web.services().database.read(query)
        if rows is None:
            return None
        items = [{**row, "updated_at": row["updated_at"].isoformat()} for row in rows]
        return web.encode({"items": items, "next": None})

    found = web.services().cache.read(cache.files_key(project_id), load)
    if found.body is None:
        raise Problem(404, "there is no such project", {"X-Cache": found.how})
    return web.answer(found.body, more={"X-Cache": found.how})


@blueprint.put("/api/projects/<uuid:project_id>/files/<path:name>")
def upload(project_id: uuid.UUID, name: str) -> flask.Response:
    """Store the body under the name, in place of what was there."""
    name, services, who = _name(name, new=True), web.services(), web.who()
    limit, length = services.config.file_limit_bytes, flask.request.content_length
    if length is not None and length > limit:
        raise too_large(limit)
    object_key = f"projects/{project_id}/{uuid.uuid4()}"

    def store() -> Stored:
        give_back = transfers.UPLOADS.take()
        try:
            services.database.write((), lambda c: _announce(c, project_id, name, object_key))
            flask.request.max_content_length = limit + 1  # the reader's own limit tells it better
            return services.objects.put(object_key, flask.request.stream, length, limit)
        finally:
            give_back()

    def switch(connection: Connection) -> None:
        if connection.execute(_LOCK_PROJECT, (project_id,)).fetchone() is None:
            raise Problem(404, "there is no such project")
        if connection.execute(_KEEP, (object_key,)).rowcount != 1:
            raise Problem(408, "the upload took too long")
        old = connection.execute(_OLD, (project_id, name)).fetchone()
        _require(old)
        _store(connection, (project_id, name, object_key), stored, who.user)
        if old is not None:
            connection.execute(_DISCARD, (old["object_key"], services.config.garbage_seconds))
        audit.record(connection, who, "file.put", f"{project_id}/{name}")
        about = {"file": name, "sha256": stored.sha256}
        services.outbox.event(connection, "file.stored", who.user, project_id, **about)

    with services.uploads.under_way(object_key):
        stored = store()
        services.database.write([cache.files_key(project_id)], switch)
    audit.tell(who, "file.put", f"{project_id}/{name}")
    found = {"name": name, "size": stored.size, "sha256": stored.sha256}
    return web.answer(found, 201, {"ETag": _tag(stored.sha256, object_key)})


@blueprint.get("/api/projects/<uuid:project_id>/files/<path:name>")
def download(project_id: uuid.UUID, name: str) -> flask.Response:
    """The file's bytes, or the one range of them that is asked for."""
    name, services = _name(name), web.services()
    for _ in range(3):  # replaced and collected between the two looks: look again
        row = services.database.read(lambda c: c.execute(_FILE, (project_id, name)).fetchone())
        if row is None:
            raise Problem(404, "there is no such file")
        tag, size = _tag(row["sha256"], row["object_key"]), row["size"]
        status = conditions.given().answer(tag, row["updated_at"])
        if status != 200:
            return conditions.instead(status, tag)
        part = _range(tag, size)
        start, length = (part.start, part.length) if part else (0, size)
        give_back = transfers.DOWNLOADS.take()
        try:
            pieces = services.objects.get(row["object_key"], size, start, length if part else 0)
        except Gone:
            give_back()
            continue
        except BaseException:
            give_back()
            raise
        told = {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(length),
            "Content-Disposition": headers.attachment(name),
            "X-Checksum-Sha256": row["sha256"],  # of the whole
            "ETag": tag,
            "Accept-Ranges": "bytes",
        }
        if part:
            told["Content-Range"] = part.told(size)
        return flask.Response(transfers.Sending(pieces, give_back), 206 if part else 200, told)
    raise Problem(500, "the file's object is missing from the store")


@blueprint.delete("/api/projects/<uuid:project_id>/files/<path:name>")
def delete(project_id: uuid.UUID, name: str) -> flask.Response:
    """Remove the file."""
    name, services, who = _name(name), web.services(), web.who()

    def remove(connection: Connection) -> None:
        row = connection.execute(_OLD, (project_id, name)).fetchone()
        if row is None:
            raise Problem(404, "there is no such file")
        _require(row)
        connection.execute(_DELETE, (project_id, name))
        connection.execute(_DISCARD, (row["object_key"], services.config.garbage_seconds))
        audit.record(connection, who, "file.delete", f"{project_id}/{name}")
        services.outbox.event(connection, "file.deleted", who.user, project_id, file=name)

    services.database.write([cache.files_key(project_id)], remove)
    audit.tell(who, "file.delete", f"{project_id}/{name}")
    return flask.Response(status=204)


def _announce(connection: Connection, project_id: uuid.UUID, name: str, object_key: str) -> None:
    """Before the upload: is there room for it, and where will it be if it never ends."""
    project = connection.execute(_PROJECT, (project_id,)).fetchone()
    if project is None:
        raise Problem(404, "there is no such project", {"Connection": "close"})
    known = connection.execute(_FILE, (project_id, name)).fetchone()
    if known is None and project["files"] >= MOST_FILES:
        full = f"a project may have {MOST_FILES} files"
        raise Problem(409, full, {"Connection": "close"})
    _require(known, {"Connection": "close"})
    connection.execute(_DISCARD, (object_key, GRACE))


def _require(row: dict[str, Any] | None, told: dict[str, str] | None = None) -> None:
    """Problem 412 where the request is not to change what is there (row; None: nothing)."""
    if row is None:
        conditions.given().require(None, headers=told)
    else:
        conditions.given().require(_tag(row["sha256"], row["object_key"]), row["updated_at"], told)


def _tag(sha256: str, object_key: str) -> str:
    """By content and upload: what was replaced and put back is not what it was."""
    return conditions.etag(sha256, object_key.rpartition("/")[2].replace("-", "")[:12])


def _range(tag: str, size: int) -> conditions.Span | None:
    """The part of the file that is asked for; None for all of it."""
    request = flask.request
    if request.method != "GET" or not conditions.given().takes_range(tag):
        return None
    return conditions.span(request.headers.get("Range"), size)


def _store(
    connection: Connection, place: tuple[uuid.UUID, str, str], stored: Stored, user: str
) -> None:
    connection.execute(_SWITCH, (*place, stored.size, stored.sha256, user))


def _name(routed: str, *, new: bool = False) -> str:
    """The file's name from the path's own bytes: the router replaces what is not UTF-8."""
    raw = flask.request.environ["PATH_INFO"].encode("latin-1")
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise validation.Invalid("the path is not UTF-8") from error
    return validation.new_file_name(routed) if new else validation.file_name(routed)
