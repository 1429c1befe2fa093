"""Errors as application/problem+json (RFC 9457)."""

from __future__ import annotations

import http
import json
import logging
from collections.abc import Mapping

import flask
from werkzeug.exceptions import HTTPException

log = logging.getLogger(__name__)


class Problem(Exception):
    """An error to answer with.

    status: HTTP status; detail: what is wrong, for a human; headers: further response headers.
    """

    def __init__(
        self, status: int, detail: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})


class Unavailable(Problem):
    """503: a dependency does not answer. Nothing was changed."""

    def __init__(self, detail: str) -> None:
        super().__init__(503, detail, {"Retry-After": "1"})


class NotAllowed(Unavailable):
    """503: a dependency answers, but denies access; it is not down."""


class OutcomeUnknown(Problem):
    """503: a change got no answer; it may or may not have been made."""

    def __init__(self) -> None:
        super().__init__(503, "the outcome is unknown: the change may or may not have been made")


def response(problem: Problem) -> flask.Response:
    """The problem as a response."""
    body: dict[str, object] = {
        "type": "about:blank",
        "title": http.HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "request_id": flask.g.get("request_id", ""),
    }
    if problem.detail:
        body["detail"] = problem.detail
    return flask.Response(
        json.dumps(body, ensure_ascii=False) + "\n",
        problem.status,
        {**problem.headers, "Content-Type": "application/problem+json"},
    )


def install(app: flask.Flask) -> None:
    """Make every error of the app a problem document."""

    @app.errorhandler(Problem)
    def known(problem: Problem) -> flask.Response:
        return response(problem)

    @app.errorhandler(HTTPException)
    def framework(error: HTTPException) -> flask.Response:
        headers = {
            name: value
            for name, value in error.get_headers()
            if name.lower() in ("allow", "retry-after")
        }
        return response(Problem(error.code or 500, error.description or "", headers))

    @app.errorhandler(Exception)
    def unforeseen(error: Exception) -> flask.Response:
        log.error("unforeseen error", exc_info=error)
        return response(Problem(500, "an unforeseen error; the log has it under this request id"))
