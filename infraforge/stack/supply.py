"""The images of a platform, and the local registry that its nodes pull them from."""

from __future__ import annotations

from pathlib import Path

from infraforge.cluster import network, registry, state, tools
from infraforge.cluster.pki import Authority
from infraforge.images import build, sources
from infraforge.images.catalogue import Catalogue
from infraforge.profile import Profile
from infraforge.progress import Progress, silent
from infraforge.stack import authorities


def images_for(
    profile: Profile, tree: Path, progress: Progress = silent, how: str = "auto"
) -> sources.Plan:
    """Build what the profile needs, and is neither here nor elsewhere; where its images are from.

    how: one of `images.sources.HOW`.
    """
    catalogue = Catalogue.load(tree)
    plan = sources.plan(catalogue.needed_by(profile.components), catalogue, how)
    plan.build(progress)
    build.compile_tools(tools.missing(tree), catalogue, progress)
    return plan


def start_registry(catalogue: Catalogue) -> Authority:
    """The local registry, running; the authority that vouches for it."""
    with state.starting_registry():
        issuer = authorities.registry_authority()
        network.ensure_nodes()
        image = build.record("registry", catalogue)
        registry.ensure(image.tag, issuer, catalogue.tree)
    return issuer
