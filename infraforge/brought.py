"""The platform on a cluster that the user brings: agreed to, pinned by UID, gone without a trace.

Nothing here needs a container runtime on this machine. The cluster's own parts (network, storage,
DNS) are the user's business; images come from where its nodes can pull them.
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

    kubeconfig: None for the one agreed to before; origin: where users find the front door, ""
    for the only node's address; registry: where nodes pull images, "" for the canonical names;
    by_hand: the user applies the manifests, and only what they cannot say is done here; renew:
    see `stack.stand_up`.
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
    """The platform on the user's cluster, stood up or found again.

    agreed: asked, with what is about to happen, before a cluster is touched for the first time.
    Raises UsageError, and has touched nothing, for a cluster that lacks something or was not
    agreed to; OtherCluster for one that is not the one that was agreed to; ClusterError for one
    that does not answer; TimedOut where the front door does not open in the end.
    """
    profile = stack.checked(wish.profile)
    with stack.nothing_left(name), state.locked(name):
        found = Note.read(name)
        cluster = _open(name, found, wish)
        if found and found.profile != profile.name:
            raise UsageError(f"{name!r} runs profile {found.profile!r}; remove it first")
        images = images_for(profile, tree, wish.registry, found)
        origin = wish.origin or (found.origin if found else "") or _origin(cluster)
        origin = canonical_origin(origin)
        http = found.ports.http if found else wish.http_port
        profile = dataclasses.replace(profile, ports=Ports(_port(origin), http))
        if found is None:
            _check(cluster, wish)
            if not agreed(question(cluster, profile, origin)):
                raise UsageError("not agreed to: nothing was touched")
            cluster.write_kubeconfig(tools.kubectl(tree), state.cluster_dir(name) / "kubeconfig")
            stack.authority(name)  # of its own, before there is a note of it
        known = found.brought if found else None
        by_hand = wish.by_hand or bool(known and known.by_hand)  # nobody takes it over unasked
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
        note.write(name)  # before anything is touched: what a killed run began can be removed
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
    """Under which name the platform on this cluster is known here; it goes by the cluster's UID.

    Raises UsageError when none is, OtherCluster when another cluster has taken its place.
    """
    if not kubeconfig.is_file():
        raise UsageError(f"there is no kubeconfig {kubeconfig}")
    cluster = Existing(kubeconfig, context)
    for name in state.names():
        found = Note.read(name)
        if found is None:
            continue
        if _uid(name, found) == cluster.uid:
            if profile and profile != found.profile:
                raise UsageError(f"{kubeconfig}: profile {found.profile!r} is there")
            return name
        known = found.brought
        if known and (known.context, known.server) == (cluster.context, cluster.server):
            _ = Existing(kubeconfig, context, name=name, pinned=known.uid).uid  # says what is wrong
    raise UsageError(
        f"{kubeconfig}: nothing of this machine's is on cluster {cluster.context!r}; first: "
        f"infraforge up --cluster existing --kubeconfig {kubeconfig} "
        f"--context {cluster.context} --profile {profile or 'minimal'}"
    )


def tear_down(
    name: str, *, forget: bool = False, force: bool = False, tree: Path = TREE
) -> list[str]:
    """Remove the platform from the user's cluster, and its files here; what was removed.

    forget: the cluster is gone, or another one by now: only the files here; force: in spite of
    runs that use it. Raises UsageError or TimedOut when something cannot be removed; the files
    stay then.
    """
    with contextlib.ExitStack() as held:
        if not force:
            held.enter_context(Use(name, "infraforge down", "say --force").alone())
        held.enter_context(state.locked(name))
        found = Note.read(name)
        if found is None or found.brought is None:
            raise UsageError(f"{name!r} is no cluster you brought")
        removed = []
        if not forget:
            cluster = stack.cluster_of(name, found, tree)
            removed = traces.remove(cluster.api)
        folder = state.cluster_dir(name)
        shutil.rmtree(folder)
        removed.append(f"files in {folder}")
    removed += stack.remove_shared()
    state.forget(name)
    return removed


def is_brought(name: str) -> bool:
    """Whether a cluster that the user brought is known under this name."""
    found = Note.read(name)
    return found is not None and found.brought is not None


def images_for(
    profile: Profile, tree: Path, registry: str = "", found: Note | None = None
) -> Images:
    """The profile's images: digests as made or imported here, else as the registry says.

    Raises UsageError naming the images that are nowhere.
    """
    catalogue = Catalogue.load(tree)
    names = catalogue.deployed(profile.components)
    digests = push.recorded(names, catalogue)
    lacking = [name for name in names if catalogue.reference(name) not in digests]
    moved = {catalogue.prefix: registry} if registry else dict(found.moved if found else {})
    digests |= push.look_up(lacking, catalogue, moved.get(catalogue.prefix, catalogue.prefix))
    return Images(digests, moved)


def question(cluster: Existing, profile: Profile, origin: str) -> str:
    """What is about to happen, for somebody to agree to."""
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


def _open(name: str, found: Note | None, wish: Wish) -> Existing:
    known = found.brought if found else None
    if found is not None and known is None:
        raise UsageError(f"{name!r} is a cluster of InfraForge's own; use another --name")
    pinned = known.uid if known else ""
    if wish.kubeconfig:
        if not wish.kubeconfig.is_file():
            raise UsageError(f"there is no kubeconfig {wish.kubeconfig}")
        return _asked(Existing(wish.kubeconfig, wish.context, name=name, pinned=pinned))
    if known is None:
        raise UsageError("--cluster existing: say which, by --kubeconfig FILE (and --context)")
    return _asked(Existing(state.cluster_dir(name) / "kubeconfig", name=name, pinned=pinned))


def _asked(cluster: Existing) -> Existing:
    """The same, after it was asked which cluster it is, and has said the right one."""
    _ = cluster.uid
    return cluster


def _check(cluster: Existing, wish: Wish) -> None:
    """Raise UsageError for what would stop a stand-up; nothing is touched."""
    there = [str(item) for item in traces.find(cluster.api)]
    if there and not wish.by_hand:
        raise UsageError(
            f"{cluster.context}: there is something of this name already, not put there from this "
            f"machine: {', '.join(there[:5])}; remove it, or say --by-hand if you applied it"
        )
    classes: Any = client.StorageV1Api(cluster.api).list_storage_class()
    default = [c for c in classes.items if (c.metadata.annotations or {}).get(_DEFAULT_CLASS)]
    if not default:
        raise UsageError(f"{cluster.context}: there is no default StorageClass; volumes need one")


def _origin(cluster: Existing) -> str:
    addresses = cluster.node_addresses()
    if len(addresses) != 1:
        raise UsageError(
            f"{cluster.context} has {len(addresses)} nodes' addresses: say by --origin "
            f"https://HOST:PORT where the front door (Service infraforge-access/ingress) is found"
        )
    return f"https://{addresses[0]}:{HTTPS_NODE_PORT}"


def _port(origin: str) -> int:
    try:
        return urllib.parse.urlsplit(origin).port or 443
    except ValueError as error:
        raise UsageError(f"--origin {origin}: {error}") from error


def _uid(name: str, found: Note) -> str:
    if found.brought:
        return found.brought.uid
    try:
        return Existing(state.cluster_dir(name) / "kubeconfig").uid
    except (UsageError, ClusterError):
        return ""  # it is silent, and so not the one that has just answered
