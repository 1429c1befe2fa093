"""How the backend itself fares, and how it sees what it depends on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooLate

import flask
import hvac
import requests as http
from infraforge_shared.problems import Problem

from infraforge_backend import metrics, web
from infraforge_backend.services import Services

blueprint = flask.Blueprint("health", __name__)

_WITHIN = 1.5


@blueprint.get("/healthz")
def alive() -> flask.Response:
    """200: the process answers. Says nothing about what it depends on."""
    return web.answer({"status": "alive"})


@blueprint.get("/readyz")
def ready() -> flask.Response:
    """200 when this process can serve; else 503 and what it lacks."""
    lacks = web.services().lacks()
    if lacks:
        raise Problem(503, "lacks " + ", ".join(lacks))
    return web.answer({"status": "ready"})


@blueprint.get("/metrics")
def exposition() -> flask.Response:
    """Prometheus' text format."""
    kind = "text/plain; version=0.0.4; charset=utf-8"
    return flask.Response(metrics.exposition(), headers={"Content-Type": kind})


@blueprint.get("/api/me")
def me() -> flask.Response:
    """Who asks, and what they may do."""
    who = web.who()
    found = {"user": who.user, "email": who.email, "groups": list(who.groups)}
    return web.answer({**found, "role": who.role_name})


@blueprint.get("/api/health")
def dependencies() -> flask.Response:
    """Each dependency: up or down, and how long it took to say so (null where it did not)."""
    services = web.services()
    wanted = (*_LOOKS, _NATS) if services.outbox.enabled else _LOOKS
    looks = [(look.name, look.begin(services)) for look in wanted]
    return web.answer({"components": [_report(*look) for look in looks]})


class _Look:
    """A way to look at one dependency, in a thread of its own.

    Who asks while a look is under way shares it: one that hangs holds up no other.
    """

    def __init__(self, name: str, look: Callable[[Services], str]) -> None:
        self.name = name
        self._look = look
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=f"health-{name}")
        self._lock = threading.Lock()
        self._latest: Future[tuple[str, float]] | None = None

    def begin(self, services: Services) -> Future[tuple[str, float]]:
        with self._lock:
            if self._latest is None or self._latest.done():
                self._latest = self._pool.submit(self._timed, services)
            return self._latest

    def _timed(self, services: Services) -> tuple[str, float]:
        started = time.perf_counter()
        wrong = self._look(services)
        return wrong, (time.perf_counter() - started) * 1000


def _report(name: str, look: Future[tuple[str, float]]) -> dict[str, object]:
    try:
        wrong, milliseconds = look.result(_WITHIN)
    except TooLate:
        wrong, milliseconds = f"no answer within {_WITHIN} s", None
    except Problem as problem:
        wrong, milliseconds = problem.detail, None
    return {
        "name": name,
        "status": "down" if wrong else "up",
        "detail": wrong,
        "latency_ms": None if milliseconds is None else round(milliseconds, 1),
    }


def _postgres(services: Services) -> str:
    services.database.read(lambda connection: connection.execute("SELECT 1"))
    return ""


def _redis(services: Services) -> str:
    return "" if services.cache.probe() else "no answer"


def _minio(services: Services) -> str:
    return services.objects.probe(_WITHIN)


def _vault(services: Services) -> str:
    config = services.config
    vault = hvac.Client(url=config.vault_address, verify=config.ca_file, timeout=_WITHIN)
    try:
        state = vault.sys.read_health_status(method="GET", standby_ok=True)
    except (hvac.exceptions.VaultError, http.RequestException) as error:
        return type(error).__name__
    if isinstance(state, http.Response):
        return "sealed" if state.status_code == 503 else f"answers {state.status_code}"
    return "sealed" if state.get("sealed") else ""


def _nats(services: Services) -> str:
    return services.bus.probe(_WITHIN)


_NATS = _Look("nats", _nats)
_LOOKS = (
    _Look("postgres", _postgres),
    _Look("redis", _redis),
    _Look("minio", _minio),
    _Look("vault", _vault),
)
