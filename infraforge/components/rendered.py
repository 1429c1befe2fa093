"""What is applied for a component, and what is recorded of it once it got ready."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from infraforge.cluster import manifests, overlays, tools
from infraforge.cluster.apply import Reference
from infraforge.components import members, redis_members, rules
from infraforge.components.base import Component
from infraforge.components.site import Site
from infraforge.errors import UsageError
from infraforge.profile import Profile


@dataclass(frozen=True)
class Record:
    """What was applied for a component the last time it got ready.

    digest: sha256 hex of everything that went in; certificate: the serial number, in hex, of the
    one that it showed then.
    """

    digest: str
    references: tuple[Reference, ...]
    certificate: str = ""

    @classmethod
    def parse(cls, text: str) -> Record:
        data = json.loads(text)
        references = tuple(Reference(**item) for item in data["references"])
        return cls(data["digest"], references, data.get("certificate", ""))

    def dump(self) -> str:
        references = [asdict(reference) for reference in self.references]
        data = {
            "digest": self.digest,
            "references": references,
            "certificate": self.certificate,
        }
        return json.dumps(data, sort_keys=True)


@dataclass(frozen=True)
class Images:
    """The images in force.

    digests: canonical image reference → `sha256:…`; moved: canonical prefix → the one that the
    cluster's nodes pull from instead.
    """

    digests: Mapping[str, str]
    moved: Mapping[str, str] = field(default_factory=dict)


def rendered(
    component: str, profile: Profile, tree: Path, images: Images, node_cidrs: Sequence[str]
) -> list[manifests.Object]:
    """A component's objects as they are applied, workloads last.

    Raises UsageError for an image whose digest is not known: no tag decides what runs.
    """
    settings = profile.components[component]
    folder = tree / "components" / component
    objects = overlays.render(tools.kubectl(tree), folder, settings.get("overlays", ()))
    objects = manifests.pin_images(objects, images.digests)
    if by_tag := manifests.unpinned(objects):
        raise UsageError(f"{component}: the digest of {by_tag[0]} is not known")
    for here, there in images.moved.items():
        objects = manifests.move_images(objects, here, there)
    replicas = settings.get("replicas")
    if replicas is not None:
        objects = manifests.set_replicas(objects, int(replicas))
    objects = members.named_in(objects, members.of(profile))
    if sentinels := redis_members.sentinels(profile):
        objects = redis_members.named_in(objects, sentinels)
    if impossible := rules.impossible_budgets(objects):
        raise UsageError(f"{component}: {impossible[0]}")
    return manifests.allow_node_networks(objects, node_cidrs)


def folder_hash(site: Site, component: Component) -> str:
    """Over every file of the component's folder: hooks read more of them than kustomize does."""
    folder = site.tree / "components" / component.name
    sha = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        sha.update(f"\0{path.relative_to(folder)}\0".encode() + path.read_bytes())
    return sha.hexdigest()
