"""The WSGI application for gunicorn."""

from __future__ import annotations

import os

from infraforge_shared import logs

from infraforge_platform_api import app as application
from infraforge_platform_api.config import Config
from infraforge_platform_api.kube import Kube
from infraforge_platform_api.limits import Limits
from infraforge_platform_api.services import Services

logs.install()
_config = Config.from_environment(os.environ)
_kube = Kube(_config.kubernetes_address, _config.kubernetes_ca_file, _config.kubernetes_token_file)
app = application.create(Services(_config, _kube, Limits.load(_config.limits_file)))
