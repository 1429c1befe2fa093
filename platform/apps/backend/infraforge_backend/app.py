"""The Flask application over given services."""

from __future__ import annotations

import flask
from infraforge_shared import problems

from infraforge_backend import (
    files,
    health,
    jobs,
    platform,
    projects,
    trail,
    transfers,
    validation,
    web,
)
from infraforge_backend.services import Services


def create(services: Services) -> flask.Flask:
    """The application. The services are started and stopped by the caller."""
    app = flask.Flask("infraforge_backend", static_folder=None)
    app.extensions["infraforge"] = services
    app.url_map.merge_slashes = False
    app.provide_automatic_options = False  # type: ignore[attr-defined]
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.config["MAX_CONTENT_LENGTH"] = web.JSON_LIMIT
    problems.install(app)
    web.install(app)
    transfers.install(app)

    @app.errorhandler(validation.Invalid)
    def invalid(error: validation.Invalid) -> flask.Response:
        return problems.response(problems.Problem(422, str(error)))

    for part in (health, projects, files, jobs, trail, platform):
        app.register_blueprint(part.blueprint)
    return app
