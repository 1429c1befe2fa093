"""The platform on a cluster that the user brings: agreed to, pinned by UID, removed completely.

Nothing here needs a container runtime on this machine. The user provides the cluster's own parts
(network, storage, DNS), and a registry from which its nodes can pull the images.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubernetes import client

from infraforge import stack
from infraforge.cluster import state, tools, traces
from infraforge.cluster.existing import Existing
from infraforge.cluster.kind_config import HTTP_NODE_PORT, HTTPS_NODE_PORT
from infraforge.cluster.users import Use
from infraforge.components.origin import canonical_origin
from infraforge.components.rendered import Images
from infraforge.errors import ClusterError, UsageError
from infraforge.images import push
from infraforge.images.catalogue import Catalogue
from infraforge.note import Brought, Note
from infraforge.profile import Ports, Profile
from infraforge.progress import Progress, silent
from infraforge.stack import TREE, Platform
from infraforge.stages import Stages

NAME = "existing"
_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


@dataclass(frozen=True)
class Wish:
    """What the user asks for.

    kubeconfig: None for the one agreed to before; origin: the front door's URL for users, "" for
    the only node's address; registry: where nodes pull images, "" for the canonical names;
    by_hand: the user applies the manifests, and this does only what manifests cannot; renew: see
    `stack.stand_up`.
    """

    profile: Profile
    kubeconfig: Path | None = None
    context: str | None = None
    origin: str = ""
    http_port: int = HTTP_NODE_PORT
    registry: str = ""
    by_hand: bool = False
    renew: frozenset[str] = frozenset()


def stand_up(
    name: str,
    wish: Wish,
    agreed: Callable[[str], bool],
    tree: Path = TREE,
    progress: Progress = silent,
) -> Platform:
    """Stand the platform up on the user's cluster, or attach to it.

    agreed: called with a description before a cluster is changed for the first time. Raises
    UsageError, before any change, for a cluster that lacks something or was not agreed to;
    OtherCluster for another cluster than the one agreed to; ClusterError for one that does not
    answer; TimedOut where the front door does not open in time.
    """
    profile = stack.checked(wish.profile, tree)
    with stack.nothing_left(name), state.locked(name):
        known_note = Note.read(name)
        cluster = _open(name, known_note, wish)
        if known_note and known_note.profile != profile.name:
            raise UsageError(
                f"{name!r} runs profile {known_note.profile!r}; remove it first: "
                f"infraforge down --name {name}"
            )
        images = images_for(profile, tree, wish.registry, known_note)
        origin = wish.origin or (known_note.origin if known_note else "") or _origin(cluster)
        origin = canonical_origin(origin)
        http = known_note.ports.http if known_note else wish.http_port
        profile = dataclasses.replace(profile, ports=Ports(_port(origin), http))
        if known_note is None:
            _check(cluster, wish)
            if not agreed(question(cluster, profile, origin)):
                raise UsageError("you did not agree, so nothing was touched; to agree: --yes")
            cluster.write_kubeconfig(tools.kubectl(tree), state.cluster_dir(name) / "kubeconfig")
            stack.authority(name)  # its own CA, made before the note
        known = known_note.brought if known_note else None
        by_hand = wish.by_hand or bool(known and known.by_hand)  # stays so until the user says else
        note = Note(
            profile.name,
            profile.ports,
            origin,
            images.digests,
            {},
            keep=True,
            moved=images.moved,
            brought=Brought(cluster.uid, cluster.context, cluster.server, by_hand),
            shape=profile.shape,
        )
        note.write(name)  # before the first change, so that what a killed run began can be removed
        clock = Stages(progress)
        platform = stack.attach(name, tree)
        platform.site.renewing = wish.renew
        with contextlib.closing(platform.site), clock.stage("components"):
            platform.deploy(progress)
        with clock.stage("front door"):
            platform.wait_open(progress)
        dataclasses.replace(note, timings=clock.seconds).write(name)
        return dataclasses.replace(platform, timings=clock.seconds)


def name_of(kubeconfig: Path, context: str | None, profile: str | None) -> str:
    """The local name of the platform on this cluster, found by the cluster's UID.

    Raises UsageError when there is none, OtherCluster when another cluster has taken its place.
    """
    if not kubeconfig.is_file():
        raise UsageError(f"there is no kubeconfig {kubeconfig}")
    cluster = Existing(kubeconfig, context)
    for name in state.names():
        note = Note.read(name)
        if note is None:
            continue
        if _uid(name, note) == cluster.uid:
            if profile and profile != note.profile:
                raise UsageError(
                    f"{kubeconfig}: the platform there has profile {note.profile!r}; say --profile "
                    f"{note.profile}"
                )
            return name
        known = note.brought
        if known and (known.context, known.server) == (cluster.context, cluster.server):
            _ = Existing(
                kubeconfig, context, name=name, pinned=known.uid
            ).uid  # raises OtherCluster
    raise UsageError(
        f"{kubeconfig}: this machine has no platform on cluster {cluster.context!r}; first: "
        f"infraforge up --cluster existing --kubeconfig {kubeconfig} "
        f"--context {cluster.context} --profile {profile or 'minimal'}"
    )


def tear_down(
    name: str, *, forget: bool = False, force: bool = False, tree: Path = TREE
) -> list[str]:
    """Remove the platform from the user's cluster, and its files here; what was removed.

    forget: remove only the files here, because the cluster is gone or another one; force: even
    while runs use it. Raises UsageError or TimedOut when something cannot be removed; the files
    stay then.
    """
    with contextlib.ExitStack() as held:
        if not force:
            held.enter_context(Use(name, "infraforge down", "say --force").alone())
        held.enter_context(state.locked(name))
        note = Note.read(name)
        if note is None or note.brought is None:
            raise UsageError(f"{name!r} is not a cluster you brought; see: infraforge list")
        removed = []
        if not forget:
            cluster = stack.cluster_of(name, note, tree)
            removed = traces.remove(cluster.api)
        folder = state.cluster_dir(name)
        shutil.rmtree(folder)
        removed.append(f"files in {folder}")
    removed += stack.remove_shared()
    state.forget(name)
    return removed


def is_brought(name: str) -> bool:
    """Whether this name belongs to a cluster that the user brought."""
    note = Note.read(name)
    return note is not None and note.brought is not None


def images_for(
    profile: Profile, tree: Path, registry: str = "", note: Note | None = None
) -> Images:
    """The profile's images: digests as made or imported here, else as the registry reports them.

    Raises UsageError naming images that are in neither place.
    """
    catalogue = Catalogue.load(tree)
    names = catalogue.deployed(profile.components)
    digests = push.recorded(names, catalogue)
    lacking = [name for name in names if catalogue.reference(name) not in digests]
    moved = {catalogue.prefix: registry} if registry else dict(note.moved if note else {})
    digests |= push.look_up(lacking, catalogue, moved.get(catalogue.prefix, catalogue.prefix))
    return Images(digests, moved)


def question(cluster: Existing, profile: Profile, origin: str) -> str:
    """What is about to happen, for the user to agree to."""
    nodes = cluster.node_addresses()
    return (
        f"InfraForge did not make this cluster:\n"
        f"  context      {cluster.context}\n"
        f"  API server   {cluster.server}\n"
        f"  UID          {cluster.uid}\n"
        f"  nodes        {len(nodes)}: {', '.join(nodes[:5])}\n"
        f"Profile {profile.name} ({len(profile.components)} components) would be put on it: five\n"
        f"namespaces infraforge-*, one ClusterRoleBinding, node ports {HTTPS_NODE_PORT} and "
        f"{HTTP_NODE_PORT}.\n"
        f"Tests will stop, kill and overload what is in these namespaces, nothing else.\n"
        f"Front door: {origin}. `infraforge down` removes all of it."
    )


def _open(name: str, note: Note | None, wish: Wish) -> Existing:
    known = note.brought if note else None
    if note is not None and known is None:
        raise UsageError(f"{name!r} is a cluster that InfraForge made; use another --name")
    pinned = known.uid if known else ""
    if wish.kubeconfig:
        if not wish.kubeconfig.is_file():
            raise UsageError(f"there is no kubeconfig {wish.kubeconfig}")
        return _asked(Existing(wish.kubeconfig, wish.context, name=name, pinned=pinned))
    if known is None:
        raise UsageError("--cluster existing needs --kubeconfig FILE (and perhaps --context)")
    return _asked(Existing(state.cluster_dir(name) / "kubeconfig", name=name, pinned=pinned))


def _asked(cluster: Existing) -> Existing:
    """The cluster, after it has answered with the right UID."""
    _ = cluster.uid
    return cluster


def _check(cluster: Existing, wish: Wish) -> None:
    """Raise UsageError for what would prevent a stand-up; nothing is changed."""
    there = [str(item) for item in traces.find(cluster.api)]
    if there and not wish.by_hand:
        raise UsageError(
            f"{cluster.context}: parts of a platform exist there that this machine did not create: "
            f"{', '.join(there[:5])}; remove them, or say --by-hand if you applied them"
        )
    classes: Any = client.StorageV1Api(cluster.api).list_storage_class()
    default = [c for c in classes.items if (c.metadata.annotations or {}).get(_DEFAULT_CLASS)]
    if not default:
        raise UsageError(
            f"{cluster.context}: there is no default StorageClass; volumes need one, so mark one: "
            f"kubectl annotate storageclass NAME storageclass.kubernetes.io/is-default-class=true"
        )


def _origin(cluster: Existing) -> str:
    addresses = cluster.node_addresses()
    if len(addresses) != 1:
        raise UsageError(
            f"{cluster.context} has {len(addresses)} node addresses: give --origin "
            f"https://HOST:PORT, the front door for users (Service infraforge-access/ingress)"
        )
    return f"https://{addresses[0]}:{HTTPS_NODE_PORT}"


def _port(origin: str) -> int:
    try:
        return urllib.parse.urlsplit(origin).port or 443
    except ValueError as error:
        raise UsageError(f"--origin {origin}: {error}") from error


def _uid(name: str, note: Note) -> str:
    if note.brought:
        return note.brought.uid
    try:
        return Existing(state.cluster_dir(name) / "kubeconfig").uid
    except (UsageError, ClusterError):
        return ""  # it does not answer, so it is not the cluster that just did
