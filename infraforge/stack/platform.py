"""A running platform: a profile's components on a cluster, and what is done with all of them."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubernetes import client

from infraforge import components, folders
from infraforge.cluster import clock
from infraforge.cluster.apply import ByHand
from infraforge.cluster.base import Cluster
from infraforge.cluster.watching import Watching
from infraforge.components import way_in
from infraforge.components.base import Component, Trust
from infraforge.components.namespaces import hand_out_ca
from infraforge.components.readiness import pod_trouble
from infraforge.components.rendered import Images, Record
from infraforge.components.rollout import Rollout, Say
from infraforge.components.site import Site
from infraforge.components.waves import in_waves, pool_of
from infraforge.errors import UsageError
from infraforge.profile import Profile
from infraforge.progress import Done, Progress, silent

_AT_ONCE = 3
_STATUS = 10
"""Seconds an API server may take to list the pods, four times over: one that hangs is told."""
TREE = folders.shipped("platform")


@dataclass(frozen=True)
class ComponentStatus:
    """One row of `infraforge status`. ready: pods ready of pods wanted; trouble: "" when fine."""

    name: str
    namespace: str
    ready: int
    wanted: int
    restarts: int
    images: tuple[str, ...]
    trouble: str

    @property
    def fine(self) -> bool:
        return self.ready == self.wanted > 0 and not self.trouble


@dataclass(frozen=True)
class Platform:
    """A profile's components on a cluster.

    digests: canonical image reference → `sha256:…`; timings: stage → seconds of the stand-up;
    moved: see `Images`; by_hand: manifests are applied by somebody else.
    """

    site: Site
    digests: Mapping[str, str]
    timings: Mapping[str, float] = dataclasses.field(default_factory=dict)
    moved: Mapping[str, str] = dataclasses.field(default_factory=dict)
    by_hand: bool = False

    @property
    def profile(self) -> Profile:
        return self.site.profile

    @property
    def cluster(self) -> Cluster:
        return self.site.cluster

    @property
    def origin(self) -> str:
        """The front door, e.g. `https://127.0.0.1:8443`."""
        return self.site.origin

    @property
    def ca_file(self) -> Path:
        return self.site.ca_file

    def deploy(self, progress: Progress = silent) -> list[str]:
        """Bring every component of the profile to ready; the names of those that were not.

        Raises what the first component that failed raised; no further one is begun then.
        """
        clock.check(self.cluster.api)
        images = Images(self.digests, self.moved)
        applier = ByHand(self.cluster.api) if self.by_hand else None
        with Watching(self.cluster.api).running() as watching:
            rollout = Rollout(self.site, watching, images, applier)
            return in_waves(self.site, rollout, watching, progress)

    def renew(self, names: Iterable[str], progress: Progress = silent) -> None:
        """New certificates for these components and all whose own is not good any more.

        Nothing else is changed; done when all pods show them. Raises what the first one that
        failed raised; the others are seen through all the same.
        """
        self.site.renewing = frozenset(names)
        with self.rolling() as (rollout, known), pool_of(_AT_ONCE) as pool:

            def one(name: str) -> None:
                component = components.load(name)
                if rollout.renew(component, known[name], lambda step: progress(name, step)):
                    progress(name, Done("shows its new certificate"))

            futures = [pool.submit(one, name) for name in self.profile.components]
            wait(futures)
            for future in futures:
                future.result()

    def spread_trust(self, progress: Progress = silent) -> None:
        """Have every component trust what is in `ca_file` now, and nothing else.

        Those that take it up as they run come first: where they have it, so have the nodes, and
        pods that are made after that begin with it.
        """
        hand_out_ca(self.site)
        chosen = [components.load(name) for name in self.profile.components]
        at_start = [component for component in chosen if component.trust is Trust.AT_START]
        running = [component for component in chosen if component not in at_start]
        with self.rolling() as (rollout, known), pool_of(_AT_ONCE) as pool:

            def one(component: Component) -> None:
                say: Say = lambda step: progress(component.name, step)  # noqa: E731
                rollout.spread_trust(component, known[component.name], say)
                progress(component.name, Done("trusts what it should"))

            for some in (running, at_start):
                for future in [pool.submit(one, component) for component in some]:
                    future.result()

    @contextlib.contextmanager
    def rolling(self) -> Iterator[tuple[Rollout, Mapping[str, Record]]]:
        """What rolls out here, and what is recorded of every component.

        Raises UsageError where one never got ready.
        """
        clock.check(self.cluster.api)
        with Watching(self.cluster.api).running() as watching:
            rollout = Rollout(self.site, watching, Images(self.digests, self.moved))
            yield rollout, self._whole(rollout)

    def _whole(self, rollout: Rollout) -> Mapping[str, Record]:
        known = rollout.inventory()
        if missing := [name for name in self.profile.components if name not in known]:
            raise UsageError(
                f"{missing[0]} never got ready here; first: infraforge up --profile "
                f"{self.profile.name} (with the same --name)"
            )
        return known

    def status(self) -> list[ComponentStatus]:
        """How each component with pods is now, in the profile's order."""
        pods: Any = self.site.core.list_pod_for_all_namespaces(
            label_selector="app.kubernetes.io/part-of=infraforge", _request_timeout=_STATUS
        )
        rows = []
        for name in self.profile.components:
            own = [p for p in pods.items if p.metadata.labels["app.kubernetes.io/name"] == name]
            wanted = self.profile.components[name].get("replicas", 0)
            if own or wanted:
                rows.append(_row(name, int(wanted), own))
        return rows

    def wait_open(self, progress: Progress = silent) -> None:
        """Return once the whole way in is open, from outside and several times in a row.

        That is the last step of whatever changes what runs. Raises TimedOut with the last thing
        seen.
        """
        way_in.wait_open(self.site, lambda step: progress("front door", step))
        progress("front door", Done("open: a person signs in"))

    def versions(self) -> Mapping[str, str]:
        """What the evidence says of the platform: Kubernetes, profile, image digests."""
        version: Any = client.VersionApi(self.cluster.api).get_code()
        found = {"kubernetes": version.git_version, "profile": self.profile.name}
        return found | {f"image {ref}": digest for ref, digest in sorted(self.digests.items())}


def _row(name: str, wanted: int, pods: Sequence[Any]) -> ComponentStatus:
    boxes = [box for pod in pods for box in (pod.status.container_statuses or ())]
    ready = [
        pod
        for pod in pods
        if pod.status.container_statuses and all(b.ready for b in pod.status.container_statuses)
    ]
    return ComponentStatus(
        name=name,
        namespace=pods[0].metadata.namespace if pods else "",
        ready=len(ready),
        wanted=wanted,
        restarts=sum(box.restart_count for box in boxes),
        images=tuple(sorted({box.image for pod in pods for box in pod.spec.containers})),
        trouble="; ".join(filter(None, (pod_trouble(pod) for pod in pods))),
    )
