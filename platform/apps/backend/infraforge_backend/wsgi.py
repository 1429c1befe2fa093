"""What gunicorn runs: in each worker process its own services and application."""

from __future__ import annotations

import os

from infraforge_shared import logs

from infraforge_backend import app as application
from infraforge_backend.config import Config
from infraforge_backend.services import Services
from infraforge_backend.vault import VaultCredentials

# each refused connection is a warning of the pool's; the heartbeat tells once
logs.install(quiet=["psycopg.pool"])
_config = Config.from_environment(os.environ)
services = Services(_config, VaultCredentials(_config))
app = application.create(services)
services.start()
