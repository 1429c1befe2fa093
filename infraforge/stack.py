"""The platform on a cluster: stood up in waves by dependency, found again, looked at, removed."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubernetes import client

from infraforge import components, folders, interrupts
from infraforge.cluster import clock, install, kind, node_files, registry, state, tools
from infraforge.cluster.apply import ByHand
from infraforge.cluster.base import Cluster, Presence
from infraforge.cluster.existing import Existing
from infraforge.cluster.pki import Authority
from infraforge.cluster.rotation import Phase, Rotation
from infraforge.cluster.users import Use
from infraforge.cluster.watching import Watching
from infraforge.components import way_in
from infraforge.components.base import Component, Trust
from infraforge.components.namespaces import hand_out_ca
from infraforge.components.rollout import Images, Record, Rollout, Say, pod_trouble
from infraforge.components.site import Site
from infraforge.components.waves import in_waves, pool_of
from infraforge.errors import ClusterError, UsageError
from infraforge.images import build, sources
from infraforge.images.catalogue import Catalogue
from infraforge.images.command import needed_by
from infraforge.images.progress import Done, Progress, silent
from infraforge.note import Note
from infraforge.profile import Ports, Profile
from infraforge.stages import Stages

_AT_ONCE = 3
_STATUS = 10
"""Seconds an API server may take to list the pods, four times over: one that hangs is told."""
TREE = folders.shipped("platform")
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


@dataclass(frozen=True)
class _How:
    """How a platform is stood up: see `stand_up`. there: what there is of its cluster before."""

    images: str
    renew: frozenset[str]
    keep: bool
    there: Presence

    @property
    def fresh(self) -> bool:
        """Whether its cluster is still to be made."""
        return self.there is Presence.ABSENT


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
    A cluster that is there and silent is started again, never made anew. Raises UsageError before
    anything starts when it cannot work on this machine, ClusterError where a silent cluster stays
    so, TimedOut where the front door does not open in the end; a cluster that this call made and
    could not bring up is removed again when the call is interrupted, or was not to stay.
    """
    profile = deployable(profile_name, tree)
    found = Note.read(name)
    if found and found.brought:
        raise UsageError(
            f"{name!r} is a cluster you brought; use: infraforge up --cluster existing"
        )
    ports = found.ports if found else Ports.chosen(profile.ports, os.environ)
    if registry.PORT in (ports.https, ports.http):
        raise UsageError(
            f"127.0.0.1:{registry.PORT} is the local registry's; choose others by "
            f"INFRAFORGE_HTTPS_PORT and INFRAFORGE_HTTP_PORT"
        )
    profile = dataclasses.replace(profile, ports=ports)
    cluster = kind.Kind(name, tree)
    with nothing_left(name), state.locked(name):
        cluster.check()
        if found and found.profile != profile_name:
            raise UsageError(
                f"{name!r} runs profile {found.profile!r}; remove it first "
                f"(infraforge down --name {name}), or use another --name"
            )
        how = _How(images, frozenset(renew), keep, _there(cluster, found, progress))
        if how.fresh:  # else the ports are its own
            cluster.check_ports(profile)
        try:
            with state.sharing_machine():
                return _stand_up(cluster, profile, tree, progress, how)
        except BaseException as error:
            # what failed may be looked at, and gone on with, where it was to stay
            if how.fresh and (not keep or isinstance(error, KeyboardInterrupt)):
                with interrupts.undisturbed():
                    why = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
                    progress("stack", Done(f"{why}: what was begun is removed"))
                    _remove(cluster)
            raise


