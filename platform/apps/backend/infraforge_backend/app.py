"""The Flask application over given services."""

from __future__ import annotations

import flask
from infraforge_shared import exchange

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
    app = exchange.application("infraforge_backend", services, web.JSON_LIMIT, validation.Invalid)
    web.install(app)
    transfers.install(app)

    for part in (health, projects, files, jobs, trail, platform):
        app.register_blueprint(part.blueprint)
    return app
