"""What every request gets: an id, an identity, the access rules, a log line and metrics."""

from __future__ import annotations

from typing import cast

import flask
from infraforge_shared import conditions, exchange
from infraforge_shared.exchange import answer, body, encode
from infraforge_shared.problems import Problem

from infraforge_backend import audit, metrics
from infraforge_backend.access import Identity
from infraforge_backend.services import Services

__all__ = ["JSON_LIMIT", "answer", "body", "encode", "install", "services", "who"]

JSON_LIMIT = 64 * 1024
_PROJECT = "/api/projects/<uuid:project_id>"
_FILE = f"{_PROJECT}/files/<path:name>"
_CONDITIONAL = frozenset(
    (method, path) for method in ("PUT", "DELETE") for path in (_PROJECT, _FILE)
)
"""The changes that look at their conditions themselves, in the transaction that makes them."""


def services() -> Services:
    """This process' services."""
    return cast(Services, flask.current_app.extensions["infraforge"])


def who() -> Identity:
    """Who asks."""
    return cast(Identity, flask.g.who)


def install(app: flask.Flask) -> None:
    """Run every request through the gate below."""

    @app.before_request
    def enter() -> None:
        exchange.begin()
        if not flask.request.path.startswith("/api/"):
            return
        identity = Identity.from_headers(flask.request.headers)
        if identity is None:
            raise Problem(401, "sign in first")
        flask.g.who = identity = _as_of_now(identity)
        _authorize(identity)
        conditions.enter(_CONDITIONAL)

    @app.after_request
    def leave(response: flask.Response) -> flask.Response:
        response = conditions.leave(response)
        seconds = exchange.finish(response)
        route = flask.request.url_rule.rule if flask.request.url_rule else "none"
        method = flask.request.method if route != "none" else "other"
        metrics.REQUESTS.labels(method, route, response.status_code).inc()
        metrics.SECONDS.labels(method, route).observe(seconds)
        if route not in ("/healthz", "/readyz", "/metrics"):
            exchange.tell(response, seconds, cache=response.headers.get("X-Cache", ""))
        return response


def _as_of_now(identity: Identity) -> Identity:
    """Who asks, as Vault knows them now; Problem 403 for one who may not be here any more."""
    found = identity.now(services().standings.of(identity.subject))
    if found is None:
        target = f"{flask.request.method} {flask.request.path}"
        audit.tell(identity, "request", target, "denied")
        raise Problem(403, "this account may not use the platform any more")
    return found


def _authorize(identity: Identity) -> None:
    """Let the request pass where the table of rules does; unknown paths and methods stay so."""
    rule = flask.request.url_rule
    if rule is None:
        return  # the router's own 404 or 405 follows
    if identity.may(flask.request.method, rule.rule):
        return
    target = f"{flask.request.method} {flask.request.path}"
    audit.tell(identity, "request", target, "denied")
    if flask.request.method not in ("GET", "HEAD"):
        services().denials.note(identity, f"{flask.request.method} {rule.rule}", target)
    raise Problem(403, f"your role ({identity.role_name or 'none'}) does not allow this")
