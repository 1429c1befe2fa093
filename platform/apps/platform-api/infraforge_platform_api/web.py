"""What every request gets: an id, a caller, an identity, the access rules, and a log line."""

from __future__ import annotations

import json
import logging
import re
import time
import uuid
from typing import cast

import flask
from infraforge_shared import conditions
from infraforge_shared.problems import Problem

from infraforge_platform_api.access import OWN, Identity
from infraforge_platform_api.services import Services

log = logging.getLogger("requests")

JSON_LIMIT = 16 * 1024
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")


def services() -> Services:
    """This process' services."""
    return cast(Services, flask.current_app.extensions["infraforge"])


def who() -> Identity:
    """Who asks."""
    return cast(Identity, flask.g.who)


def body() -> object:
    """The request's JSON body; Problem 415, 413 or 400 where it is none."""
    if flask.request.mimetype != "application/json":
        raise Problem(415, "the body must be application/json")
    try:
        return json.loads(flask.request.get_data(cache=False).decode("utf-8", "strict"))
    except (ValueError, RecursionError) as error:
        raise Problem(400, "the body is not JSON in UTF-8") from error


def answer(value: object, status: int = 200) -> flask.Response:
    """A JSON response."""
    raw = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
    return flask.Response(raw, status, {"Content-Type": "application/json"})


def install(app: flask.Flask) -> None:
    """Run every request through the gate below."""

    @app.before_request
    def enter() -> None:
        flask.g.started = time.perf_counter()
        given = flask.request.headers.get("X-Request-Id", "")
        flask.g.request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        if flask.request.path in ("/healthz", "/readyz"):
            return
        if not services().callers.known(flask.request.headers.get("Authorization", "")):
            raise Problem(401, "only the backend is answered here")
        rule = flask.request.url_rule
        if rule is not None and (flask.request.method, rule.rule) in OWN:
            return
        identity = Identity.from_headers(flask.request.headers)
        if identity is None:
            raise Problem(401, "nobody was named who asks")
        flask.g.who = identity
        # unknown paths and methods stay so: the router's own 404 or 405 follows
        if rule is not None and not identity.may(flask.request.method, rule.rule):
            raise Problem(403, f"your role ({identity.role_name or 'none'}) does not allow this")
        conditions.enter(())

    @app.after_request
    def leave(response: flask.Response) -> flask.Response:
        response = conditions.leave(response)
        response.headers["X-Request-Id"] = flask.g.request_id
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Cache-Control"] = "no-store"
        if flask.request.path not in ("/healthz", "/readyz"):
            identity = flask.g.get("who")
            log.info(
                "%s %s",
                flask.request.method,
                flask.request.path,
                extra={
                    "user": identity.user if identity else "",
                    "role": identity.role_name if identity else "",
                    "status": response.status_code,
                    "milliseconds": round((time.perf_counter() - flask.g.started) * 1000, 1),
                },
            )
        return response
