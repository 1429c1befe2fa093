"""A client that never stops asking: a few connections, each one request after the other."""

from __future__ import annotations

import contextlib
import http.client
import ssl
import threading
import urllib.parse
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from infraforge.workloads.visitor import TIMEOUT


@contextlib.contextmanager
def noise(
    origin: str, ca_file: Path, path: str, headers: Mapping[str, str], connections: int = 4
) -> Iterator[Counter[int]]:
    """GET `path` without a pause for the duration of the block; status → count.

    A status of 0 is a connection that broke; another one replaces it.
    """
    told: Counter[int] = Counter()
    lock, over = threading.Lock(), threading.Event()
    where = urllib.parse.urlsplit(origin)
    trust = ssl.create_default_context(cafile=str(ca_file))

    def ask() -> None:
        while not over.is_set():
            connection = http.client.HTTPSConnection(
                where.hostname or "", where.port, timeout=TIMEOUT, context=trust
            )
            with contextlib.closing(connection):
                try:
                    while not over.is_set():
                        connection.request("GET", path, headers=dict(headers))
                        answer = connection.getresponse()
                        answer.read()
                        tell(answer.status)
                except (OSError, http.client.HTTPException):
                    tell(0)

    def tell(status: int) -> None:
        with lock:
            told[status] += 1

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(connections)]
    for thread in threads:
        thread.start()
    try:
        yield told
    finally:
        over.set()
        for thread in threads:
            thread.join(TIMEOUT)
