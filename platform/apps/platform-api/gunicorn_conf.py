"""gunicorn: one worker with threads (it waits for the API server mostly), TLS, JSON log lines."""

import ssl

bind = "0.0.0.0:8443"
workers = 1
worker_class = "gthread"
threads = 8
certfile = "/etc/tls/tls.crt"
keyfile = "/etc/tls/tls.key"
keepalive = 75  # longer than the backend keeps its side: it closes first
graceful_timeout = 15
timeout = 60
worker_tmp_dir = "/tmp"  # noqa: S108  the pod's own emptyDir
forwarded_allow_ips = ""  # addresses in headers are nobody's identity here
limit_request_line = 8190
control_socket_disable = True

logconfig_dict = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "infraforge_platform_api.logs.JsonLines"}},
    "handlers": {
        "stdout": {
            "class": "logging.StreamHandler",
            "stream": "ext://sys.stdout",
            "formatter": "json",
        }
    },
    "root": {"level": "INFO", "handlers": ["stdout"]},
    "loggers": {
        "gunicorn.error": {"level": "INFO", "handlers": ["stdout"], "propagate": False},
        "gunicorn.access": {"level": "CRITICAL", "handlers": [], "propagate": False},
        "urllib3": {"level": "ERROR", "handlers": ["stdout"], "propagate": False},
    },
}


def ssl_context(_config, default_ssl_context_factory):
    """TLS 1.2 or newer."""
    context = default_ssl_context_factory()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
