"""The audit log, for admins."""

from __future__ import annotations

import flask

from infraforge_backend import audit, validation, web

blueprint = flask.Blueprint("audit", __name__)


@blueprint.get("/api/audit")
def page() -> flask.Response:
    """One page of the audit log, newest first."""
    arguments = flask.request.args
    validation.only(arguments, "limit", "before")
    limit = validation.limit(arguments.get("limit"))
    text = arguments.get("before")
    if text is not None and not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise validation.Invalid("before must be the id of a row")
    before = int(text) if text else None
    rows = web.services().database.read(lambda c: audit.latest(c, before, limit + 1))
    following = rows[limit - 1]["id"] if len(rows) > limit else None
    return web.answer({"items": rows[:limit], "next": following})
