"""What /metrics tells, over all worker processes of the pod."""

from __future__ import annotations

import prometheus_client as prometheus
from prometheus_client import multiprocess

REQUESTS = prometheus.Counter(
    "backend_requests", "Answered requests", ["method", "route", "status"]
)
SECONDS = prometheus.Histogram(
    "backend_request_seconds",
    "Time to answer",
    ["method", "route"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
CACHE = prometheus.Counter("backend_cache_reads", "Cacheable reads by result", ["result"])
FILLS = prometheus.Counter("backend_cache_fills", "Offers to the cache", ["result"])
EPOCHS = prometheus.Counter(
    "backend_cache_epoch_bumps", "Writes whose invalidation the cache did not acknowledge"
)
CREDENTIALS = prometheus.Counter(
    "backend_database_credentials", "Database credentials taken from Vault"
)
JOBS = prometheus.Counter("worker_deliveries", "Deliveries of jobs by how they ended", ["outcome"])
UP = prometheus.Gauge(
    "backend_dependency_up", "1 when the last look found it", ["name"], multiprocess_mode="min"
)


def exposition() -> bytes:
    """All metrics in the text format, summed over the processes."""
    registry = prometheus.CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)
    return prometheus.generate_latest(registry)
