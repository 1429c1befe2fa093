"""The platforms that this machine knows: find one, ask whether it answers, have it stay."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from infraforge.cluster import kind, state
from infraforge.cluster.base import Presence
from infraforge.cluster.existing import Existing
from infraforge.components.site import Site
from infraforge.errors import ClusterError, UsageError
from infraforge.note import Note
from infraforge.profile import Profile
from infraforge.stack import authorities
from infraforge.stack.platform import TREE, Platform

DEFAULT_NAME = "infraforge"


def attach(name: str, tree: Path = TREE, *, as_declared: bool = False) -> Platform:
    """The platform that is up under this name, as it was stood up.

    Budgets and required tests are those that `tree` declares today. as_declared: so is what the
    platform is made of, for a caller that rolls out what `tree` says.


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
    if found.shape and not as_declared:
        profile = profile.shaped(found.shape)
    site = Site(profile, tree, cluster, authorities.authority(name), found.origin)
    by_hand = bool(found.brought and found.brought.by_hand)
    return Platform(site, found.digests, found.timings, found.moved, by_hand)


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


def profile_of(name: str) -> str:
    """The profile that was stood up under this name, whether it answers or not; "" for none."""
    found = Note.read(name)
    return found.profile if found else ""


def stays(name: str) -> bool:
    """Whether the platform of this name was stood up to stay (`up`, `--keep`)."""
    found = Note.read(name)
    return bool(found and found.keep)


def keep(name: str) -> None:
    """Have the platform of this name stay when the runs that use it are over."""
    with state.locked(name):
        found = Note.read(name)
        if found and not found.keep:
            dataclasses.replace(found, keep=True).write(name)


def cluster_of(name: str, found: Note | None, tree: Path = TREE) -> kind.Kind | Existing:
    """The cluster of a platform of which `found` is known; ours where nothing is."""
    if found is None or found.brought is None:
        return kind.Kind(name, tree)
    kubeconfig = state.cluster_dir(name) / "kubeconfig"
    return Existing(kubeconfig, name=name, pinned=found.brought.uid)


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
