"""gunicorn: worker processes with threads, TLS, JSON log lines, metrics over all workers."""

import os
import ssl
import sys

from prometheus_client import multiprocess

bind = f"0.0.0.0:{os.environ.get('PORT', '8443')}"
workers = int(os.environ.get("WEB_WORKERS", "2"))
worker_class = "gthread"
threads = int(os.environ.get("WEB_THREADS", "8"))
certfile = "/etc/tls/tls.crt"
keyfile = "/etc/tls/tls.key"
keepalive = 75  # longer than the ingress keeps its side: it closes first
graceful_timeout = 25
timeout = 60
worker_tmp_dir = "/tmp"  # noqa: S108  the pod's own emptyDir
forwarded_allow_ips = ""  # addresses in headers are nobody's identity here
limit_request_line = 8190
control_socket_disable = True

logconfig_dict = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "infraforge_backend.logs.JsonLines"}},
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
    },
}


def ssl_context(_config, default_ssl_context_factory):
    """TLS 1.2 or newer."""
    context = default_ssl_context_factory()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def on_starting(_server):
    """The folder the workers' metrics are kept in."""
    os.makedirs(os.environ["PROMETHEUS_MULTIPROC_DIR"], exist_ok=True)


def child_exit(_server, worker):
    """A dead worker's gauges must not be counted any more."""
    multiprocess.mark_process_dead(worker.pid)


def worker_exit(_server, _worker):
    """Give back what the worker holds; one that never got to its services holds nothing."""
    wsgi = sys.modules.get("infraforge_backend.wsgi")
    if wsgi is not None:
        wsgi.services.stop()
