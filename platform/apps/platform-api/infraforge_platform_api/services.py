"""The services that a process needs to answer requests, wired together."""

from __future__ import annotations

import logging
import threading

from infraforge_shared.problems import Unavailable

from infraforge_platform_api import holdings
from infraforge_platform_api.actions import Actions
from infraforge_platform_api.callers import Callers
from infraforge_platform_api.config import Config
from infraforge_platform_api.fresh import Fresh
from infraforge_platform_api.kube import Kube, Refused
from infraforge_platform_api.limits import Limits
from infraforge_platform_api.registry import Registry
from infraforge_platform_api.snapshot import Snapshot

log = logging.getLogger(__name__)


class Services:
    """One process' services."""

    def __init__(self, config: Config, kube: Kube, limits: Limits) -> None:
        self.kube = kube
        self.limits = limits
        self.callers = Callers(kube, config.audience, config.caller, config.caller_seconds)
        self.snapshot = Snapshot(kube, config.layers, config.snapshot_seconds)
        self.actions = Actions(
            kube, config.actions_namespace, config.actions_name, config.actions_kept
        )
        registry = Registry(
            config.registry_address, config.registry_prefix, config.registry_ca_file
        )
        self.registry = Fresh(
            lambda: holdings.look(registry, holdings.in_use(self.snapshot.components().values())),
            config.registry_seconds,
        )
        self._worked = threading.Event()

    def ready(self) -> bool:
        """Whether a snapshot of the platform has succeeded once.

        From then on this stays true: callers are told that the API server is away, and a pod that
        is not ready could not tell them.
        """
        if not self._worked.is_set():
            try:
                self.snapshot.components()
            except (Unavailable, Refused) as error:
                log.warning("not ready", extra={"error": str(error)})
                return False
            self._worked.set()
        return True
