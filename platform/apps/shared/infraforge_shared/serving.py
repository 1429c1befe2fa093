"""gunicorn's settings for every application: threads, TLS, JSON log lines, no access log."""

import contextlib
import socket
import ssl
import sys

from infraforge_shared import tls

__all__ = [
    "bind",
    "certfile",
    "control_socket_disable",
    "forwarded_allow_ips",
    "keepalive",
    "keyfile",
    "limit_request_field_size",
    "limit_request_line",
    "logconfig_dict",
    "post_request",
    "ssl_context",
    "threads",
    "worker_class",
    "worker_tmp_dir",
    "workers",
]

tls.install()

bind = "0.0.0.0:8443"
workers = 1
worker_class = "gthread"
threads = 8
certfile = "/etc/tls/tls.crt"
keyfile = "/etc/tls/tls.key"
keepalive = 75  # longer than any client's, so that the client closes first
worker_tmp_dir = "/tmp"  # noqa: S108  the pod's own emptyDir
forwarded_allow_ips = ""  # trust no address in a header
# the ingress enforces these limits and explains them; what it passes on is accepted here
limit_request_line = 0
limit_request_field_size = 0
control_socket_disable = True

logconfig_dict = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "infraforge_shared.logs.JsonLines"}},
    "handlers": {
        "stdout": {
            "class": "logging.StreamHandler",
            "stream": "ext://sys.stdout",
            "formatter": "json",
            "filters": ["readers"],
        }
    },
    "filters": {"readers": {"()": "infraforge_shared.logs.SlowReaders"}},
    "root": {"level": "INFO", "handlers": ["stdout"]},
    "loggers": {
        "gunicorn.error": {"level": "INFO", "handlers": ["stdout"], "propagate": False},
        # request lines would carry states, nonces and codes
        "gunicorn.access": {"level": "CRITICAL", "handlers": [], "propagate": False},
        # retries quote URLs
        "urllib3": {"level": "ERROR", "handlers": ["stdout"], "propagate": False},
    },
}


def ssl_context(_config, default_ssl_context_factory):
    """TLS 1.2 or newer."""
    context = default_ssl_context_factory()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def post_request(_worker, _request, environ, _response):
    """Close the connection at once when its reader timed out.

    Otherwise gunicorn (27.0) waits two seconds for each such reader, in the thread that dispatches
    all other connections.
    """
    link = environ.get("gunicorn.socket")
    if link is not None and isinstance(sys.exc_info()[1], TimeoutError):
        with contextlib.suppress(OSError):
            link.shutdown(socket.SHUT_RDWR)
