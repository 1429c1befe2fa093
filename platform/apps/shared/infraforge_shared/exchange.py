"""Requests and responses: the part that all the applications' APIs share."""

from __future__ import annotations

import json
import logging
import re
import time
import uuid
from collections.abc import Mapping

import flask

from infraforge_shared import problems
from infraforge_shared.problems import Problem

log = logging.getLogger("requests")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")


def application(
    name: str, services: object, json_limit: int, invalid: type[ValueError]
) -> flask.Flask:
    """Create a Flask application that answers every error as a problem document.

    json_limit: the largest body, in bytes; invalid: the exception for unacceptable input (422).
    """
    app = flask.Flask(name, static_folder=None)
    app.extensions["infraforge"] = services
    app.url_map.merge_slashes = False
    app.provide_automatic_options = False  # type: ignore[attr-defined]
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.config["MAX_CONTENT_LENGTH"] = json_limit
    problems.install(app)

    @app.errorhandler(invalid)
    def unacceptable(error: ValueError) -> flask.Response:
        return problems.response(Problem(422, str(error)))

    return app


def body() -> object:
    """The request's JSON body. Raises Problem 415, 413 or 400."""
    request = flask.request
    if request.mimetype != "application/json":
        raise Problem(415, "the body must be application/json")
    request.max_content_length = flask.current_app.config["MAX_CONTENT_LENGTH"]
    try:
        return json.loads(request.get_data(cache=False).decode("utf-8", "strict"))
    except (ValueError, RecursionError) as error:
        raise Problem(400, "the body is not JSON in UTF-8") from error


def encode(value: object) -> bytes:
    """Encode a value as a JSON body."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def answer(
    value: object, status: int = 200, more: Mapping[str, str] | None = None
) -> flask.Response:
    """A JSON response; `value` may be a body that is already encoded."""
    raw = value if isinstance(value, bytes) else encode(value)
    return flask.Response(raw, status, {"Content-Type": "application/json", **(more or {})})


def begin() -> None:
    """Start the clock and set the request's id: the one that was sent, if it is fit for the log."""
    flask.g.started = time.perf_counter()
    given = flask.request.headers.get("X-Request-Id", "")
    flask.g.request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def finish(response: flask.Response) -> float:
    """Set the headers that every response has. Returns the seconds since the request began."""
    response.headers["X-Request-Id"] = flask.g.request_id
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = "no-store"
    return time.perf_counter() - flask.g.started


def tell(response: flask.Response, seconds: float, **more: str) -> None:
    """Log the request in one line. more: further fields of that line."""
    identity = flask.g.get("who")
    log.info(
        "%s %s",
        flask.request.method,
        flask.request.path,
        extra={
            "user": identity.user if identity else "",
            **more,
            "status": response.status_code,
            "milliseconds": round(seconds * 1000, 1),
        },
    )