def _there(cluster: kind.Kind, found: Note | None, progress: Progress) -> Presence:
    """What there is of the cluster, once the remains of an unfinished creation are removed.

    Only a creation that never ended leaves such: nobody was ever told of that cluster, so it
    holds nothing. Raises ClusterError where a platform is known and nothing is there of it.
    """
    if found is None and cluster.unfinished:
        progress("cluster", Done("remains of an unfinished creation are removed first"))
        cluster.delete()
        return Presence.ABSENT
    there = cluster.presence()
    if there is Presence.ABSENT and found is not None:
        raise ClusterError(kind.gone(cluster.name))
    return there


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

    Raises UsageError when there is none, ClusterError when it is silent or was never finished,
    OtherCluster when a cluster that the user brought is another one by now.
    """
    found = Note.read(name)
    cluster = cluster_of(name, found, tree)
    there = cluster.presence()
    if found is None:
        if there is Presence.ABSENT and not (isinstance(cluster, kind.Kind) and cluster.unfinished):
            raise UsageError(
                f"no platform {name!r} is up; run: infraforge up --name {name} --profile minimal"
            )
        raise ClusterError(
            f"platform {name!r} is not up: its stand-up has not ended; wait for it, or run "
            f"infraforge up --name {name} again, with its --profile"
        )
    if there is not Presence.ANSWERS:
        raise ClusterError(_silent(name, found, cluster.trouble))
    profile = dataclasses.replace(Profile.load(found.profile, tree), ports=found.ports)
    site = Site(profile, tree, cluster, authority(name), found.origin)
    by_hand = bool(found.brought and found.brought.by_hand)
    return Platform(site, found.digests, found.timings, found.moved, by_hand)


def _silent(name: str, found: Note, trouble: str) -> str:
    """What to say of a platform that is known, and does not answer."""
    if found.brought:
        again = "make that cluster answer from this machine, then say the same again"
    elif trouble:
        again = (
            f"start it again: infraforge up --name {name} --profile {found.profile} "
            f"(that removes nothing)"
        )
    else:
        return kind.gone(name)
    return f"platform {name!r} is known here and silent: {trouble}; nothing was touched; {again}"


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
            platform.wait_open(progress)
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
        platform.wait_open(progress)


def cluster_of(name: str, found: Note | None, tree: Path = TREE) -> kind.Kind | Existing:
    """The cluster of a platform of which `found` is known; ours where nothing is."""
    if found is None or found.brought is None:
        return kind.Kind(name, tree)
    kubeconfig = state.cluster_dir(name) / "kubeconfig"
    return Existing(kubeconfig, name=name, pinned=found.brought.uid)


def tear_down(name: str, tree: Path = TREE, *, force: bool = False) -> list[str]:
    """Remove cluster, containers, network and files of this name; what was removed, in words.

    Raises UsageError for a cluster that the user brought (that one is not ours to remove), and
    for a platform that runs use now, naming them; force: in spite of those.
    """
    _refuse_brought(name)
    with contextlib.ExitStack() as held:
        if not force:
            held.enter_context(Use(name, "infraforge down", "say --force").alone())
        held.enter_context(interrupts.undisturbed())
        with state.locked(name):
            removed = _remove(kind.Kind(name, tree))
    state.forget(name)
    return removed


def leave(use: Use, tree: Path = TREE) -> list[str]:
    """End a run's use of a platform; what was removed, in words.

    The last one removes a platform that was not stood up to stay. One that somebody is changing
    just now is that one's. Interrupts wait until it is done. Raises UsageError or ClusterError
    where it cannot be removed.
    """
    removed: list[str] = []
    with interrupts.undisturbed():
        with use.last() as last, contextlib.ExitStack() as held:
            found = Note.read(use.name) if last else None
            if found and not found.keep and not found.brought:
                mine = False
                with contextlib.suppress(UsageError):  # it is being changed
                    held.enter_context(state.locked(use.name))
                    mine = True
                if mine and not stays(use.name):  # now that nobody can change it
                    removed = _remove(kind.Kind(use.name, tree))
        if not state.cluster_dir(use.name).exists():
            state.forget(use.name)
    return removed


def keep(name: str) -> None:
    """Have the platform of this name stay when the runs that use it are over."""
    with state.locked(name):
        found = Note.read(name)
        if found and not found.keep:
            dataclasses.replace(found, keep=True).write(name)


def _refuse_brought(name: str) -> None:
    found = Note.read(name)
    if found and found.brought:
        raise UsageError(f"{name!r} is a cluster you brought; use: infraforge down --name {name}")


def stays(name: str) -> bool:
    """Whether the platform of this name was stood up to stay (`up`, `--keep`)."""
    found = Note.read(name)
    return bool(found and found.keep)


def profile_of(name: str) -> str:
    """The profile that was stood up under this name, whether it answers or not; "" for none."""
    found = Note.read(name)
    return found.profile if found else ""


def is_up(name: str, tree: Path = TREE) -> bool:
    """Whether a platform of this name was brought up and its API server answers.

    Raises ClusterError for one that was brought up and is silent: that is neither.
    """
    found = Note.read(name)
    if found is None:
        return False
    cluster = cluster_of(name, found, tree)
    if cluster.presence() is not Presence.ANSWERS:
        raise ClusterError(_silent(name, found, cluster.trouble))
    return True


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
    with state.starting_registry():
        issuer = registry_authority()
        registry.ensure_network()
        image = build.record("registry", catalogue)
        registry.ensure(image.tag, issuer, catalogue.tree)
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
            say: Say = lambda line: progress("cluster", line)  # noqa: E731
            cluster.create(profile, node, issuer.ca_file, digests, say)
    else:
        within = profile.budgets.cluster
        if how.there is Presence.SILENT:
            with clock.stage("cluster"):
                cluster.wake(within, lambda line: progress("cluster", line))
        # what the API server still tells of before a restart says nothing of now
        install.wait_seen(cluster, within)
        node_files.refresh(cluster, tree, issuer.ca_file)
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
    note.write(cluster.name)  # it is there from here on, and not to be made anew, come what may
    with clock.stage("front door"):
        done.wait_open(progress)
    done = dataclasses.replace(done, timings=clock.seconds)
    dataclasses.replace(note, timings=done.timings).write(cluster.name)
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
    """Remove registry and its CA unless a platform lives by them; what was removed, in words.

    They stay as well where another process uses them now, building images for instance.
    """
    with state.alone_on_machine() as alone:
        if not alone or state.names():
            return []
        removed = []
        if (state.state_dir() / "registry").exists():  # else there was no need of a runtime
            removed += registry.remove()
        folder = state.registry_ca_dir()
        if folder.exists():
            shutil.rmtree(folder)
            removed.append(f"files in {folder}")
        return removed
