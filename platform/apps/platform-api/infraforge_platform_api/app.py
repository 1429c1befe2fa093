"""The Flask application, built on the services it is given."""

from __future__ import annotations

import logging

import flask
from infraforge_shared import exchange, problems

from infraforge_platform_api import doing, reading, validation, web
from infraforge_platform_api.kube import Refused
from infraforge_platform_api.services import Services

log = logging.getLogger(__name__)


def create(services: Services) -> flask.Flask:
    """The application."""
    app = exchange.application(
        "infraforge_platform_api", services, web.JSON_LIMIT, validation.Invalid
    )
    web.install(app)

    @app.errorhandler(Refused)
    def refused(error: Refused) -> flask.Response:
        """Kubernetes refuses a read that this service must be allowed: its rights are wrong."""
        log.error("the API server refuses", extra={"status": error.status, "error": error.message})
        return problems.response(problems.Unavailable("the Kubernetes API server refuses this"))

    for part in (reading, doing):
        app.register_blueprint(part.blueprint)
    return app
