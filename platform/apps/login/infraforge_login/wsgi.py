"""The WSGI application for gunicorn."""

from __future__ import annotations

import os

from infraforge_login import app as application
from infraforge_login.config import Config

app = application.create(Config.from_environment(os.environ))
