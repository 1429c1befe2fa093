"""The follower's process: round after round, and a port for probes."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time

from infraforge_shared import logs, probes, tls

from infraforge_follower.config import Config
from infraforge_follower.directory import Directory, Silent
from infraforge_follower.follow import Doubtful, Follower
from infraforge_follower.vault import Refused, Vault

log = logging.getLogger(__name__)

_STALE = 10.0  # seconds after the last good round; then Vault's data may be out of date
_STUCK = 60.0  # seconds; no round takes that long, because every request has a timeout


class Rounds:
    """Runs rounds until it is stopped, and knows when the last good one ended."""

    def __init__(self, follower: Follower, every: float) -> None:
        self._follower = follower
        self._every = every
        self._stop = threading.Event()
        self._began = time.monotonic()
        self._done = float("-inf")
        self._trouble = ""

    def run(self) -> None:
        while not self._stop.is_set():
            self._began = time.monotonic()
            self._once()
            self._stop.wait(max(0.1, self._every - (time.monotonic() - self._began)))

    def stop(self) -> None:
        self._stop.set()

    def alive(self) -> bool:
        return time.monotonic() - self._began < _STUCK

    def ready(self) -> bool:
        return time.monotonic() - self._done < _STALE

    def _once(self) -> None:
        try:
            changes = self._follower.round()
        except (Silent, Refused, Doubtful, OSError) as error:
            trouble = f"{type(error).__name__}: {error}"
            if trouble != self._trouble:
                log.warning("cannot update vault", extra={"error": trouble})
            self._trouble = trouble
            return
        if self._trouble:
            log.info("can update vault again")
        self._trouble = ""
        if changes:
            log.info("updated vault", extra={"changes": changes})
        self._done = time.monotonic()


def main() -> None:
    """Run rounds until SIGTERM or SIGINT."""
    tls.install()
    logs.install(quiet=["urllib3"])  # its retries quote URLs
    config = Config.from_environment(os.environ)
    follower = Follower(
        Directory(config).read,
        Vault(config),
        config.groups,
        config.accessor,
        verify=config.verify,
    )
    rounds = Rounds(follower, config.follow)
    signal.signal(signal.SIGTERM, lambda *_: rounds.stop())
    signal.signal(signal.SIGINT, lambda *_: rounds.stop())
    probes.serve(
        {
            "/healthz": lambda: [] if rounds.alive() else ["a round that ends"],
            "/readyz": lambda: [] if rounds.ready() else [f"a round within {_STALE:.0f} s"],
        }
    )
    rounds.run()


if __name__ == "__main__":
    main()
