"""The Flask application over given services."""

from __future__ import annotations

import logging

import flask
from infraforge_shared import problems

from infraforge_platform_api import doing, reading, validation, web
from infraforge_platform_api.kube import Refused
from infraforge_platform_api.services import Services

log = logging.getLogger(__name__)


def create(services: Services) -> flask.Flask:
    """The application."""
    app = flask.Flask("infraforge_platform_api", static_folder=None)
    app.extensions["infraforge"] = services
    app.url_map.merge_slashes = False
    app.provide_automatic_options = False  # type: ignore[attr-defined]
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.config["MAX_CONTENT_LENGTH"] = web.JSON_LIMIT
    problems.install(app)
    web.install(app)

    @app.errorhandler(validation.Invalid)
    def invalid(error: validation.Invalid) -> flask.Response:
        return problems.response(problems.Problem(422, str(error)))

    @app.errorhandler(Refused)
    def refused(error: Refused) -> flask.Response:
        """A read that this service should be allowed: its rights are not as they must be."""
        log.error("the API server refuses", extra={"status": error.status, "error": error.message})
        return problems.response(problems.Unavailable("the Kubernetes API server refuses this"))

    for part in (reading, doing):
        app.register_blueprint(part.blueprint)
    return app
