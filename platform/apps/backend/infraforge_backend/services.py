"""Everything a process needs to answer requests, wired together and started."""

from __future__ import annotations

import functools
import logging
import threading

import psycopg
from infraforge_shared.problems import OutcomeUnknown, Unavailable

from infraforge_backend import absence, audit, garbage, migrations, servers, uploads
from infraforge_backend.absence import AbsencePulse
from infraforge_backend.bus import Bus
from infraforge_backend.cache import Cache
from infraforge_backend.config import Config
from infraforge_backend.database import Database, Login
from infraforge_backend.deadline import Watchdog
from infraforge_backend.epoch import EpochKnowledge
from infraforge_backend.heartbeat import CachePulse, EpochPulse, Primary, Pulse
from infraforge_backend.objects import Objects
from infraforge_backend.outbox import Outbox
from infraforge_backend.platform_api import PlatformApi
from infraforge_backend.relay import Relay
from infraforge_backend.standing import Standings
from infraforge_backend.uploads import Uploads
from infraforge_backend.vault import Credentials, Keys

log = logging.getLogger(__name__)

_MIGRATE_BACKOFF = (0.5, 1, 2, 3, 5)


class Services:
    """The services of one process. Construct, `start` (returns at once), and `stop`."""

    def __init__(self, config: Config, credentials: Credentials) -> None:
        self.config = config
        self.credentials = credentials
        self.knowledge = EpochKnowledge(config.lease_seconds)
        self.cache = Cache(self.knowledge, config.cache_ttl_seconds)
        self.watchdog = Watchdog()
        self.database = Database(config, self.cache, self.watchdog)
        self.objects = Objects(config)
        self.standings = Standings(
            credentials.look_up, self.cache, config.standing_seconds, config.standing_grace_seconds
        )
        self.platform = PlatformApi(config)
        primary = Primary(self.database.members, self.database.primary_moved)
        self.epoch_pulse = EpochPulse(
            config,
            self.knowledge,
            self.watchdog,
            credentials.suspect,
            met=lambda: self.cache.met,
            primary=primary,
        )
        gone = AbsencePulse(
            self.knowledge,
            lambda: self.epoch_pulse.silent_for,
            lambda: self.platform.addresses(config.postgres_namespace, "postgres"),
            functools.partial(absence.refuses, port=config.postgres_port),
        )
        self.denials = audit.Denials(self.database)
        self.uploads = Uploads(self.database)
        collector = garbage.Collector(self.database, self.objects)
        self._pulses = (
            Pulse("epoch", self.epoch_pulse.beat),
            Pulse("absence", gone.beat),
            Pulse("cache", CachePulse(self.cache).beat),
            Pulse("denials", self.denials.beat, 5.0),
            Pulse("prune", lambda: audit.prune(self.database), audit.PRUNE_EVERY),
            Pulse("uploads", self.uploads.beat, uploads.EVERY),
            Pulse("garbage", collector.beat, garbage.EVERY),
        )
        self.outbox = Outbox(enabled=bool(config.nats_url))
        self.bus = Bus(config)
        self._relay = Relay(self.database, self.bus, config.retell_seconds)
        self._redis_keys: Keys | None = None
        self._sentinel_keys: Keys | None = None
        self._migrated = threading.Event()
        self._stopping = threading.Event()
        self._migration = threading.Thread(target=self._migrate, name="migration", daemon=True)

    def start(self) -> None:
        """Start all threads; they wait in the background for what is not there yet."""
        self.watchdog.start()
        self.credentials.start(self)
        self._migration.start()

    def stop(self) -> None:
        """Give everything back."""
        self._stopping.set()
        for pulse in self._pulses:
            pulse.stop()
        self._relay.stop()
        self.bus.stop()
        self.denials.flush()
        self.database.close()
        self.credentials.stop()
        self.watchdog.stop()

    def use_database(self, login: Login) -> None:
        self.database.use(login)
        self.epoch_pulse.use(login)

    def use_redis(self, keys: Keys) -> None:
        self._redis_keys = keys
        self._connect_cache()

    def use_sentinel(self, keys: Keys) -> None:
        self._sentinel_keys = keys
        self._connect_cache()

    def use_minio(self, keys: Keys) -> None:
        self.objects.use(keys.user, keys.secret)

    def use_nats(self, keys: Keys) -> None:
        self.bus.use(keys.user, keys.secret)

    def _connect_cache(self) -> None:
        """Connect to the cache, once all the keys are there that this takes."""
        own, sentinel = self._redis_keys, self._sentinel_keys
        if own is not None and (sentinel is not None or not self.config.sentinels):
            self.cache.use(servers.connect(self.config, own, sentinel))

    def wake_relay(self) -> None:
        """Tell the relay that there may be something in the outbox."""
        self._relay.wake()

    def lacks(self) -> list[str]:
        """What keeps this process from serving; empty if it is ready.

        PostgreSQL may be silent for `ready_seconds`, and for as long as cached reads can be
        answered: taking every pod out of service at once would help nobody.
        """
        missing = []
        if not self.credentials.held:
            missing.append("database credentials from vault")
        if not self._migrated.is_set():
            missing.append("database schema")
        elif (
            self.epoch_pulse.silent_for > self.config.ready_seconds
            and self.knowledge.usable() is None
        ):
            missing.append("postgres")
        return missing

    def _migrate(self) -> None:
        for attempt in range(10**9):
            try:
                self.database.write((), migrations.apply)
                break
            except (Unavailable, OutcomeUnknown) as problem:
                pause = _MIGRATE_BACKOFF[min(attempt, len(_MIGRATE_BACKOFF) - 1)]
                log.info("schema waits: %s", problem.detail, extra={"in": pause})
            except (psycopg.Error, migrations.ChangedMigration) as error:
                pause = _MIGRATE_BACKOFF[-1]
                log.error("schema cannot be brought up to date: %s", error)  # noqa: TRY400  no trace
            if self._stopping.wait(pause):
                return
        self.epoch_pulse.beat()
        self._migrated.set()
        for pulse in self._pulses:
            pulse.start()
        if self.outbox.enabled:
            self.bus.start()
            self._relay.start()
