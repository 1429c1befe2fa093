"""The platform on a cluster: stood up in waves by dependency, found again, looked at, removed."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import signal
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubernetes import client

from infraforge import components
from infraforge.cluster import clock, install, kind, registry, state, tools
from infraforge.cluster.apply import ByHand
from infraforge.cluster.base import Cluster
from infraforge.cluster.existing import Existing
from infraforge.cluster.pki import Authority
from infraforge.cluster.rotation import Phase, Rotation
from infraforge.cluster.watching import Watching
from infraforge.components.base import Component, Trust
from infraforge.components.namespaces import hand_out_ca
from infraforge.components.rollout import Images, Record, Rollout, Say, pod_trouble
from infraforge.components.site import Site
from infraforge.components.waves import in_waves, pool_of
from infraforge.errors import UsageError
from infraforge.images import build, sources
from infraforge.images.catalogue import Catalogue
from infraforge.images.command import needed_by
from infraforge.images.progress import Done, Progress, silent
from infraforge.note import Note
from infraforge.profile import Ports, Profile
from infraforge.stages import Stages

_AT_ONCE = 3
TREE = Path(__file__).parents[1] / "platform"
DEFAULT_NAME = "infraforge"


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
            label_selector="app.kubernetes.io/part-of=infraforge"
        )
        rows = []
        for name in self.profile.components:
            own = [p for p in pods.items if p.metadata.labels["app.kubernetes.io/name"] == name]
            wanted = self.profile.components[name].get("replicas", 0)
            if own or wanted:
                rows.append(_row(name, int(wanted), own))
        return rows

    def versions(self) -> Mapping[str, str]:
        """What the evidence says of the platform: Kubernetes, profile, image digests."""
        version: Any = client.VersionApi(self.cluster.api).get_code()
        found = {"kubernetes": version.git_version, "profile": self.profile.name}
        return found | {f"image {ref}": digest for ref, digest in sorted(self.digests.items())}


@dataclass(frozen=True)
class _How:
    """How a platform is stood up: see `stand_up`. fresh: its cluster is still to be made."""

    images: str
    renew: frozenset[str]
    keep: bool
    fresh: bool


def stand_up(
    name: str,
    profile_name: str,
    tree: Path = TREE,
    progress: Progress = silent,
    *,
    keep: bool = True,
    images: str = "auto",
    renew: Iterable[str] = (),
) -> Platform:
    """The platform, stood up or found again; every step is safe to repeat.

    keep: whether it is to stay when a test run that finds it is over; images: where they come
    from, one of `images.sources.HOW`; renew: components whose certificates are made anew.
    Raises UsageError before anything starts when it cannot work on this machine; a cluster that
    this call made and could not bring up is removed again when the call is interrupted.
    """
    profile = deployable(profile_name, tree)
    found = Note.read(name)
    if found and found.brought:
        raise UsageError(
            f"{name!r} is a cluster you brought; use: infraforge up --cluster existing"
        )
    ports = found.ports if found else Ports.chosen(profile.ports, os.environ)
    profile = dataclasses.replace(profile, ports=ports)
    cluster = kind.Kind(name, tree)
    with nothing_left(name), state.locked(name):
        cluster.check(profile)
        if found and found.profile != profile_name:
            raise UsageError(
                f"{name!r} runs profile {found.profile!r}; remove it first "
                f"(infraforge down --name {name}), or use another --name"
            )
        fresh = not cluster.exists()
        try:
            how = _How(images, frozenset(renew), keep, fresh)
            return _stand_up(cluster, profile, tree, progress, how)
        except KeyboardInterrupt:
            if fresh:
                with _undisturbed():
                    progress("stack", Done("interrupted: what was begun is removed"))
                    _remove(cluster)
            raise


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Let no further Ctrl-C end the block half-way."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


@contextlib.contextmanager
def nothing_left(name: str) -> Iterator[None]:
    """Remove the lock of a cluster that did not come to be."""
    try:
        yield
    finally:
        if name not in state.names():
            state.forget(name)


def deployable(profile_name: str, tree: Path) -> Profile:
    """The profile; UsageError when this version lacks parts of it."""
    profile = Profile.load(profile_name, tree)
    if not profile.deployable:
        raise UsageError(
            f"profile {profile_name!r} is planned, not built yet: this version lacks parts it "
            f"asks for; profiles that can be stood up are listed by: infraforge doctor"
        )
    return profile


def attach(name: str, tree: Path = TREE) -> Platform:
    """The platform that is up under this name.

    Raises UsageError when there is none, OtherCluster when a cluster that the user brought is
    another one by now.
    """
    found = Note.read(name)
    cluster = cluster_of(name, found, tree)
    if found is None or not cluster.exists():
        raise UsageError(f"no platform {name!r} is up; run: infraforge up --profile minimal")
    profile = dataclasses.replace(Profile.load(found.profile, tree), ports=found.ports)
    site = Site(profile, tree, cluster, authority(name), found.origin)
    by_hand = bool(found.brought and found.brought.by_hand)
    return Platform(site, found.digests, found.timings, found.moved, by_hand)


def renew(
    name: str, chosen: Iterable[str] = (), tree: Path = TREE, progress: Progress = silent
) -> list[str]:
    """New certificates for components of the platform that is up; the names of these.

    chosen: by default all that have one. Raises UsageError for one that has none.
    """
    with state.locked(name):
        platform = attach(name, tree)
        having = [c for c in platform.profile.components if components.load(c).listens]
        odd = sorted(set(chosen) - set(having))
        if odd:
            raise UsageError(f"{odd[0]!r} has no certificate; those have: {' '.join(having)}")
        names = sorted(chosen) or having
        with contextlib.closing(platform.site):
            platform.renew(names, progress)
    return names


def replace_ca(name: str, tree: Path = TREE, progress: Progress = silent) -> None:
    """Another CA in the place of this platform's, with new certificates for all components.

    Goes on where a run that was killed had come to; see `cluster.rotation`.
    """
    with state.locked(name):
        platform = attach(name, tree)
        with contextlib.closing(platform.site), platform.rolling():
            pass  # where it is not up, or not all of it, nothing is begun
        for phase in Rotation(_ca_dir(name)).phases():
            progress("CA", f"phase {phase}")
            platform = attach(name, tree)
            with contextlib.closing(platform.site):
                if phase is Phase.ISSUE:
                    platform.renew((), progress)
                else:
                    platform.spread_trust(progress)


def cluster_of(name: str, found: Note | None, tree: Path = TREE) -> kind.Kind | Existing:
    """The cluster of a platform of which `found` is known; ours where nothing is."""
    if found is None or found.brought is None:
        return kind.Kind(name, tree)
    kubeconfig = state.cluster_dir(name) / "kubeconfig"
    return Existing(kubeconfig, name=name, pinned=found.brought.uid)


def tear_down(name: str, tree: Path = TREE) -> list[str]:
    """Remove cluster, containers, network and files of this name; what was removed, in words.

    Raises UsageError for a cluster that the user brought: that one is not ours to remove.
    """
    found = Note.read(name)
    if found and found.brought:
        raise UsageError(f"{name!r} is a cluster you brought; use: infraforge down --name {name}")
    with state.locked(name):
        removed = _remove(kind.Kind(name, tree))
    state.forget(name)
    return removed


def stays(name: str) -> bool:
    """Whether the platform of this name was stood up to stay (`up`, `--keep`)."""
    found = Note.read(name)
    return bool(found and found.keep)


def is_up(name: str, tree: Path = TREE) -> bool:
    """Whether a platform of this name was brought up and its API server answers."""
    found = Note.read(name)
    return found is not None and cluster_of(name, found, tree).exists()


def registry_authority() -> Authority:
    """The CA that vouches for what the clusters of this machine share."""
    return Authority.load_or_create(state.registry_ca_dir())


def authority(name: str) -> Authority:
    """The CA of the platform of this name; one that an older version stood up has the machine's."""
    folder, shared = _ca_dir(name), state.registry_ca_dir()
    if not (folder / "ca.key").exists() and Note.read(name) and (shared / "ca.key").exists():
        return Authority.copy(shared, folder)
    return Authority.load_or_create(folder)


