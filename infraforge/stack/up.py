"""Stand a platform up on a cluster of our own, or find it again."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from infraforge import interrupts
from infraforge.cluster import dns, install, kind, node_files, registry, state
from infraforge.cluster.base import Presence
from infraforge.components import rules
from infraforge.components.rollout import Say
from infraforge.components.site import Site
from infraforge.components.waves import pool_of
from infraforge.errors import ClusterError, UsageError
from infraforge.images import build
from infraforge.note import Note
from infraforge.profile import Ports, Profile
from infraforge.progress import Done, Progress, silent
from infraforge.stack import authorities, down, known, supply
from infraforge.stack.platform import TREE, Platform
from infraforge.stages import Stages


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
    profile: Profile,
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
    checked(profile, tree)
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
        if found and found.profile != profile.name:
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
                    down.remove(cluster)
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
    """The profile of this name; UsageError when this version lacks parts of it."""
    return checked(Profile.load(profile_name, tree), tree)


def checked(profile: Profile, tree: Path = TREE) -> Profile:
    """The same profile; UsageError when this version lacks parts, or its numbers cannot work."""
    if not profile.deployable:
        raise UsageError(
            f"profile {profile.name!r} is planned, not built yet: this version lacks parts it "
            f"asks for; profiles that can be stood up are listed by: infraforge doctor"
        )
    rules.check(profile, tree)
    return profile


def _own_parts(cluster: kind.Kind, profile: Profile, tree: Path) -> None:
    """The cluster's own parts, ready and where the profile wants them."""
    install.wait_ready(cluster, profile.budgets.cluster)
    if profile.cluster.dns == "every-node":
        dns.on_every_node(cluster, tree, profile.budgets.cluster)


def _stand_up(
    cluster: kind.Kind,
    profile: Profile,
    tree: Path,
    progress: Progress,
    how: _How,
) -> Platform:
    clock = Stages(progress)
    with clock.stage("images"):
        plan = supply.images_for(profile, tree, progress, how.images)
    with clock.stage("registry"):
        issuer = supply.start_registry(plan.catalogue)
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
    site = Site(profile, tree, cluster, authorities.authority(cluster.name))
    site.renewing = how.renew
    platform = Platform(site, digests)
    with contextlib.closing(site), clock.stage("components"), pool_of(1) as aside:
        if Note.read(cluster.name) is None:  # new, or a run was killed before it was whole
            install.install(cluster, tree, issuer, digests)
        # pods wait for the network by themselves; nodes get their certificates meanwhile
        parts = aside.submit(_own_parts, cluster, profile, tree)
        platform.deploy(progress)
        parts.result()
    done = dataclasses.replace(platform, timings=clock.seconds)
    keep = how.keep or (not how.fresh and known.stays(cluster.name))
    note = Note(
        profile.name, profile.ports, site.origin, digests, done.timings, keep, shape=profile.shape
    )
    note.write(cluster.name)  # it is there from here on, and not to be made anew, come what may
    with clock.stage("front door"):
        done.wait_open(progress)
    done = dataclasses.replace(done, timings=clock.seconds)
    dataclasses.replace(note, timings=done.timings).write(cluster.name)
    return done
