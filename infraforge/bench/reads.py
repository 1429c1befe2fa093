"""How soon reads are answered through the front door, beside the front door's own answer."""

from __future__ import annotations

import contextlib
import http.client
import ssl
import statistics
import threading
import time
import urllib.parse
from collections.abc import Iterator, Mapping

from infraforge import healing, stack
from infraforge.cluster.users import Use
from infraforge.errors import Inconclusive
from infraforge.progress import Progress
from infraforge.workloads import reading
from infraforge.workloads.backend_client import BackendClient
from infraforge.workloads.front_door import FrontDoor
from infraforge.workloads.people import People
from infraforge.workloads.visitor import TIMEOUT

ROUNDS = 1500
_EVERY = 0.04  # seconds from round to round: three reads each stay below a session's 100 a second


def reads(_profile: str, say: Progress) -> Mapping[str, float]:
    """Milliseconds, 50th and 99th percentile, of reads one after the other on a kept connection.

    The floor is a page that the ingress answers from itself; then what it asks others for: who this
    is (OAuth2 Proxy, Redis), a cached project (Redis), the components (the platform API, whose
    look at the cluster serves all who ask within a second). Taken in turns, so that whatever else
    the machine does is in all of them. Needs a platform that is up.
    """
    with _using(stack.DEFAULT_NAME) as platform, contextlib.closing(platform.site):
        door = FrontDoor(platform.origin, platform.ca_file, platform.profile.ports.http)
        person = People(platform.site).known("devon")
        visitor = door.sign_in(person.name, person.password)
        client = BackendClient(visitor, platform.origin)
        with _project(client) as project:
            paths = {
                "the ingress alone": "/healthz",
                "a cached project": f"/api/projects/{project}",
                "components": "/api/platform/components",
            }
            reading.until_hit(client, project)
            cookie = visitor.cookie_header()
            taken = _measure(platform.origin, str(platform.ca_file), cookie, paths, say)
    return {
        f"{name}, p{share}, ms": 1000 * statistics.quantiles(times, n=100)[share - 1]
        for name, times in taken.items()
        for share in (50, 99)
    }


@contextlib.contextmanager
def _using(name: str) -> Iterator[stack.Platform]:
    use = Use(name, "infraforge bench").join()
    try:
        healing.before_run(name)  # what is open would be in every figure
        yield stack.attach(name)
    finally:
        stack.leave(use)


@contextlib.contextmanager
def _project(client: BackendClient) -> Iterator[str]:
    made = client.create_project("read again and again")
    try:
        yield made.id
    finally:
        client.delete_project(made.id)


def _measure(
    origin: str, ca_file: str, cookie: str, paths: Mapping[str, str], say: Progress
) -> Mapping[str, list[float]]:
    where = urllib.parse.urlsplit(origin)
    connection = http.client.HTTPSConnection(
        where.hostname or "",
        where.port,
        timeout=TIMEOUT,
        context=ssl.create_default_context(cafile=ca_file),
    )
    pace = threading.Event()
    taken: dict[str, list[float]] = {name: [] for name in paths}
    with contextlib.closing(connection):
        for number in range(ROUNDS):
            began = time.monotonic()
            for name, path in paths.items():
                taken[name].append(_ask(connection, path, cookie))
            if number % 250 == 0:
                say("reads", f"{number} of {ROUNDS} rounds")
            pace.wait(max(0.0, began + _EVERY - time.monotonic()))
    return taken


def _ask(connection: http.client.HTTPSConnection, path: str, cookie: str) -> float:
    began = time.perf_counter()
    connection.request("GET", path, headers={"Cookie": cookie})
    answer = connection.getresponse()
    answer.read()
    seconds = time.perf_counter() - began
    if answer.status != http.client.OK:
        raise Inconclusive(f"GET {path} was answered {answer.status}: no figure")
    return seconds