def ca_phase(name: str) -> Phase | None:
    """How far the change of this platform's CA has come; None where none was begun."""
    return Rotation(_ca_dir(name)).phase


def _ca_dir(name: str) -> Path:
    return state.cluster_dir(name) / "ca"


def images_for(
    profile: Profile, tree: Path, progress: Progress = silent, how: str = "auto"
) -> sources.Plan:
    """Build what the profile needs, and is neither here nor elsewhere; where its images are from.

    how: one of `images.sources.HOW`.
    """
    catalogue = Catalogue.load(tree)
    plan = sources.plan(needed_by(profile, catalogue), catalogue, how)
    plan.build(progress)
    build.compile_tools(tools.missing(tree), catalogue, progress)
    return plan


def start_registry(catalogue: Catalogue) -> Authority:
    """The local registry, running; the authority that vouches for it."""
    issuer = registry_authority()
    registry.ensure_network()
    image = build.record("registry", catalogue)
    registry.ensure(image.tag, issuer)
    return issuer


def _stand_up(
    cluster: kind.Kind,
    profile: Profile,
    tree: Path,
    progress: Progress,
    how: _How,
) -> Platform:
    clock = Stages(progress)
    with clock.stage("images"):
        plan = images_for(profile, tree, progress, how.images)
    with clock.stage("registry"):
        issuer = start_registry(plan.catalogue)
        digests = plan.fill(issuer.ca_file, progress)
    if how.fresh:
        with clock.stage("cluster"):
            node = build.record("node", plan.catalogue).tag
            cluster.create(profile, node, issuer.ca_file, lambda line: progress("cluster", line))
    site = Site(profile, tree, cluster, authority(cluster.name))
    site.renewing = how.renew
    platform = Platform(site, digests)
    with contextlib.closing(site), clock.stage("components"), pool_of(1) as aside:
        if Note.read(cluster.name) is None:  # new, or a run was killed before it was whole
            install.install(cluster, tree, issuer, digests)
        # pods wait for the network by themselves; nodes get their certificates meanwhile
        parts = aside.submit(install.wait_ready, cluster, profile.budgets.cluster)
        platform.deploy(progress)
        parts.result()
    done = dataclasses.replace(platform, timings=clock.seconds)
    keep = how.keep or (not how.fresh and stays(cluster.name))
    note = Note(profile.name, profile.ports, site.origin, digests, done.timings, keep)
    note.write(cluster.name)
    return done


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


def _remove(cluster: kind.Kind) -> list[str]:
    return [*cluster.delete(), *remove_shared()]


def remove_shared() -> list[str]:
    """Remove registry and its CA unless a platform lives by them; what was removed, in words."""
    if state.names():
        return []
    removed = []
    if (state.state_dir() / "registry").exists():  # else there was no need of a runtime
        removed += registry.remove()
    folder = state.registry_ca_dir()
    if folder.exists():
        shutil.rmtree(folder)
        removed.append(f"files in {folder}")
    return removed
