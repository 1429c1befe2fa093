"""gunicorn: worker processes with threads, and metrics over all of them."""

import os
import sys

from infraforge_shared.serving import *  # noqa: F403  gunicorn reads the names of this file
from prometheus_client import multiprocess

bind = f"0.0.0.0:{os.environ.get('PORT', '8443')}"
workers = int(os.environ.get("WEB_WORKERS", "2"))
threads = int(os.environ.get("WEB_THREADS", "14"))  # ten of them may be busy with files
graceful_timeout = 25
timeout = 60


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
