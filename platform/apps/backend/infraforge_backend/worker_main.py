"""What runs in the worker's container: credentials, the bus, the worker, and a port for probes."""

from __future__ import annotations

import logging
import os
import signal
import threading

from infraforge_shared import logs, probes, tls

from infraforge_backend.bus import Bus
from infraforge_backend.cache import Cache
from infraforge_backend.config import Config
from infraforge_backend.database import Database, Login
from infraforge_backend.deadline import Watchdog
from infraforge_backend.epoch import EpochKnowledge
from infraforge_backend.objects import Objects
from infraforge_backend.tasks import Tasks
from infraforge_backend.vault import Keys, VaultCredentials
from infraforge_backend.worker import Worker

log = logging.getLogger(__name__)
_ENDS_WITHIN = 25.0


class Process:
    """All of one worker process."""

    def __init__(self, config: Config) -> None:
        self.bus = Bus(config)
        self.watchdog = Watchdog()
        # it never asks the cache: nothing it writes is cached
        cache = Cache(EpochKnowledge(config.lease_seconds), config.cache_ttl_seconds)
        self.database = Database(config, cache, self.watchdog)
        self.objects = Objects(config)
        self.credentials = VaultCredentials(config)
        self.worker = Worker(self.bus, Tasks(self.database, self.objects))

    def use_database(self, login: Login) -> None:
        self.database.use(login)

    def use_minio(self, keys: Keys) -> None:
        self.objects.use(keys.user, keys.secret)

    def use_nats(self, keys: Keys) -> None:
        self.bus.use(keys.user, keys.secret)

    def use_redis(self, keys: Keys) -> None:
        """Nothing here uses the cache."""

    def use_sentinel(self, keys: Keys) -> None:
        """Nothing here uses the cache."""

    def lacks(self) -> list[str]:
        """What keeps it from working; empty when it is ready."""
        missing = []
        if not self.credentials.held:
            missing.append("database credentials from vault")
        if not self.bus.connected:
            missing.append("nats")
        return missing


def main() -> None:
    """Work until SIGTERM, end what was begun, give everything back."""
    tls.install()
    # each refused connection is a warning of the pool's; the heartbeat tells once
    logs.install(quiet=["psycopg.pool"])
    process = Process(Config.from_environment(os.environ))
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    signal.signal(signal.SIGINT, lambda *_: ended.set())
    probes.serve({"/healthz": lambda: [], "/readyz": process.lacks})
    process.watchdog.start()
    process.bus.start()
    process.credentials.start(process)
    working = process.bus.submit(process.worker.run())
    ended.wait()
    process.worker.stop()
    try:
        working.result(_ENDS_WITHIN)  # type: ignore[call-arg]
    except TimeoutError:
        log.warning("a job was left; it comes again")
    process.bus.stop()
    process.database.close()
    process.credentials.stop()


if __name__ == "__main__":
    main()
