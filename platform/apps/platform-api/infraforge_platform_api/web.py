"""The gate of every request: it sets an id, checks caller, identity and access, and logs a line."""

from __future__ import annotations

from typing import cast

import flask
from infraforge_shared import conditions, exchange
from infraforge_shared.exchange import answer, body
from infraforge_shared.problems import Problem

from infraforge_platform_api.access import OWN, Identity
from infraforge_platform_api.services import Services

__all__ = ["JSON_LIMIT", "answer", "body", "install", "services", "who"]

JSON_LIMIT = 16 * 1024


def services() -> Services:
    """This process' services."""
    return cast(Services, flask.current_app.extensions["infraforge"])


def who() -> Identity:
    """The user of the current request."""
    return cast(Identity, flask.g.who)


def install(app: flask.Flask) -> None:
    """Run every request through the gate below."""

    @app.before_request
    def enter() -> None:
        exchange.begin()
        if flask.request.path in ("/healthz", "/readyz"):
            return
        if not services().callers.known(flask.request.headers.get("Authorization", "")):
            raise Problem(401, "only the backend may call this API")
        rule = flask.request.url_rule
        if rule is not None and (flask.request.method, rule.rule) in OWN:
            return
        identity = Identity.from_headers(flask.request.headers)
        if identity is None:
            raise Problem(401, "the request names no user")
        flask.g.who = identity
        # for an unknown path or method the router's own 404 or 405 follows
        if rule is not None and not identity.may(flask.request.method, rule.rule):
            raise Problem(403, f"your role ({identity.role_name or 'none'}) does not allow this")
        conditions.enter(())

    @app.after_request
    def leave(response: flask.Response) -> flask.Response:
        response = conditions.leave(response)
        seconds = exchange.finish(response)
        if flask.request.path not in ("/healthz", "/readyz"):
            identity = flask.g.get("who")
            exchange.tell(response, seconds, role=identity.role_name if identity else "")
        return response
